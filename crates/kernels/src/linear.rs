//! The linear layer without bias, with or without a LayerNorm in front; forward and backward.

use crate::layer_norm::{backward_rows, normalize_rows};
use crate::matrix::View;
use crate::product::{Packed, Precision, multiply, multiply_into};
use crate::scratch::{Scratch, scratch};
use crate::tiling::tile;
use crate::uninitialized::{from_chunks, from_chunks_with};
use crate::weight_gradient::WeightGradient;

/// The shape of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input.
    pub tokens: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
}

/// A LayerNorm without bias on the input: `(x − mean) / sqrt(variance + epsilon) · weight`.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `[inputs]`.
    pub weight: &'a [f32],
    /// What is added to the variance.
    pub epsilon: f32,
}

/// The gradients of a linear layer.
pub struct Gradients {
    /// With respect to the input, `[tokens, inputs]`.
    pub x: Vec<f32>,
    /// With respect to the norm's weight, `[inputs]`; empty without a norm.
    pub norm: Vec<f32>,
    /// With respect to the weight, `[outputs, inputs]`.
    pub weight: Vec<f32>,
}

impl Shape {
    fn check(&self, x: &[f32], norm: Option<Norm<'_>>, weight: &[f32]) {
        assert!(self.inputs > 0 && self.outputs > 0, "an empty layer");
        assert_eq!(x.len(), self.tokens * self.inputs, "input");
        assert_eq!(weight.len(), self.outputs * self.inputs, "weight");
        assert!(
            norm.is_none_or(|norm| norm.weight.len() == self.inputs),
            "norm"
        );
    }
}

/// The rows of `x`, normalized where there is a norm.
pub(crate) fn normalized<'a>(
    x: &'a [f32],
    norm: Option<Norm<'_>>,
    buffer: &'a mut Option<Scratch>,
) -> &'a [f32] {
    match norm {
        None => x,
        Some(norm) => {
            let buffer = buffer.insert(scratch(x.len()));
            normalize_rows(buffer, x, norm.weight, norm.epsilon);
            buffer
        }
    }
}

/// `y = norm(x) · weightᵀ`, `[tokens, outputs]`.
///
/// - `x`: `[tokens, inputs]`
/// - `weight`: `[outputs, inputs]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(
    x: &[f32],
    norm: Option<Norm<'_>>,
    weight: &[f32],
    shape: Shape,
    precision: Precision,
) -> Vec<f32> {
    shape.check(x, norm, weight);
    let Shape {
        tokens,
        inputs,
        outputs,
    } = shape;
    let weight = View::new(weight, outputs, inputs, inputs).transposed();
    let weight = Packed::in_parallel(weight, precision);
    let tile = tile(tokens, precision);
    from_chunks(tokens * outputs, tile * outputs, |index, y| {
        let rows = y.len() / outputs;
        let x = &x[index * tile * inputs..][..rows * inputs];
        let mut buffer = None;
        let x = normalized(x, norm, &mut buffer);
        multiply_into(y, View::new(x, rows, inputs, inputs), &weight)
    })
}

/// The gradients of [`forward`].
///
/// - `gradient`: `[tokens, outputs]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    norm: Option<Norm<'_>>,
    weight: &[f32],
    shape: Shape,
    precision: Precision,
) -> Gradients {
    shape.check(x, norm, weight);
    let Shape {
        tokens,
        inputs,
        outputs,
    } = shape;
    assert_eq!(gradient.len(), tokens * outputs, "gradient");
    let tile = tile(tokens, precision);
    let packed = Packed::in_parallel(View::new(weight, outputs, inputs, inputs), precision);
    let mut dweight = WeightGradient::new(shape, precision);
    let places = dweight.places();
    let (dx, partial) = from_chunks_with(tokens * inputs, tile * inputs, |index, dx| {
        let (first, rows) = (index * tile, dx.len() / inputs);
        let x = &x[first * inputs..][..rows * inputs];
        let gradient = &gradient[first * outputs..][..rows * outputs];
        let mut buffer = None;
        let normal = normalized(x, norm, &mut buffer);
        // SAFETY: each tile has its own tokens.
        unsafe {
            places.put_x(first, normal);
            places.put_gradient(first, gradient);
        }
        let left = View::new(gradient, rows, outputs, outputs);
        let Some(norm) = norm else {
            return (multiply_into(dx, left, &packed), Vec::new());
        };
        let mut dnormal = scratch(x.len());
        multiply(&mut dnormal, inputs, left, &packed, false);
        let mut dnorm = vec![0.0; inputs];
        let dx = backward_rows(dx, &mut dnorm, &dnormal, x, norm.weight, norm.epsilon);
        (dx, dnorm)
    });
    let mut dnorm = vec![0.0; norm.map_or(0, |norm| norm.weight.len())];
    add_all(&mut dnorm, &partial);
    Gradients {
        x: dx,
        norm: dnorm,
        weight: dweight.product(gradient),
    }
}

/// Adds partial sums in their order.
pub(crate) fn add_all(sums: &mut [f32], partial: &[Vec<f32>]) {
    for partial in partial {
        for (sum, value) in sums.iter_mut().zip(partial) {
            *sum += value;
        }
    }
}
