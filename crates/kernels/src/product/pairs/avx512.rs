//! The packing of pairs with AVX-512 and its bf16 part, up to 16 × 16 lanes at a time.
//!
//! Loads at edges are masked: values outside of the matrix are not read and count as 0.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::square::{SIDE, transposed_lanes as transposed};

/// Whether this processor has the instructions. The level in use does not matter: rounding gives
/// the same bits at all levels, except for subnormal values. These instructions take them for 0,
/// and so do all products of pairs.
pub(super) fn is_usable() -> bool {
    use std::sync::OnceLock;

    use crate::level::Level;

    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE
        .get_or_init(|| Level::highest() >= Level::Avx512 && is_x86_feature_detected!("avx512bf16"))
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(SIDE)) - 1) as __mmask16
}

/// Loads a register of values.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f32; SIDE]) -> __m512 {
    // SAFETY: the array is as long as a register.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

/// Loads up to a register of values, followed by 0.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_part(values: &[f32]) -> __m512 {
    if values.is_empty() {
        // Masked loads from addresses without memory are very slow, even without any lane.
        return _mm512_setzero_ps();
    }
    // SAFETY: the lanes that are read lie in the slice.
    unsafe { _mm512_maskz_loadu_ps(first(values.len()), values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [f32; SIDE], lanes: __m512) {
    // SAFETY: the array is as long as a register.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), lanes) }
}

/// Stores the first lanes, as many as the slice has values.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_part(to: &mut [f32], lanes: __m512) {
    // SAFETY: the lanes that are written lie in the slice.
    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), lanes) }
}

/// Packs 32 terms as 16 pairs of neighbours.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_neighbours(terms: [__m512; 2]) -> __m512 {
    // SAFETY: both types are 64 bytes without invalid values.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(terms[1], terms[0])) }
}

/// Packs each lane of the first register with the same lane of the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn interleave(terms: [__m512; 2]) -> __m512 {
    // Lane i of the first register is word i, and of the second word 16 + i.
    const ORDER: [u32; SIDE] = {
        let mut order = [0; SIDE];
        let mut lane = 0;
        while lane < SIDE {
            order[lane] = (lane | (SIDE + lane) << 16) as u32;
            lane += 1;
        }
        order
    };
    // SAFETY: both types are 64 bytes without invalid values.
    let order = unsafe { std::mem::transmute::<[u32; SIDE], __m512i>(ORDER) };
    let words = _mm512_castps_si512(pack_neighbours(terms));
    _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, words))
}

/// Packs up to 32 terms as pairs of neighbours, followed by 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_some_neighbours(terms: &[f32]) -> __m512 {
    let (low, high) = terms.split_at(terms.len().min(SIDE));
    pack_neighbours([load_part(low), load_part(high)])
}

/// Packs neighbouring terms of rows, followed by 0. `place(row, unit)` is where up to 16 pairs go.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pair_neighbours(
    output: &mut [f32],
    place: impl Fn(usize, usize) -> usize,
    units: usize,
    lines: View<'_>,
) {
    let terms = lines.columns();
    for row in 0..lines.rows() {
        let (whole, rest) = lines.row(row)[..terms].as_chunks::<{ 2 * SIDE }>();
        for (index, terms) in whole.iter().enumerate() {
            let (halves, _) = terms.as_chunks::<SIDE>();
            let to = output[place(row, index * SIDE)..].first_chunk_mut();
            let to = to.expect("room for 16 pairs");
            store(to, pack_neighbours([load(&halves[0]), load(&halves[1])]));
        }
        let mut rest = rest;
        for unit in (SIDE * whole.len()..units).step_by(SIDE) {
            let count = SIDE.min(units - unit);
            let to = &mut output[place(row, unit)..][..count];
            store_part(to, pack_some_neighbours(rest));
            rest = &[];
        }
    }
}

