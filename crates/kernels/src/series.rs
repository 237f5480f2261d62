//! Masks that are a series of cosines, and their gradients.
//!
//! ```text
//! M = 0.5 + 0.5 Σ_{k=1..K} weight_k cos(k · attended + angle_k)
//! ```
//!
//! Each value of a mask has its own angle and weight for each term.

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::{cos_sin, is_reduced, multiply_add};
use crate::partial_sums::add_partial_sums;

/// Rows of one task, and of one partial sum: the order of additions does not depend on the number
/// of threads.
const ROWS: usize = 32;

/// The learned part of a series: `K` rows with one number for each value of a mask.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// `angle_k`, in radians.
    pub angles: &'a [f32],
    /// `weight_k`. If the weights of a value are positive and add up to 1, its mask is in [0, 1].
    pub weights: &'a [f32],
    /// Values of a mask.
    pub values: usize,
}

/// The gradients of [`forward`].
pub struct Gradients {
    /// With respect to `attended`.
    pub attended: Vec<f32>,
    /// With respect to the angles, summed over the rows.
    pub angles: Vec<f32>,
    /// With respect to the weights, summed over the rows.
    pub weights: Vec<f32>,
}

impl Series<'_> {
    fn check(&self, attended: &[f32]) {
        assert_eq!(self.angles.len(), self.weights.len(), "angles and weights");
        assert!(
            self.values > 0 && self.angles.len().is_multiple_of(self.values),
            "whole terms"
        );
        assert!(attended.len().is_multiple_of(self.values), "whole rows");
    }

    /// `k`, angles and weights of each term.
    fn terms(&self) -> impl Iterator<Item = (f32, &[f32], &[f32])> {
        let angles = self.angles.chunks_exact(self.values);
        let weights = self.weights.chunks_exact(self.values);
        let terms = angles.zip(weights).enumerate();
        terms.map(|(term, (angles, weights))| ((term + 1) as f32, angles, weights))
    }
}

/// Cosine and sine of any argument.
fn exact(z: f32) -> (f32, f32) {
    (z.cos(), z.sin())
}

levelled! {
    /// Adds a term to a row with the fast cosine.
    fn add_term(sums: &mut [f32], attended: &[f32], term: (f32, &[f32], &[f32])) {
        let (k, angles, weights) = term;
        let learned = angles.iter().zip(weights);
        for ((sum, &attended), (&angle, &weight)) in sums.iter_mut().zip(attended).zip(learned) {
            let (cosine, _) = cos_sin::<FUSED>(multiply_add::<FUSED>(k, attended, angle));
            *sum += 0.5 * weight * cosine;
        }
    }
}

levelled! {
    /// Whether all arguments of a term are in the range of the fast cosine.
    fn in_fast_range(attended: &[f32], k: f32, angles: &[f32]) -> bool {
        // The maximum of the bits, which compilers vectorize. NaN is the largest.
        let mut largest = 0u32;
        for (&attended, &angle) in attended.iter().zip(angles) {
            largest = largest.max((k * attended.abs() + angle.abs()).to_bits());
        }
        is_reduced(f32::from_bits(largest))
    }
}

/// `M` for each value of rows of `series.values` values, clamped to [0, 1].
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(attended: &[f32], series: Series<'_>) -> Vec<f32> {
    series.check(attended);
    let mut masks = vec![0.5; attended.len()];
    let block = ROWS * series.values;
    masks
        .par_chunks_mut(block)
        .zip(attended.par_chunks(block))
        .for_each(|(masks, attended)| {
            let rows = masks.chunks_exact_mut(series.values);
            for (masks, attended) in rows.zip(attended.chunks_exact(series.values)) {
                fill_row(masks, attended, series);
            }
        });
    masks
}

