//! LayerNorm without bias, forward and backward.

use rayon::prelude::*;

use crate::level::levelled;
use crate::linear::add_all;
use crate::scratch::uninitialized;

/// Rows whose sums one partial result holds: sums are added in an order that does not depend on
/// the number of threads.
const ROWS: usize = 64;

/// Sums in eight lanes, added pairwise at the end.
#[inline(always)]
pub(crate) fn sum_of(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let whole = count / 8 * 8;
    for start in (0..whole).step_by(8) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    let rest: f32 = (whole..count).map(&term).sum();
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h)) + rest
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum_of(x.len(), |i| x[i]) / count;
    let variance = sum_of(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

levelled! {
    pub(crate) fn forward_rows(output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
        let width = weight.len();
        for (output, x) in output.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, epsilon);
            for ((output, x), weight) in output.iter_mut().zip(x).zip(weight) {
                *output = (x - mean) * scale * weight;
            }
        }
    }
}

levelled! {
    /// Writes `dx` and adds to `dweight`.
    pub(crate) fn backward_rows(
        dx: &mut [f32],
        dweight: &mut [f32],
        gradient: &[f32],
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
    ) {
        let width = weight.len();
        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((dx, x), gradient) in rows.zip(gradient.chunks_exact(width)) {
            let (mean, scale) = moments(x, epsilon);
            let normal = |i: usize| (x[i] - mean) * scale;
            let count = width as f32;
            let mean_gradient = sum_of(width, |i| gradient[i] * weight[i]) / count;
            let mean_product = sum_of(width, |i| gradient[i] * weight[i] * normal(i)) / count;
            for i in 0..width {
                dweight[i] += gradient[i] * normal(i);
                dx[i] = (gradient[i] * weight[i] - mean_gradient - normal(i) * mean_product) * scale;
            }
        }
    }
}

/// `(x − mean) / sqrt(variance + epsilon) · weight`, row by row.
///
/// `x` has rows of `weight.len()` channels.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let block = ROWS * weight.len();
    assert!(
        block > 0 && x.len().is_multiple_of(weight.len()),
        "whole rows"
    );
    // SAFETY: every row is overwritten.
    let mut output = unsafe { uninitialized(x.len()) };
    let rows = output.par_chunks_mut(block).zip(x.par_chunks(block));
    rows.for_each(|(output, x)| forward_rows(output, x, weight, epsilon));
    output
}

/// The gradients of [`forward`] with respect to `x` and `weight`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward(gradient: &[f32], x: &[f32], weight: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let block = ROWS * weight.len();
    assert!(
        block > 0 && x.len().is_multiple_of(weight.len()),
        "whole rows"
    );
    assert_eq!(gradient.len(), x.len(), "gradient");
    // SAFETY: every row is overwritten.
    let mut dx = unsafe { uninitialized(x.len()) };
    let rows = dx
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .zip(gradient.par_chunks(block));
    let partial: Vec<Vec<f32>> = rows
        .map(|((dx, x), gradient)| {
            let mut dweight = vec![0.0; weight.len()];
            backward_rows(dx, &mut dweight, gradient, x, weight, epsilon);
            dweight
        })
        .collect();
    let mut dweight = vec![0.0; weight.len()];
    add_all(&mut dweight, &partial);
    (dx, dweight)
}
