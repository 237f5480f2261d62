//! The cosine mask in one pass: cosine, noise, rounding, product; and its gradient.
//!
//! ```text
//! M      = 0.5 cos(attended + shift) + 0.5
//! output = x · [rule keeps M]
//! ```

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::{cos_sin, is_reduced};
use crate::random::{Philox, unit};

/// Which elements of a mask are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// Those with `M` of at least the threshold.
    Threshold(f32),
    /// Each with probability `M`; element `i` is decided by position `i` of the generator.
    Random(Philox),
}

/// Which mean over a mask is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `M² / 2`.
    Squared,
    /// `M`.
    Linear,
    /// `−M log₂(M + 1e-9)`.
    Entropy,
}

/// Elements of a chunk that one thread works on; a multiple of 4, so that chunks begin at whole
/// blocks of random numbers.
const CHUNK: usize = 1 << 14;

/// Rows whose sums one partial result holds: sums are added in an order that does not depend on
/// the number of threads.
const ROWS: usize = 64;

fn mask(z: f32) -> (f32, f32) {
    let (cosine, sine) = if is_reduced(z) {
        cos_sin(z)
    } else {
        (z.cos(), z.sin())
    };
    (0.5 * cosine + 0.5, -0.5 * sine)
}

/// Masks of a run of elements that begins at channel `channel`.
fn fill(values: &mut [f32], slopes: &mut [f32], attended: &[f32], shift: &[f32], channel: usize) {
    levelled! {
        fn regular(values: &mut [f32], slopes: &mut [f32], attended: &[f32], shift: &[f32]) -> bool {
            let mut largest = 0.0f32;
            let elements = values.iter_mut().zip(slopes).zip(attended.iter().zip(shift));
            for ((value, slope), (&attended, &shift)) in elements {
                let z = attended + shift;
                let (cosine, sine) = cos_sin(z);
                *value = 0.5 * cosine + 0.5;
                *slope = -0.5 * sine;
                // A NaN is no larger than anything, and its cosine is NaN on either way.
                largest = if z.abs() > largest { z.abs() } else { largest };
            }
            is_reduced(largest)
        }
    }
    let (mut done, mut channel) = (0, channel);
    while done < values.len() {
        let count = (shift.len() - channel).min(values.len() - done);
        let part = done..done + count;
        let shift = &shift[channel..channel + count];
        let attended = &attended[part.clone()];
        if !regular(
            &mut values[part.clone()],
            &mut slopes[part.clone()],
            attended,
            shift,
        ) {
            let elements = values[part.clone()].iter_mut().zip(&mut slopes[part]);
            for ((value, slope), (attended, shift)) in elements.zip(attended.iter().zip(shift)) {
                (*value, *slope) = mask(attended + shift);
            }
        }
        done += count;
        channel = 0;
    }
}

/// Replaces masks by 1 where they are kept and 0 elsewhere.
fn round(masks: &mut [f32], keep: Keep, start: usize) {
    match keep {
        Keep::Threshold(threshold) => {
            for mask in masks {
                *mask = if *mask >= threshold { 1.0 } else { 0.0 };
            }
        }
        Keep::Random(generator) => {
            for (block, masks) in masks.chunks_mut(4).enumerate() {
                let noise = generator.block((start / 4 + block) as u64);
                for (mask, number) in masks.iter_mut().zip(noise) {
                    *mask = if unit(number) <= *mask { 1.0 } else { 0.0 };
                }
            }
        }
    }
}

fn check(elements: usize, attended: &[f32], shift: &[f32]) {
    assert_eq!(attended.len(), elements, "one attended value per element");
    assert!(
        !shift.is_empty() && elements.is_multiple_of(shift.len()),
        "whole rows of channels"
    );
}