/// Adds the terms of one row to the constant in `masks`, and clamps.
fn fill_row(masks: &mut [f32], attended: &[f32], series: Series<'_>) {
    for term in series.terms() {
        let (k, angles, weights) = term;
        if in_fast_range(attended, k, angles) {
            add_term(masks, attended, term);
            continue;
        }
        let learned = angles.iter().zip(weights);
        for ((mask, attended), (angle, weight)) in masks.iter_mut().zip(attended).zip(learned) {
            let (cosine, _) = exact(k * attended + angle);
            *mask += 0.5 * weight * cosine;
        }
    }
    for mask in masks {
        *mask = mask.clamp(0.0, 1.0);
    }
}

/// The sums of gradients of one row that a term adds to.
struct TermGradients<'a> {
    attended: &'a mut [f32],
    angles: &'a mut [f32],
    weights: &'a mut [f32],
}

#[inline(always)]
fn add_gradients(
    sums: TermGradients<'_>,
    inputs: (&[f32], &[f32]),
    (k, angles, weights): (f32, &[f32], &[f32]),
    cos_sin: impl Fn(f32, f32, f32) -> (f32, f32),
) {
    let (gradient, attended) = inputs;
    let learned = angles.iter().zip(weights);
    let sums = sums.attended.iter_mut().zip(sums.angles).zip(sums.weights);
    let inputs = gradient.iter().zip(attended);
    for (((dattended, dangle), dweight), ((&gradient, &attended), (&angle, &weight))) in
        sums.zip(inputs.zip(learned))
    {
        let (cosine, sine) = cos_sin(k, attended, angle);
        let slope = -0.5 * weight * sine * gradient;
        *dattended += k * slope;
        *dangle += slope;
        *dweight += 0.5 * cosine * gradient;
    }
}

levelled! {
    /// [`add_gradients`] with the fast cosine.
    fn add_fast_gradients(
        sums: TermGradients<'_>,
        inputs: (&[f32], &[f32]),
        term: (f32, &[f32], &[f32]),
    ) {
        add_gradients(sums, inputs, term, |k, attended, angle| {
            cos_sin::<FUSED>(multiply_add::<FUSED>(k, attended, angle))
        });
    }
}

/// The gradients of [`forward`]. They ignore its clamping, which only undoes rounding errors.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward(gradient: &[f32], attended: &[f32], series: Series<'_>) -> Gradients {
    series.check(attended);
    assert_eq!(gradient.len(), attended.len(), "gradient");
    let learned = series.angles.len();
    let mut dattended = vec![0.0; attended.len()];
    let block = ROWS * series.values;
    let partial: Vec<Vec<f32>> = dattended
        .par_chunks_mut(block)
        .zip(gradient.par_chunks(block).zip(attended.par_chunks(block)))
        .map(|(dattended, (gradient, attended))| {
            let mut sums = vec![0.0; 2 * learned];
            let rows = dattended.chunks_exact_mut(series.values);
            let gradient = gradient.chunks_exact(series.values);
            let inputs = gradient.zip(attended.chunks_exact(series.values));
            for (dattended, inputs) in rows.zip(inputs) {
                add_row(dattended, &mut sums, inputs, series);
            }
            sums
        })
        .collect();
    let mut angles = vec![0.0; 2 * learned];
    add_partial_sums(&mut angles, &partial);
    let weights = angles.split_off(learned);
    Gradients {
        attended: dattended,
        angles,
        weights,
    }
}

/// Adds the gradients of one row. `sums` holds those of all angles, then those of all weights.
fn add_row(dattended: &mut [f32], sums: &mut [f32], inputs: (&[f32], &[f32]), series: Series<'_>) {
    let (dangles, dweights) = sums.split_at_mut(series.angles.len());
    let dangles = dangles.chunks_exact_mut(series.values);
    let learned = dangles.zip(dweights.chunks_exact_mut(series.values));
    for (term, (angles, weights)) in series.terms().zip(learned) {
        let sums = TermGradients {
            attended: &mut *dattended,
            angles,
            weights,
        };
        let (k, first, _) = term;
        if in_fast_range(inputs.1, k, first) {
            add_fast_gradients(sums, inputs, term);
        } else {
            add_gradients(sums, inputs, term, |k, attended, angle| {
                exact(k * attended + angle)
            });
        }
    }
}
