//! bf16: the upper half of an f32.

use crate::level::levelled;
use crate::matrix::View;

/// The 16 bits of `value` rounded to bf16, to nearest and ties to even. NaN stays NaN.
#[inline(always)]
pub fn to_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    let nan = (bits >> 16) | 0x40;
    (if value.is_nan() { nan } else { rounded }) as u16
}

/// The f32 with these upper 16 bits.
#[inline(always)]
pub fn from_bits(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Two values as bf16 in the bits of one lane. The first one is in the lower half.
#[inline(always)]
pub(super) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(u32::from(to_bits(first)) | u32::from(to_bits(second)) << 16)
}

/// The pair of the terms `2 · unit` and `2 · unit + 1` of a row. Terms that the row lacks are 0.
pub(super) fn pair_at(matrix: View<'_>, row: usize, unit: usize) -> f32 {
    let at = |term| {
        if term < matrix.columns() {
            matrix.at(row, term)
        } else {
            0.0
        }
    };
    pair(at(2 * unit), at(2 * unit + 1))
}

levelled! {
    /// Rounds values to bf16, stored as f32.
    pub(super) fn round(output: &mut [f32], values: &[f32]) {
        for (output, &value) in output.iter_mut().zip(values) {
            *output = from_bits(to_bits(value));
        }
    }
}

levelled! {
    /// Packs neighbouring values as pairs. An odd last value is paired with 0.
    pub(super) fn pairs(output: &mut [f32], values: &[f32]) {
        let (whole, rest) = values.as_chunks::<2>();
        for (output, &[first, second]) in output.iter_mut().zip(whole) {
            *output = pair(first, second);
        }
        if let [last] = rest {
            output[whole.len()] = pair(*last, 0.0);
        }
    }
}

levelled! {
    /// Packs pairs of the elements of two rows.
    pub(super) fn pairs_of_rows(output: &mut [f32], first: &[f32], second: &[f32]) {
        for (output, (&first, &second)) in output.iter_mut().zip(first.iter().zip(second)) {
            *output = pair(first, second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_and_ties_to_even() {
        let round = |value: f32| from_bits(to_bits(value));
        assert_eq!(round(1.0), 1.0);
        // bf16 has 8 bits of precision: the next value above 1 is 1 + 2⁻⁷.
        assert_eq!(round(1.0 + 2f32.powi(-8)), 1.0);
        assert_eq!(round(1.0 + 3.0 * 2f32.powi(-8)), 1.0 + 2f32.powi(-6));
        assert_eq!(round(1.0 + 1.01 * 2f32.powi(-8)), 1.0 + 2f32.powi(-7));
        assert_eq!(round(f32::INFINITY), f32::INFINITY);
        assert_eq!(round(f32::MAX), f32::INFINITY);
        assert!(round(f32::NAN).is_nan());
        assert!(round(f32::from_bits(0x7F80_0001)).is_nan());
    }
}