/// `output = x · round(M)`.
///
/// `x`, `attended` and `output` are rows of `shift.len()` channels.
///
/// # Panics
/// If the lengths differ.
pub fn product(output: &mut [f32], x: &[f32], attended: &[f32], shift: &[f32], keep: Keep) {
    check(x.len(), attended, shift);
    assert_eq!(output.len(), x.len());
    output
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(index, output)| {
            let start = index * CHUNK;
            let range = start..start + output.len();
            let mut slopes = vec![0.0; output.len()];
            fill(
                output,
                &mut slopes,
                &attended[range.clone()],
                shift,
                start % shift.len(),
            );
            round(output, keep, start);
            for (output, x) in output.iter_mut().zip(&x[range]) {
                *output *= x;
            }
        });
}

/// The gradient of [`product`], straight through the rounding.
///
/// Writes `dx = round(M) · gradient` and `dattended = dM/dz · x · gradient`. The gradient of the
/// shift is the sum of `dattended` over the rows.
///
/// # Panics
/// If the lengths differ.
#[allow(clippy::too_many_arguments)]
pub fn product_backward(
    dx: &mut [f32],
    dattended: &mut [f32],
    gradient: &[f32],
    x: &[f32],
    attended: &[f32],
    shift: &[f32],
    keep: Keep,
) {
    check(x.len(), attended, shift);
    assert!(gradient.len() == x.len() && dx.len() == x.len() && dattended.len() == x.len());
    let chunks = dx
        .par_chunks_mut(CHUNK)
        .zip(dattended.par_chunks_mut(CHUNK))
        .enumerate();
    chunks.for_each(|(index, (dx, dattended))| {
        let start = index * CHUNK;
        let range = start..start + dx.len();
        fill(
            dx,
            dattended,
            &attended[range.clone()],
            shift,
            start % shift.len(),
        );
        round(dx, keep, start);
        let inputs = x[range.clone()].iter().zip(&gradient[range]);
        for ((dx, dattended), (x, gradient)) in dx.iter_mut().zip(dattended).zip(inputs) {
            *dx *= gradient;
            *dattended *= x * gradient;
        }
    });
}

/// The mean of a moment over a mask.
///
/// # Panics
/// If the lengths do not fit, or there is no element.
pub fn mean(attended: &[f32], shift: &[f32], moment: Moment) -> f32 {
    check(attended.len(), attended, shift);
    assert!(!attended.is_empty(), "a mean of nothing");
    let block = ROWS * shift.len();
    let partial: Vec<f64> = attended
        .par_chunks(block)
        .map(|attended| {
            let mut masks = vec![0.0; attended.len()];
            let mut slopes = vec![0.0; attended.len()];
            fill(&mut masks, &mut slopes, attended, shift, 0);
            masks
                .iter()
                .map(|&mask| f64::from(value(mask, moment)))
                .sum()
        })
        .collect();
    (partial.iter().sum::<f64>() / attended.len() as f64) as f32
}

/// The gradient of [`mean`] with respect to `attended`, times `gradient`.
///
/// # Panics
/// If the lengths do not fit.
pub fn mean_backward(
    dattended: &mut [f32],
    attended: &[f32],
    shift: &[f32],
    moment: Moment,
    gradient: f32,
) {
    check(attended.len(), attended, shift);
    assert_eq!(dattended.len(), attended.len());
    let factor = gradient / attended.len() as f32;
    let chunks = dattended.par_chunks_mut(CHUNK).enumerate();
    chunks.for_each(|(index, dattended)| {
        let start = index * CHUNK;
        let mut masks = vec![0.0; dattended.len()];
        let attended = &attended[start..start + dattended.len()];
        fill(&mut masks, dattended, attended, shift, start % shift.len());
        for (dattended, mask) in dattended.iter_mut().zip(masks) {
            *dattended *= derivative(mask, moment) * factor;
        }
    });
}

fn value(mask: f32, moment: Moment) -> f32 {
    match moment {
        Moment::Squared => 0.5 * mask * mask,
        Moment::Linear => mask,
        Moment::Entropy => -mask * (mask + 1e-9).log2(),
    }
}

fn derivative(mask: f32, moment: Moment) -> f32 {
    match moment {
        Moment::Squared => mask,
        Moment::Linear => 1.0,
        Moment::Entropy => -(mask + 1e-9).log2() - mask / (mask + 1e-9) * std::f32::consts::LOG2_E,
    }
}
