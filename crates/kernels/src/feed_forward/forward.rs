//! The output of a feed-forward.

use super::{Factors, Shape, Weights};
use crate::group_product::scale_groups;
use crate::layer_norm::normalized;
use crate::matrix::View;
use crate::product::{Packed, Precision, multiply, multiply_into};
use crate::scratch::scratch;
use crate::shared::Shared;
use crate::tiling::tile_rows;
use crate::uninitialized::{from_chunks_with, initialized, uninitialized};
use crate::unit_sum::UnitSum;

/// What a forward pass gives besides the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whether the input of the activation function is saved for the backward pass.
    pub before: bool,
    /// Whether the hidden units are summed.
    pub sum: bool,
}

/// What a forward pass gives.
pub struct Output {
    /// The output, `[tokens, width]`.
    pub y: Vec<f32>,
    /// The input of the activation function, `[tokens, hidden]`; empty if it was not wanted.
    pub before: Vec<f32>,
    /// The sum of the hidden units; 0 if it was not wanted.
    pub sum: UnitSum,
}

/// The output, `[tokens, width]`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(x: &[f32], weights: &Weights<'_>, shape: Shape, precision: Precision) -> Vec<f32> {
    forward_masked(x, weights, None, shape, precision)
}

/// [`forward`] that multiplies the hidden units by factors after the activation function, if there
/// are any.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward_masked(
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    shape: Shape,
    precision: Precision,
) -> Vec<f32> {
    forward_with(x, weights, factors, Wanted::default(), shape, precision).y
}

/// [`forward_masked`] with all that is wanted besides the output.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward_with(
    x: &[f32],
    weights: &Weights<'_>,
    factors: Option<Factors<'_>>,
    wanted: Wanted,
    shape: Shape,
    precision: Precision,
) -> Output {
    shape.check(x, weights);
    let values = shape.values(factors);
    let Shape {
        tokens,
        width,
        hidden,
    } = shape;
    let up = View::new(weights.up, hidden, width, width).transposed();
    let down = View::new(weights.down, width, hidden, hidden).transposed();
    let [up, down] = [up, down].map(|weight| Packed::in_parallel(weight, precision));
    let activation = weights.activation;
    let mut before = uninitialized(if wanted.before { tokens * hidden } else { 0 });
    let shared = wanted.before.then(|| Shared::new(&mut before));
    let tile = tile_rows(tokens, precision);
    let (y, sums) = from_chunks_with(tokens * width, tile * width, |index, y| {
        let (first, rows) = (index * tile, y.len() / width);
        let mut buffer = None;
        let x = normalized(&x[first * width..][..y.len()], weights.norm, &mut buffer);
        let mut units = scratch(rows * hidden);
        let left = View::new(x, rows, width, width);
        match shared {
            Some(before) => {
                // SAFETY: each tile has its own rows.
                let before = unsafe { before.slice(first * hidden, rows * hidden) };
                activation.copy(&mut units, multiply_into(before, left, &up));
            }
            None => {
                multiply(&mut units, hidden, left, &up, false);
                activation.in_place(&mut units);
            }
        }
        let mut sum = UnitSum::default();
        match factors {
            Some(factors) => {
                let ours = &factors.values[first * values..][..rows * values];
                if wanted.sum {
                    sum = UnitSum::of_kept(&units, ours, factors.group);
                }
                scale_groups(&mut units, ours, factors.group);
            }
            None if wanted.sum => sum = UnitSum::of(&units),
            None => {}
        }
        let units = View::new(&units, rows, hidden, hidden);
        (multiply_into(y, units, &down), sum)
    });
    Output {
        y,
        // SAFETY: the tiles have written all rows, if there are any.
        before: unsafe { initialized(before) },
        sum: UnitSum::total(sums),
    }
}
