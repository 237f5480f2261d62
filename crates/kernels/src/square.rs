//! Transposing squares of 16 × 16 values.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(any(test, target_arch = "x86_64"))]
use crate::level::Level;
use crate::level::levelled;

/// Rows and columns.
pub(crate) const SIDE: usize = 16;

/// Transposes a square.
pub(crate) fn transpose(square: &mut [[f32; SIDE]; SIDE]) {
    #[cfg(target_arch = "x86_64")]
    if Level::current() >= Level::Avx512 {
        // SAFETY: the level means that the processor has AVX-512.
        return unsafe { transpose_avx512(square) };
    }
    transpose_plain(square);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn transpose_avx512(square: &mut [[f32; SIDE]; SIDE]) {
    let mut lanes = [_mm512_setzero_ps(); SIDE];
    for (lanes, row) in lanes.iter_mut().zip(square.iter()) {
        // SAFETY: a row is as long as a register.
        *lanes = unsafe { _mm512_loadu_ps(row.as_ptr()) };
    }
    for (lanes, row) in transposed_lanes(lanes).into_iter().zip(square) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(row.as_mut_ptr(), lanes) };
    }
}

/// Rows and columns that fit into the registers of AVX2.
const QUARTER: usize = 8;

levelled! {
    /// Transposes quarter by quarter: the reference of the AVX-512 function.
    fn transpose_plain(square: &mut [[f32; SIDE]; SIDE]) {
        let before = *square;
        for (row, column) in [(0, 0), (0, QUARTER), (QUARTER, 0), (QUARTER, QUARTER)] {
            let mut turned = [[0.0f32; QUARTER]; QUARTER];
            for (i, line) in before[row..][..QUARTER].iter().enumerate() {
                for (turned, &value) in turned.iter_mut().zip(&line[column..][..QUARTER]) {
                    turned[i] = value;
                }
            }
            for (line, turned) in square[column..][..QUARTER].iter_mut().zip(&turned) {
                line[row..][..QUARTER].copy_from_slice(turned);
            }
        }
    }
}

/// Interleaves the lower halves of all quarters of both registers.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn low(a: __m512, b: __m512) -> __m512 {
    _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))
}

/// Interleaves the upper halves.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn high(a: __m512, b: __m512) -> __m512 {
    _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))
}

/// Transposes 16 × 16 lanes: pairs of rows first, then pairs of pairs, then quarters of registers.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transposed_lanes(rows: [__m512; SIDE]) -> [__m512; SIDE] {
    let zero = _mm512_setzero_ps();
    let (mut twos, mut fours, mut columns) = ([zero; SIDE], [zero; SIDE], [zero; SIDE]);
    for at in (0..SIDE).step_by(2) {
        twos[at] = _mm512_unpacklo_ps(rows[at], rows[at + 1]);
        twos[at + 1] = _mm512_unpackhi_ps(rows[at], rows[at + 1]);
    }
    for at in (0..SIDE).step_by(4) {
        fours[at] = low(twos[at], twos[at + 2]);
        fours[at + 1] = high(twos[at], twos[at + 2]);
        fours[at + 2] = low(twos[at + 1], twos[at + 3]);
        fours[at + 3] = high(twos[at + 1], twos[at + 3]);
    }
    // Quarter q of `fours[4 · i + j]` holds column 4 · q + j of the rows 4 · i to 4 · i + 3.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    for j in 0..4 {
        let even = [
            _mm512_shuffle_f32x4::<EVEN>(fours[j], fours[4 + j]),
            _mm512_shuffle_f32x4::<EVEN>(fours[8 + j], fours[12 + j]),
        ];
        let odd = [
            _mm512_shuffle_f32x4::<ODD>(fours[j], fours[4 + j]),
            _mm512_shuffle_f32x4::<ODD>(fours[8 + j], fours[12 + j]),
        ];
        columns[j] = _mm512_shuffle_f32x4::<EVEN>(even[0], even[1]);
        columns[4 + j] = _mm512_shuffle_f32x4::<EVEN>(odd[0], odd[1]);
        columns[8 + j] = _mm512_shuffle_f32x4::<ODD>(even[0], even[1]);
        columns[12 + j] = _mm512_shuffle_f32x4::<ODD>(odd[0], odd[1]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let value = |row: usize, column: usize| (SIDE * row + column) as f32;
        let check = || {
            for transpose in [transpose as fn(&mut _), transpose_plain] {
                let mut square = [[0.0; SIDE]; SIDE];
                for (row, line) in square.iter_mut().enumerate() {
                    for (column, place) in line.iter_mut().enumerate() {
                        *place = value(row, column);
                    }
                }
                transpose(&mut square);
                for (row, line) in square.iter().enumerate() {
                    for (column, &found) in line.iter().enumerate() {
                        assert_eq!(found, value(column, row));
                    }
                }
            }
        };
        Level::available().for_each(|level| level.run_on(1, check));
    }
}
