//! The cosine mask: cosine, noise, rounding and product in one pass, and the gradients.
//!
//! ```text
//! M      = 0.5 cos(attended + shift) + 0.5
//! output = x · [rule keeps M]
//! ```

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::{cos_sin, is_reduced, log2};
use crate::partial_sums::add_partial_sums;
use crate::random::Philox;
use crate::scratch::{Scratch, scratch};
use crate::uninitialized::{
    Uninit, as_uninit, from_chunks, from_chunks_with, initialized, uninitialized,
};
use crate::update::{multiply_chunk, scale_chunk, sum_of_squares_chunk};

/// The rule by which elements are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// Keeps elements with `M` at or above the threshold.
    Threshold(f32),
    /// Keeps each element with probability `M`. Position `i` of the generator decides on element
    /// `i`.
    Random(Philox),
    /// Keeps elements with `M` at or above a noise within `spread / 2` of 0.5. Position `i` of the
    /// generator gives the noise of element `i`.
    Narrowed {
        /// The source of the noise.
        generator: Philox,
        /// From 0, which is the threshold 0.5, to 1, which is uniform noise.
        spread: f32,
    },
}

/// A function of `M` whose mean over a mask is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `M² / 2`.
    Squared,
    /// `M`.
    Linear,
    /// `−M log₂(M + 1e-9)`.
    Entropy,
    /// 1 where `M ≥ 0.5`, else 0: what inference keeps. Its gradient is 0.
    Kept,
}

impl Moment {
    /// The derivative with respect to `M`.
    #[inline(always)]
    fn slope(self, mask: f32) -> f32 {
        match self {
            Self::Squared => mask,
            Self::Linear => 1.0,
            Self::Entropy => -(mask + 1e-9).log2() - mask / (mask + 1e-9) * LOG2_E,
            Self::Kept => 0.0,
        }
    }
}

/// Values of one task, where masks have no rows. A multiple of 4, as [`ROWS`] is.
const VALUES: usize = 1 << 14;

/// Rows of one task, and of one partial sum: the order of additions does not depend on the number
/// of threads. A multiple of 4, so that chunks begin with whole blocks of random numbers.
pub(crate) const ROWS: usize = 64;

/// Rows that go through all steps together, so that they stay in a near cache. A multiple of 4 that
/// divides [`ROWS`].
const TOGETHER: usize = 8;

fn mask(z: f32) -> (f32, f32) {
    let (cosine, sine) = if is_reduced(z) {
        cos_sin::<false>(z)
    } else {
        (z.cos(), z.sin())
    };
    (0.5 * cosine + 0.5, -0.5 * sine)
}

levelled! {
    /// Writes the masks and slopes of a row with the fast cosine. False if an argument is outside
    /// of its range; the values are then wrong.
    fn write_row(
        masks: &mut [Uninit],
        slopes: &mut [Uninit],
        attended: &[f32],
        shift: &[f32],
    ) -> bool {
        // The maximum of the bits, which compilers vectorize. NaN is the largest.
        let mut largest = 0u32;
        let elements = masks.iter_mut().zip(slopes).zip(attended.iter().zip(shift));
        for ((mask, slope), (&attended, &shift)) in elements {
            let z = attended + shift;
            let (cosine, sine) = cos_sin::<FUSED>(z);
            mask.write(0.5 * cosine + 0.5);
            slope.write(-0.5 * sine);
            largest = largest.max(z.abs().to_bits());
        }
        is_reduced(f32::from_bits(largest))
    }
}

/// Writes the masks and slopes of whole rows of channels.
fn write_with_slopes<'a, 'b>(
    masks: &'a mut [Uninit],
    slopes: &'b mut [Uninit],
    attended: &[f32],
    shift: &[f32],
) -> (&'a mut [f32], &'b mut [f32]) {
    let width = shift.len();
    check(masks.len(), attended, shift);
    assert_eq!(slopes.len(), masks.len());
    let rows = masks
        .chunks_exact_mut(width)
        .zip(slopes.chunks_exact_mut(width));
    for ((masks, slopes), attended) in rows.zip(attended.chunks_exact(width)) {
        if !write_row(masks, slopes, attended, shift) {
            let elements = masks.iter_mut().zip(slopes);
            for ((value, slope), (attended, shift)) in elements.zip(attended.iter().zip(shift)) {
                let (exact_value, exact_slope) = mask(attended + shift);
                value.write(exact_value);
                slope.write(exact_slope);
            }
        }
    }
    // SAFETY: the rows are whole, so there is a value for each element of both.
    unsafe { (masks.assume_init_mut(), slopes.assume_init_mut()) }
}

