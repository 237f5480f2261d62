//! Operations element by element: AdamW, sums of squares, sums and products.

use rayon::prelude::*;

use crate::level::levelled;
use crate::uninitialized::{Uninit, from_chunks};

/// Elements of one task.
const CHUNK: usize = 1 << 14;

/// One update of AdamW (Loshchilov and Hutter, 2019), with the numbers that each element needs:
///
/// ```text
/// g ← gradient_scale · g
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// p ← decay_factor · p − rate · m / (√v · root_scale + ε)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// β₁ and β₂.
    pub betas: [f32; 2],
    /// Scale of the gradients; below 1 if they are clipped.
    pub gradient_scale: f32,
    /// ε.
    pub epsilon: f32,
    /// `1 − learning rate · weight decay`.
    pub decay_factor: f32,
    /// `learning rate / (1 − β₁ᵗ)`.
    pub rate: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    pub root_scale: f32,
}

levelled! {
    fn adamw_chunk(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], step: AdamW) {
        let [beta_1, beta_2] = step.betas;
        let moments = m.iter_mut().zip(v.iter_mut());
        for ((p, (m, v)), &g) in p.iter_mut().zip(moments).zip(g) {
            let g = step.gradient_scale * g;
            *m = beta_1 * *m + (1.0 - beta_1) * g;
            *v = beta_2 * *v + (1.0 - beta_2) * (g * g);
            *p = step.decay_factor * *p - step.rate * *m / (v.sqrt() * step.root_scale + step.epsilon);
        }
    }
}

/// Updates parameters `p` and their moments `m` and `v` by gradients `g`.
///
/// # Panics
/// If the lengths differ.
pub fn adamw(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], step: AdamW) {
    assert!(p.len() == g.len() && m.len() == g.len() && v.len() == g.len());
    let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
    let chunks = p
        .par_chunks_mut(CHUNK)
        .zip(moments)
        .zip(g.par_chunks(CHUNK));
    chunks.for_each(|((p, (m, v)), g)| adamw_chunk(p, m, v, g, step));
}

levelled! {
    pub(crate) fn sum_of_squares_chunk(values: &[f32]) -> f64 {
        let mut sums = [0.0; 16];
        let (chunks, rest) = values.as_chunks::<16>();
        for chunk in chunks {
            for (sum, &value) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        let rest = rest.iter().map(|&value| f64::from(value) * f64::from(value));
        sums.iter().sum::<f64>() + rest.sum::<f64>()
    }
}

/// The sum of squares. The order of additions does not depend on the number of threads.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let partial: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_squares_chunk).collect();
    partial.iter().sum()
}

levelled! {
    fn write_sums(output: &mut [Uninit], left: &[f32], right: &[f32]) {
        for ((output, left), right) in output.iter_mut().zip(left).zip(right) {
            output.write(left + right);
        }
    }
}

/// `left + right`.
///
/// # Panics
/// If the lengths differ.
pub fn add(left: &[f32], right: &[f32]) -> Vec<f32> {
    assert_eq!(left.len(), right.len());
    from_chunks(left.len(), CHUNK, |index, output| {
        let chunk = index * CHUNK..index * CHUNK + output.len();
        write_sums(output, &left[chunk.clone()], &right[chunk]);
        // SAFETY: the slices are as long as the chunk, so there is a sum for each element.
        unsafe { output.assume_init_mut() }
    })
}

levelled! {
    fn accumulate_chunk(sums: &mut [f32], values: &[f32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}

/// `left[i] + repeated[i mod n]`, for the `n` values of `repeated`.
///
/// # Panics
/// If the length of `left` is not a multiple of `n`.
pub fn add_repeated(left: &[f32], repeated: &[f32]) -> Vec<f32> {
    check_repeats(left, repeated.len());
    from_chunks(left.len(), CHUNK, |index, output| {
        let first = index * CHUNK;
        let (mut done, mut from) = (0, first % repeated.len());
        while done < output.len() {
            let count = (output.len() - done).min(repeated.len() - from);
            let sums = &mut output[done..done + count];
            write_sums(
                sums,
                &left[first + done..][..count],
                &repeated[from..][..count],
            );
            (done, from) = (done + count, 0);
        }
        // SAFETY: the parts make up the chunk, and there is a sum for each element of a part.
        unsafe { output.assume_init_mut() }
    })
}

/// The sums `Σₖ values[k · n + i]` of values that lie `n` apart: the gradient of [`add_repeated`]
/// with respect to the repeated values.
///
/// # Panics
/// If the number of values is not a multiple of `n`.
pub fn sum_repeated(values: &[f32], n: usize) -> Vec<f32> {
    check_repeats(values, n);
    let mut sums = vec![0.0; n];
    sums.par_chunks_mut(CHUNK / 4)
        .enumerate()
        .for_each(|(index, sums)| {
            for values in values.chunks_exact(n) {
                accumulate_chunk(sums, &values[index * (CHUNK / 4)..][..sums.len()]);
            }
        });
    sums
}

fn check_repeats(values: &[f32], n: usize) {
    assert!(n > 0 && values.len().is_multiple_of(n), "whole repeats");
}

levelled! {
    pub(crate) fn scale_chunk(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

levelled! {
    pub(crate) fn multiply_chunk(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

/// Multiplies all values by a factor.
pub fn scale(values: &mut [f32], factor: f32) {
    values
        .par_chunks_mut(CHUNK)
        .for_each(|values| scale_chunk(values, factor));
}
