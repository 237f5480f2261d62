//! The linear layer without bias, with or without a LayerNorm in front, forward and backward.

mod shape;
pub(crate) mod weight_gradient;

pub use crate::layer_norm::Norm;
use crate::layer_norm::{backward_rows, normalized};
use crate::matrix::View;
use crate::partial_sums::add_partial_sums;
use crate::product::{Packed, Precision, multiply, multiply_into};
use crate::scratch::scratch;
use crate::tiling::tile_rows;
use crate::uninitialized::{from_chunks, from_chunks_with};
pub use shape::Shape;
use weight_gradient::WeightGradient;

/// The gradients of a linear layer.
pub struct Gradients {
    /// With respect to the input, `[tokens, inputs]`.
    pub x: Vec<f32>,
    /// With respect to the norm's weight, `[inputs]`; empty without a norm.
    pub norm: Vec<f32>,
    /// With respect to the weight, `[outputs, inputs]`.
    pub weight: Vec<f32>,
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
    let tile = tile_rows(tokens, precision);
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
    let tile = tile_rows(tokens, precision);
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
    add_partial_sums(&mut dnorm, &partial);
    Gradients {
        x: dx,
        norm: dnorm,
        weight: dweight.product(gradient),
    }
}