levelled! {
    /// [`write_row`] without slopes.
    fn write_row_of_masks(masks: &mut [Uninit], attended: &[f32], shift: &[f32]) -> bool {
        let mut largest = 0u32;
        for ((mask, &attended), &shift) in masks.iter_mut().zip(attended).zip(shift) {
            let z = attended + shift;
            let (cosine, _) = cos_sin::<FUSED>(z);
            mask.write(0.5 * cosine + 0.5);
            largest = largest.max(z.abs().to_bits());
        }
        is_reduced(f32::from_bits(largest))
    }
}

/// [`write_with_slopes`] with a pooled buffer for the masks.
pub(crate) fn masks_and_slopes<'a, 'b>(
    masks: &'a mut Scratch,
    slopes: &'b mut [Uninit],
    attended: &[f32],
    shift: &[f32],
) -> (&'a mut [f32], &'b mut [f32]) {
    // SAFETY: all values that are written are initialized.
    write_with_slopes(unsafe { as_uninit(masks) }, slopes, attended, shift)
}

/// Writes the masks of whole rows of channels.
pub(crate) fn write<'a>(masks: &'a mut [Uninit], attended: &[f32], shift: &[f32]) -> &'a mut [f32] {
    let width = shift.len();
    check(masks.len(), attended, shift);
    let rows = masks.chunks_exact_mut(width);
    for (masks, attended) in rows.zip(attended.chunks_exact(width)) {
        if !write_row_of_masks(masks, attended, shift) {
            for ((value, attended), shift) in masks.iter_mut().zip(attended).zip(shift) {
                value.write(mask(attended + shift).0);
            }
        }
    }
    // SAFETY: the rows are whole, so there is a value for each element.
    unsafe { masks.assume_init_mut() }
}

/// Writes `M` for each value of rows of `shift.len()` values.
///
/// # Panics
/// If the lengths differ.
pub fn values(output: &mut [f32], attended: &[f32], shift: &[f32]) {
    check(output.len(), attended, shift);
    let block = ROWS * shift.len();
    output
        .par_chunks_mut(block)
        .zip(attended.par_chunks(block))
        .for_each(|(output, attended)| {
            // SAFETY: all values that are written are initialized.
            write(unsafe { as_uninit(output) }, attended, shift);
        });
}

/// Replaces kept masks by 1 and others by 0; NaN stays NaN. `start` is the position of the first one.
pub(crate) fn round(masks: &mut [f32], keep: Keep, start: usize) {
    match keep {
        Keep::Threshold(threshold) => {
            for mask in masks {
                *mask = side(*mask >= threshold, *mask);
            }
        }
        Keep::Random(generator) => {
            let mut noise = scratch(masks.len());
            generator.units(start as u64, &mut noise);
            compare(masks, &noise);
        }
        Keep::Narrowed { generator, spread } => {
            let mut noise = scratch(masks.len());
            generator.units(start as u64, &mut noise);
            for value in &mut *noise {
                *value = (*value - 0.5) * spread + 0.5;
            }
            compare(masks, &noise);
        }
    }
}

/// 1 where a mask is kept, else 0; a mask that is no number passes, or else its error would look like
/// something dropped.
#[inline(always)]
fn side(kept: bool, mask: f32) -> f32 {
    let dropped = if mask.is_nan() { mask } else { 0.0 };
    if kept { 1.0 } else { dropped }
}

levelled! {
    fn compare(masks: &mut [f32], noise: &[f32]) {
        for (mask, &noise) in masks.iter_mut().zip(noise) {
            *mask = side(noise <= *mask, *mask);
        }
    }
}

pub(crate) fn check(elements: usize, attended: &[f32], shift: &[f32]) {
    assert_eq!(attended.len(), elements, "one attended value per element");
    assert!(
        !shift.is_empty() && elements.is_multiple_of(shift.len()),
        "whole rows of channels"
    );
}

/// `x · round(M)`, in the shape of `x`: rows of `shift.len()` channels. NaN where `M` is NaN.
///
/// # Panics
/// If the lengths differ.
pub fn product(x: &[f32], attended: &[f32], shift: &[f32], keep: Keep) -> Vec<f32> {
    check(x.len(), attended, shift);
    let block = ROWS * shift.len();
    from_chunks(x.len(), block, |index, output| {
        let part = TOGETHER * shift.len();
        for (number, output) in output.chunks_mut(part).enumerate() {
            let first = index * block + number * part;
            let elements = first..first + output.len();
            let output = write(output, &attended[elements.clone()], shift);
            round(output, keep, first);
            multiply_chunk(output, &x[elements]);
        }
        // SAFETY: the parts make up the chunk, and each was written.
        unsafe { output.assume_init_mut() }
    })
}

