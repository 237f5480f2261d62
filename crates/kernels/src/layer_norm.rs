//! LayerNorm without bias, forward and backward.

use rayon::prelude::*;

use crate::lane_sums::{sum_of, sum_of_pairs};
use crate::level::levelled;
use crate::partial_sums::add_partial_sums;
use crate::scratch::{Scratch, scratch};
use crate::uninitialized::{Uninit, as_uninit, from_chunks, from_chunks_with};

/// Rows of one partial sum. It is fixed, so that the order of additions does not depend on the
/// number of threads.
const ROWS: usize = 64;

/// A LayerNorm without bias on the input: `(x − mean) / sqrt(variance + epsilon) · weight`.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `[inputs]`.
    pub weight: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum_of(x, |x| x) / count;
    let variance = sum_of(x, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

levelled! {
    fn write_normalized(output: &mut [Uninit], x: &[f32], weight: &[f32], epsilon: f32) {
        let width = weight.len();
        for (output, x) in output.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, epsilon);
            for ((output, x), weight) in output.iter_mut().zip(x).zip(weight) {
                output.write((x - mean) * scale * weight);
            }
        }
    }
}

/// Writes `(x − mean) / sqrt(variance + epsilon) · weight` for whole rows.
fn forward_rows<'a>(
    output: &'a mut [Uninit],
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
) -> &'a mut [f32] {
    assert!(output.len() == x.len() && x.len().is_multiple_of(weight.len()));
    write_normalized(output, x, weight, epsilon);
    // SAFETY: the rows are whole, so there is a value for each element.
    unsafe { output.assume_init_mut() }
}

/// Overwrites `output` with the normalized rows of `x`.
pub(crate) fn normalize_rows(output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    // SAFETY: all values that are written are initialized.
    forward_rows(unsafe { as_uninit(output) }, x, weight, epsilon);
}

/// The rows of `x`, normalized into `buffer` if there is a norm.
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

/// [`normalized`] on all threads.
pub(crate) fn normalized_in_parallel<'a>(
    x: &'a [f32],
    norm: Option<Norm<'_>>,
    buffer: &'a mut Option<Scratch>,
) -> &'a [f32] {
    let Some(norm) = norm else { return x };
    let buffer = buffer.insert(scratch(x.len()));
    let block = ROWS * norm.weight.len();
    buffer
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .for_each(|(output, x)| normalize_rows(output, x, norm.weight, norm.epsilon));
    buffer
}

/// Writes the gradient of the input, for whole rows, to `dx`, and adds that of the weight to
/// `dweight`.
pub(crate) fn backward_rows<'a>(
    dx: &'a mut [Uninit],
    dweight: &mut [f32],
    gradient: &[f32],
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
) -> &'a mut [f32] {
    let width = weight.len();
    assert!(dx.len() == x.len() && gradient.len() == x.len() && x.len().is_multiple_of(width));
    write_gradients(dx, dweight, gradient, x, weight, epsilon);
    // SAFETY: the rows are whole, so there is a value for each element.
    unsafe { dx.assume_init_mut() }
}

levelled! {
    fn write_gradients(
        dx: &mut [Uninit],
        dweight: &mut [f32],
        gradient: &[f32],
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
    ) {
        let width = weight.len();
        let count = width as f32;
        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((dx, x), gradient) in rows.zip(gradient.chunks_exact(width)) {
            let (mean, scale) = moments(x, epsilon);
            // `dx` holds the gradient of the normalized row first.
            for ((dx, gradient), weight) in dx.iter_mut().zip(gradient).zip(weight) {
                dx.write(gradient * weight);
            }
            // SAFETY: the gradient's row and the weight are as long as the row of `dx`, so all of
            // it is written.
            let dx = unsafe { dx.assume_init_mut() };
            let mean_gradient = sum_of(dx, |gradient| gradient) / count;
            let mean_product =
                sum_of_pairs(dx, x, |gradient, x| gradient * ((x - mean) * scale)) / count;
            for ((dweight, gradient), x) in dweight.iter_mut().zip(gradient).zip(x) {
                *dweight += gradient * ((x - mean) * scale);
            }
            for (dx, x) in dx.iter_mut().zip(x) {
                let normal = (x - mean) * scale;
                *dx = (*dx - mean_gradient - normal * mean_product) * scale;
            }
        }
    }
}

/// `(x − mean) / sqrt(variance + epsilon) · weight` for each row of `weight.len()` channels.
///
/// # Panics
/// If `x` has no whole number of rows, or rows have no channels.
pub fn forward(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let block = ROWS * weight.len();
    assert!(
        block > 0 && x.len().is_multiple_of(weight.len()),
        "whole rows"
    );
    from_chunks(x.len(), block, |index, output| {
        let rows = index * block..index * block + output.len();
        forward_rows(output, &x[rows], weight, epsilon)
    })
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
    let (dx, partial) = from_chunks_with(x.len(), block, |index, dx| {
        let rows = index * block..index * block + dx.len();
        let mut dweight = vec![0.0; weight.len()];
        let (gradient, x) = (&gradient[rows.clone()], &x[rows]);
        let dx = backward_rows(dx, &mut dweight, gradient, x, weight, epsilon);
        (dx, dweight)
    });
    let mut dweight = vec![0.0; weight.len()];
    add_partial_sums(&mut dweight, &partial);
    (dx, dweight)
}
