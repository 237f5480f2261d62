//! Gates with a threshold and the cosine, in one pass: the factors and the kept share, and the gradients.
//!
//! ```text
//! M      = 0.5 cos(attended + shift) + 0.5
//! excess = (2 M − 1) − threshold
//! kept   = excess > 0
//! ```

use crate::level::levelled;
use crate::mask::{ROWS, add_rows, check, masks_and_slopes, write};
use crate::partial_sums::add_partial_sums;
use crate::scratch::scratch;
use crate::uninitialized::from_chunks_with;
use crate::update::multiply_chunk;

/// What a gate multiplies kept values by; it multiplies dropped ones by 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateFactor {
    /// The excess over the threshold. Its gradient reaches `M` only where a value is kept.
    Excess,
    /// 1. The gradient passes straight through to `M`.
    One,
}

/// How far `2 M − 1` is above the threshold; a value is kept where this is above 0. Training and decoding
/// both call this, so that no value is kept in one and dropped in the other.
#[inline(always)]
pub fn excess(mask: f32, threshold: f32) -> f32 {
    (2.0 * mask - 1.0) - threshold
}

levelled! {
    /// Replaces masks by the factors of a gate, and counts what is kept.
    fn to_factors(masks: &mut [f32], threshold: f32, factor: GateFactor) -> u64 {
        let mut kept = 0;
        for mask in masks {
            let excess = excess(*mask, threshold);
            kept += u32::from(excess > 0.0);
            let factor = match factor {
                GateFactor::Excess => excess,
                GateFactor::One => 1.0,
            };
            // A mask that is no number passes, or else its error would look like something dropped.
            let dropped = if excess.is_nan() { excess } else { 0.0 };
            *mask = if excess > 0.0 { factor } else { dropped };
        }
        u64::from(kept)
    }
}

/// The factors for rows of `shift.len()` values, and the share of all values that is kept; 0 if there
/// are none. NaN where `M` is NaN.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(
    attended: &[f32],
    shift: &[f32],
    threshold: f32,
    factor: GateFactor,
) -> (Vec<f32>, f32) {
    check(attended.len(), attended, shift);
    let block = ROWS * shift.len();
    let (factors, kept) = from_chunks_with(attended.len(), block, |index, output| {
        let first = index * block;
        let rows = first..first + output.len();
        let output = write(output, &attended[rows], shift);
        let kept = to_factors(output, threshold, factor);
        (output, kept)
    });
    let share = kept.iter().sum::<u64>() as f64 / attended.len().max(1) as f64;
    (factors, share as f32)
}

levelled! {
    /// Multiplies the slopes `dM/dz` by `dfactor/dM` of the excess: 2 where a value is kept, else 0.
    fn multiply_by_slope_of_excess(slopes: &mut [f32], masks: &[f32], threshold: f32) {
        for (slope, &mask) in slopes.iter_mut().zip(masks) {
            *slope *= if excess(mask, threshold) > 0.0 { 2.0 } else { 0.0 };
        }
    }
}

/// The gradients of the factors of [`forward`] with respect to `attended` and to the shift, which is
/// the sum of the first over the rows.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward(
    gradient: &[f32],
    attended: &[f32],
    shift: &[f32],
    threshold: f32,
    factor: GateFactor,
) -> (Vec<f32>, Vec<f32>) {
    check(attended.len(), attended, shift);
    assert_eq!(gradient.len(), attended.len(), "gradient");
    let block = ROWS * shift.len();
    let (dattended, partial) = from_chunks_with(attended.len(), block, |index, dattended| {
        let rows = index * block..index * block + dattended.len();
        let mut masks = scratch(dattended.len());
        let (masks, dattended) =
            masks_and_slopes(&mut masks, dattended, &attended[rows.clone()], shift);
        if factor == GateFactor::Excess {
            multiply_by_slope_of_excess(dattended, masks, threshold);
        }
        multiply_chunk(dattended, &gradient[rows]);
        let mut dshift = vec![0.0; shift.len()];
        add_rows(&mut dshift, dattended);
        (dattended, dshift)
    });
    let mut dshift = vec![0.0; shift.len()];
    add_partial_sums(&mut dshift, &partial);
    (dattended, dshift)
}