/// Packs the rows of two narrow matrices side by side, as many as the second has. Rows that the
/// first lacks are 0. `place(row)` is where a row goes.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pair_side_by_side(
    output: &mut [f32],
    place: impl Fn(usize) -> usize,
    [first, second]: [&[[f32; SIDE]]; 2],
) {
    for (row, line) in second.iter().enumerate() {
        let before = match first.get(row) {
            Some(line) => load(line),
            None => _mm512_setzero_ps(),
        };
        let to = output[place(row)..].first_chunk_mut();
        let to = to.expect("room for 16 pairs");
        store(to, pack_neighbours([before, load(line)]));
    }
}

/// Packs pairs of rows of up to 16 columns. Lanes and units that the matrix does not fill are 0.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn interleave_narrow_rows(
    output: &mut [f32],
    _stride: usize,
    units: usize,
    rows: View<'_>,
) {
    let (columns, count, stride) = (rows.columns(), rows.rows(), rows.row_stride());
    assert!(
        (1..=SIDE).contains(&columns) && rows.column_stride() == 1,
        "narrow rows"
    );
    let (lines, _) = output[..units * SIDE].as_chunks_mut::<SIDE>();
    let (filled, empty) = lines.split_at_mut(count / 2);
    let mask = first(columns);
    let from = rows.values().as_ptr();
    for (unit, line) in filled.iter_mut().enumerate() {
        let from = from.wrapping_add(2 * unit * stride);
        // SAFETY: the lanes that are read lie in the two rows, and all elements of a view lie in
        // its slice.
        let terms = unsafe {
            [
                _mm512_maskz_loadu_ps(mask, from),
                _mm512_maskz_loadu_ps(mask, from.wrapping_add(stride)),
            ]
        };
        store(line, interleave(terms));
    }
    for (index, line) in empty.iter_mut().enumerate() {
        let mut pairs = _mm512_setzero_ps();
        if index == 0 && count % 2 == 1 {
            let last = load_part(&rows.row(count - 1)[..columns]);
            pairs = interleave([last, _mm512_setzero_ps()]);
        }
        store(line, pairs);
    }
}

/// The distance of prefetches, in units. Each row lies in another page.
const AHEAD: usize = 8;

/// Packs pairs of rows for some units, with `columns` lanes each, a multiple of 16. Lanes that the
/// matrix does not fill are 0. `place(unit, column)` is where 16 columns of a unit go.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn interleave_rows<'a>(
    place: impl Fn(usize, usize) -> &'a mut [f32; SIDE],
    units: Range<usize>,
    columns: usize,
    rows: View<'_>,
) {
    let none: &[f32] = &[];
    let row_at = |row: usize| match row < rows.rows() {
        true => &rows.row(row)[..rows.columns()],
        false => none,
    };
    for unit in units {
        let [first, second] = [row_at(2 * unit), row_at(2 * unit + 1)];
        for row in [2 * unit + AHEAD, 2 * unit + AHEAD + 1] {
            prefetch_values(
                rows.values().as_ptr().wrapping_add(row * rows.row_stride()),
                rows.columns(),
            );
        }
        let mut column = 0;
        if !second.is_empty() {
            let (first, _) = first.as_chunks::<SIDE>();
            let (second, _) = second.as_chunks::<SIDE>();
            for (first, second) in first.iter().zip(second) {
                store(place(unit, column), interleave([load(first), load(second)]));
                column += SIDE;
            }
        }
        while column < columns {
            let [first, second] = [first, second].map(|row| {
                let from = column.min(row.len());
                &row[from..row.len().min(column + SIDE)]
            });
            let pairs = interleave([load_part(first), load_part(second)]);
            store(place(unit, column), pairs);
            column += SIDE;
        }
    }
}