levelled! {
    /// Adds each row of `rows` to `sums`.
    pub(crate) fn add_rows(sums: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

/// The gradients of [`product`]. They pass straight through the rounding.
pub struct ProductGradients {
    /// With respect to `x`: `round(M) · gradient`.
    pub x: Vec<f32>,
    /// With respect to `attended`: `dM/dz · x · gradient`.
    pub attended: Vec<f32>,
    /// With respect to the shift: the sum of `attended` over the rows.
    pub shift: Vec<f32>,
}

/// The gradients of [`product`]. They pass straight through the rounding.
///
/// # Panics
/// If the lengths differ.
pub fn product_backward(
    gradient: &[f32],
    x: &[f32],
    attended: &[f32],
    shift: &[f32],
    keep: Keep,
) -> ProductGradients {
    check(x.len(), attended, shift);
    assert_eq!(gradient.len(), x.len(), "gradient");
    let [mut dx, mut dattended] = [(); 2].map(|()| uninitialized(x.len()));
    let block = ROWS * shift.len();
    let inputs = x.par_chunks(block).zip(attended.par_chunks(block));
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(block)
        .zip(dattended.par_chunks_mut(block))
        .zip(gradient.par_chunks(block).zip(inputs))
        .enumerate()
        .map(|(index, ((dx, dattended), (gradient, (x, attended))))| {
            let mut dshift = vec![0.0; shift.len()];
            let part = TOGETHER * shift.len();
            let outputs = dx.chunks_mut(part).zip(dattended.chunks_mut(part));
            let inputs = x.chunks(part).zip(attended.chunks(part));
            let parts = outputs.zip(gradient.chunks(part).zip(inputs)).enumerate();
            for (number, ((dx, dattended), (gradient, (x, attended)))) in parts {
                let (dx, dattended) = write_with_slopes(dx, dattended, attended, shift);
                round(dx, keep, index * block + number * part);
                multiply_chunk(dx, gradient);
                multiply_chunk(dattended, gradient);
                multiply_chunk(dattended, x);
                add_rows(&mut dshift, dattended);
            }
            dshift
        })
        .collect();
    let mut dshift = vec![0.0; shift.len()];
    add_partial_sums(&mut dshift, &partial);
    // SAFETY: the parts of all chunks make up both results, and each part was written.
    let [dx, dattended] = [dx, dattended].map(|values| unsafe { initialized(values) });
    ProductGradients {
        x: dx,
        attended: dattended,
        shift: dshift,
    }
}

/// `round(M)` for rows of `shift.len()` values: 1 where a value is kept, 0 elsewhere.
///
/// # Panics
/// If the lengths do not fit.
pub fn rounded(attended: &[f32], shift: &[f32], keep: Keep) -> Vec<f32> {
    check(attended.len(), attended, shift);
    let block = ROWS * shift.len();
    from_chunks(attended.len(), block, |index, output| {
        let first = index * block;
        let rows = first..first + output.len();
        let output = write(output, &attended[rows], shift);
        round(output, keep, first);
        output
    })
}

/// `round(M)` for the values of any mask: 1 where one is kept, 0 elsewhere. NaN where `M` is NaN.
pub fn rounded_values(masks: &[f32], keep: Keep) -> Vec<f32> {
    from_chunks(masks.len(), VALUES, |index, output| {
        let first = index * VALUES;
        let output = output.write_copy_of_slice(&masks[first..first + output.len()]);
        round(output, keep, first);
        output
    })
}

/// The gradients of [`rounded`] with respect to `attended` and to the shift. They pass straight
/// through the rounding: `dM/dz · gradient`, and its sum over the rows.
///
/// # Panics
/// If the lengths do not fit.
pub fn rounded_backward(gradient: &[f32], attended: &[f32], shift: &[f32]) -> (Vec<f32>, Vec<f32>) {
    check(attended.len(), attended, shift);
    assert_eq!(gradient.len(), attended.len(), "gradient");
    let block = ROWS * shift.len();
    let (dattended, partial) = from_chunks_with(attended.len(), block, |index, dattended| {
        let rows = index * block..index * block + dattended.len();
        let mut masks = scratch(dattended.len());
        let (_, dattended) =
            masks_and_slopes(&mut masks, dattended, &attended[rows.clone()], shift);
        multiply_chunk(dattended, &gradient[rows]);
        let mut dshift = vec![0.0; shift.len()];
        add_rows(&mut dshift, dattended);
        (dattended, dshift)
    });
    let mut dshift = vec![0.0; shift.len()];
    add_partial_sums(&mut dshift, &partial);
    (dattended, dshift)
}

/// The mean of a moment over a mask.
///
/// # Panics
/// If the lengths do not fit, or the mask is empty.
pub fn mean(attended: &[f32], shift: &[f32], moment: Moment) -> f32 {
    check(attended.len(), attended, shift);
    assert!(!attended.is_empty(), "a mean of nothing");
    let block = ROWS * shift.len();
    let partial: Vec<f64> = attended
        .par_chunks(block)
        .map(|attended| {
            let mut masks = scratch((TOGETHER * shift.len()).min(attended.len()));
            let parts = attended.chunks(TOGETHER * shift.len());
            let sums = parts.map(|attended| {
                let masks = &mut masks[..attended.len()];
                // SAFETY: all values that are written are initialized.
                sum(write(unsafe { as_uninit(masks) }, attended, shift), moment)
            });
            sums.sum()
        })
        .collect();
    (partial.iter().sum::<f64>() / attended.len() as f64) as f32
}

/// The mean of a moment over the values of any mask.
///
/// # Panics
/// If the mask is empty.
pub fn value_mean(masks: &[f32], moment: Moment) -> f32 {
    assert!(!masks.is_empty(), "a mean of nothing");
    let sums = masks.par_chunks(VALUES).map(|masks| sum(masks, moment));
    let sums: Vec<f64> = sums.collect();
    (sums.iter().sum::<f64>() / masks.len() as f64) as f32
}

/// The gradient of [`value_mean`] with respect to the values, times `gradient`.
pub fn value_mean_backward(masks: &[f32], moment: Moment, gradient: f32) -> Vec<f32> {
    let factor = gradient / masks.len() as f32;
    from_chunks(masks.len(), VALUES, |index, output| {
        let first = index * VALUES;
        let masks = &masks[first..first + output.len()];
        for (output, &mask) in output.iter_mut().zip(masks) {
            output.write(factor * moment.slope(mask));
        }
        // SAFETY: the slices are as long, so there is a value for each element.
        unsafe { output.assume_init_mut() }
    })
}

/// The gradients of [`mean`] with respect to `attended` and to the shift, times `gradient`.
///
/// # Panics
/// If the lengths do not fit.
pub fn mean_backward(
    attended: &[f32],
    shift: &[f32],
    moment: Moment,
    gradient: f32,
) -> (Vec<f32>, Vec<f32>) {
    check(attended.len(), attended, shift);
    let factor = gradient / attended.len() as f32;
    let block = ROWS * shift.len();
    let (dattended, partial) = from_chunks_with(attended.len(), block, |index, dattended| {
        let rows = index * block..index * block + dattended.len();
        let mut masks = scratch(dattended.len());
        let (masks, dattended) = masks_and_slopes(&mut masks, dattended, &attended[rows], shift);
        match moment {
            Moment::Squared => multiply_chunk(dattended, masks),
            Moment::Linear => {}
            Moment::Entropy => {
                for (&mask, slope) in masks.iter().zip(&mut *dattended) {
                    *slope *= moment.slope(mask);
                }
            }
            Moment::Kept => dattended.fill(0.0),
        }
        scale_chunk(dattended, factor);
        let mut dshift = vec![0.0; shift.len()];
        add_rows(&mut dshift, dattended);
        (dattended, dshift)
    });
    let mut dshift = vec![0.0; shift.len()];
    add_partial_sums(&mut dshift, &partial);
    (dattended, dshift)
}

/// The sum of a moment over masks.
fn sum(masks: &[f32], moment: Moment) -> f64 {
    match moment {
        Moment::Squared => 0.5 * sum_of_squares_chunk(masks),
        Moment::Linear => masks.iter().map(|&mask| f64::from(mask)).sum(),
        Moment::Entropy => entropy_sum(masks),
        Moment::Kept => masks.iter().filter(|&&mask| mask >= 0.5).count() as f64,
    }
}

levelled! {
    /// The sum of `−M log₂(M + 1e-9)` over masks; NaN if one of them is.
    pub(crate) fn entropy_sum(masks: &[f32]) -> f64 {
        let entropy = |mask: f32| f64::from(-mask * log2::<FUSED>(mask + 1e-9));
        let mut sums = [0.0; 16];
        let (chunks, rest) = masks.as_chunks::<16>();
        for chunk in chunks {
            for (sum, &mask) in sums.iter_mut().zip(chunk) {
                *sum += entropy(mask);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|&mask| entropy(mask)).sum::<f64>()
    }
}
