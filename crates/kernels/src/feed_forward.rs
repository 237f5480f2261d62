//! The feed-forward `gelu(norm(x) · upᵀ) · downᵀ`, a tile of tokens at a time: the hidden units are
//! kept for no one and computed again in the backward pass.

use rayon::prelude::*;

use crate::gelu;
use crate::layer_norm::{backward_rows, forward_rows};
use crate::linear::{self, Norm, add_all, normalized, tile, weight_gradient};
use crate::matrix::View;
use crate::product::{Packed, Precision, multiply};
use crate::scratch::{Shared, scratch, uninitialized};

/// The shape of a feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input and the output.
    pub tokens: usize,
    /// Channels of the input and the output.
    pub width: usize,
    /// Hidden units.
    pub hidden: usize,
}

/// The weights of a feed-forward.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The LayerNorm in front, if any.
    pub norm: Option<Norm<'a>>,
    /// `[hidden, width]`.
    pub up: &'a [f32],
    /// `[width, hidden]`.
    pub down: &'a [f32],
}

/// The gradients of a feed-forward.
pub struct Gradients {
    /// With respect to the input, `[tokens, width]`.
    pub x: Vec<f32>,
    /// With respect to the norm's weight, `[width]`; empty without a norm.
    pub norm: Vec<f32>,
    /// With respect to the up weight, `[hidden, width]`.
    pub up: Vec<f32>,
    /// With respect to the down weight, `[width, hidden]`.
    pub down: Vec<f32>,
}

impl Shape {
    pub(crate) fn check(&self, x: &[f32], weights: &Weights<'_>) {
        let Self {
            tokens,
            width,
            hidden,
        } = *self;
        assert!(width > 0 && hidden > 0, "an empty feed-forward");
        assert_eq!(x.len(), tokens * width, "input");
        assert_eq!(weights.up.len(), hidden * width, "up weight");
        assert_eq!(weights.down.len(), hidden * width, "down weight");
        assert!(
            weights.norm.is_none_or(|norm| norm.weight.len() == width),
            "norm"
        );
    }
}

/// The output, `[tokens, width]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(x: &[f32], weights: &Weights<'_>, shape: Shape, precision: Precision) -> Vec<f32> {
    shape.check(x, weights);
    let Shape {
        tokens,
        width,
        hidden,
    } = shape;
    let up = View::new(weights.up, hidden, width, width).transposed();
    let down = View::new(weights.down, width, hidden, hidden).transposed();
    let [up, down] = [up, down].map(|weight| Packed::in_parallel(weight, precision));
    // SAFETY: the products overwrite every row.
    let mut y = unsafe { uninitialized(tokens * width) };
    let tile = tile(tokens);
    y.par_chunks_mut(tile * width)
        .zip(x.par_chunks(tile * width))
        .for_each(|(y, x)| {
            let rows = x.len() / width;
            let mut buffer = None;
            let x = normalized(x, weights.norm, &mut buffer);
            let mut units = scratch(rows * hidden);
            multiply(
                &mut units,
                hidden,
                View::new(x, rows, width, width),
                &up,
                false,
            );
            gelu::in_place(&mut units);
            multiply(
                y,
                width,
                View::new(&units, rows, hidden, hidden),
                &down,
                false,
            );
        });
    y
}

/// The gradients of [`forward`] for the gradient of its output, `[tokens, width]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    weights: &Weights<'_>,
    shape: Shape,
    precision: Precision,
) -> Gradients {
    shape.check(x, weights);
    let Shape {
        tokens,
        width,
        hidden,
    } = shape;
    assert_eq!(gradient.len(), x.len(), "gradient");
    let up = View::new(weights.up, hidden, width, width);
    let down = View::new(weights.down, width, hidden, hidden);
    let [up, up_again, down] =
        [up, up.transposed(), down].map(|weight| Packed::in_parallel(weight, precision));
    // SAFETY: every row is overwritten below.
    let mut dx = unsafe { uninitialized(tokens * width) };
    let mut normals = scratch(if weights.norm.is_some() {
        tokens * width
    } else {
        0
    });
    let (mut units, mut dunits) = (scratch(tokens * hidden), scratch(tokens * hidden));
    let tile = tile(tokens);
    let shared = Shared::new(&mut normals);
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(tile * width)
        .zip(x.par_chunks(tile * width))
        .zip(gradient.par_chunks(tile * width))
        .zip(units.par_chunks_mut(tile * hidden))
        .zip(dunits.par_chunks_mut(tile * hidden))
        .enumerate()
        .map(|(index, ((((dx, x), gradient), units), dunits))| {
            let rows = x.len() / width;
            let normal = match weights.norm {
                None => x,
                Some(norm) => {
                    // SAFETY: each tile has its own rows.
                    let normal = unsafe { shared.part(index * tile * width, x.len()) };
                    forward_rows(normal, x, norm.weight, norm.epsilon);
                    normal
                }
            };
            let mut before = scratch(rows * hidden);
            let left = View::new(normal, rows, width, width);
            multiply(&mut before, hidden, left, &up_again, false);
            let left = View::new(gradient, rows, width, width);
            multiply(dunits, hidden, left, &down, false);
            gelu::value_and_gradient(units, dunits, &before);
            let left = View::new(dunits, rows, hidden, hidden);
            let Some(norm) = weights.norm else {
                multiply(dx, width, left, &up, false);
                return Vec::new();
            };
            let mut dnormal = scratch(x.len());
            multiply(&mut dnormal, width, left, &up, false);
            let mut dnorm = vec![0.0; width];
            backward_rows(dx, &mut dnorm, &dnormal, x, norm.weight, norm.epsilon);
            dnorm
        })
        .collect();
    let mut dnorm = vec![0.0; weights.norm.map_or(0, |_| width)];
    add_all(&mut dnorm, &partial);
    let x = if weights.norm.is_some() { &normals } else { x };
    let layer = |inputs, outputs| linear::Shape {
        tokens,
        inputs,
        outputs,
    };
    Gradients {
        x: dx,
        norm: dnorm,
        up: weight_gradient(&dunits, x, layer(width, hidden), precision),
        down: weight_gradient(gradient, &units, layer(hidden, width), precision),
    }
}