/// The pairs of 32 rows and 16 columns, with a register for each column. Rows that the matrix lacks
/// are 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn square_of_rows(rows: View<'_>, unit: usize, column: usize, count: usize) -> [__m512; SIDE] {
    let mut square = [_mm512_setzero_ps(); SIDE];
    let stride = rows.row_stride();
    if 2 * (unit + SIDE) <= rows.rows() && count == SIDE {
        let all = &rows.values()[2 * unit * stride + column..];
        let last = (2 * SIDE - 1) * stride;
        assert!(all.len() >= last + SIDE, "all rows of the square");
        for (index, lanes) in square.iter_mut().enumerate() {
            let from = all.as_ptr().wrapping_add(2 * index * stride);
            // SAFETY: the last of the rows ends within the slice.
            let terms = unsafe {
                [
                    _mm512_loadu_ps(from),
                    _mm512_loadu_ps(from.wrapping_add(stride)),
                ]
            };
            *lanes = interleave(terms);
        }
    } else {
        for (lanes, row) in square.iter_mut().zip((2 * unit..rows.rows()).step_by(2)) {
            let second = if row + 1 < rows.rows() {
                load_part(&rows.row(row + 1)[column..][..count])
            } else {
                _mm512_setzero_ps()
            };
            *lanes = interleave([load_part(&rows.row(row)[column..][..count]), second]);
        }
    }
    transposed(square)
}

/// Packs pairs of rows into a row for each column. `place(column, unit, count)` is where `count`
/// pairs of a column go from a unit on.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn interleave_rows_transposed<'a>(
    place: impl Fn(usize, usize, usize) -> &'a mut [f32],
    units: usize,
    rows: View<'_>,
) {
    for column in (0..rows.columns()).step_by(SIDE) {
        let count = (rows.columns() - column).min(SIDE);
        for unit in (0..units).step_by(SIDE) {
            for row in 2 * (unit + SIDE)..2 * (unit + 2 * SIDE) {
                let from = rows.values().as_ptr().wrapping_add(row * rows.row_stride());
                prefetch_values(from.wrapping_add(column), 1);
            }
            let square = square_of_rows(rows, unit, column, count);
            let valid = (units - unit).min(SIDE);
            for (index, lanes) in square.into_iter().enumerate().take(count) {
                let to = place(column + index, unit, valid);
                match to.as_mut_array() {
                    Some(to) => store(to, lanes),
                    None => store_part(to, lanes),
                }
            }
        }
    }
}

/// Packs neighbouring terms of rows into `stride` lanes for each unit, one for each row. Other
/// lanes are 0.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pair_neighbours_transposed(
    output: &mut [f32],
    stride: usize,
    units: usize,
    lines: View<'_>,
) {
    let terms = lines.columns();
    for column in (0..stride).step_by(SIDE) {
        let count = lines.rows().saturating_sub(column).min(SIDE);
        for unit in (0..units).step_by(SIDE) {
            let from = (2 * unit).min(terms);
            let end = (from + 2 * SIDE).min(terms);
            let mut square = [_mm512_setzero_ps(); SIDE];
            // The rows of the next square, which may lie in other pages.
            let next = match unit + SIDE < units {
                true => (column, end),
                false => (column + SIDE, 0),
            };
            for (index, lanes) in square.iter_mut().enumerate().take(count) {
                let row = lines.values().as_ptr();
                let row = row.wrapping_add((next.0 + index) * lines.row_stride());
                prefetch_values(row.wrapping_add(next.1), 2 * SIDE);
                let terms = &lines.row(column + index)[from..end];
                *lanes = match terms.as_chunks::<SIDE>() {
                    ([low, high], _) => pack_neighbours([load(low), load(high)]),
                    _ => pack_some_neighbours(terms),
                };
            }
            let valid = (units - unit).min(SIDE);
            for (index, lanes) in transposed(square).into_iter().enumerate().take(valid) {
                let line = &mut output[(unit + index) * stride + column..];
                store(line.first_chunk_mut().expect("16 lanes"), lanes);
            }
        }
    }
}
