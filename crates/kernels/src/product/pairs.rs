//! Operands whose units are two neighbouring terms of a sum, as bf16 values in one 32-bit lane.
//!
//! There are four ways to pack them. Pairs are made of neighbours within a row where the terms of a row
//! are neighbours in memory, else of two rows; and rows of the source become rows or columns of the
//! operand.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod plain;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::bfloat::pair_at;
use super::layout::Layout;
use crate::matrix::View;
use crate::shared::Shared;
use crate::square::SIDE;

/// Packs the rows of a left operand. Pairs behind the last term are 0.
///
/// # Panics
/// If the output is too short.
pub(super) fn pack_left(output: &mut [f32], layout: Layout, left: View<'_>) {
    let units = layout.units();
    let transposed = left.transposed();
    let place = |row, unit| layout.place(row, unit);
    match (left.column_stride() == 1, transposed.column_stride() == 1) {
        (true, _) => pair_neighbours(output, place, units, left),
        // SAFETY: the output is borrowed by this function alone.
        (false, true) => unsafe {
            pack_left_transposed(Shared::new(output), place, units, transposed);
        },
        (false, false) => pair_one_by_one(output, place, units, left),
    }
}

/// Packs neighbouring terms of rows as pairs. `place(row, unit)` is where up to 16 pairs of a row go
/// from a unit on, a multiple of 16. Pairs behind the last term are 0.
///
/// # Panics
/// If the places do not lie in `output`.
fn pair_neighbours(
    output: &mut [f32],
    place: impl Fn(usize, usize) -> usize,
    units: usize,
    rows: View<'_>,
) {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::pair_neighbours(output, place, units, rows) };
    }
    plain::pair_neighbours(output, place, units, rows);
}

/// Packs two narrow matrices side by side as a left operand with as many rows as the second has. Rows
/// that the first lacks are 0.
///
/// # Panics
/// If the output is too short.
pub(super) fn pack_side_by_side(output: &mut [f32], layout: Layout, matrices: [&[[f32; SIDE]]; 2]) {
    assert_eq!(layout.units(), SIDE, "units of two rows");
    let place = |row| layout.place(row, 0);
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::pair_side_by_side(output, place, matrices) };
    }
    plain::pair_side_by_side(output, place, matrices);
}

/// Packs a right operand: `width` pairs for each unit, which are its columns filled up to a multiple of
/// 16. Columns and units that the matrix does not fill are 0.
///
/// # Panics
/// If the output is too short.
pub(super) fn pack_right(output: &mut [f32], width: usize, units: usize, right: View<'_>) {
    let columns = right.columns().next_multiple_of(SIDE);
    assert_eq!(columns, width, "columns filled up to whole registers");
    assert!(output.len() >= units * width, "room for all units");
    let transposed = right.transposed();
    match (right.column_stride() == 1, transposed.column_stride() == 1) {
        (true, _) if width == SIDE => interleave_narrow_rows(output, width, units, right),
        (true, _) => {
            // SAFETY: the output is borrowed by this function alone.
            unsafe { pack_right_units(Shared::new(output), (width, units), 0, 0..units, right) };
        }
        (false, true) => pair_neighbours_transposed(output, width, units, transposed),
        (false, false) => {
            output[..units * width].fill(0.0);
            let place = |row, unit| unit * width + row;
            pair_one_by_one(output, place, units, transposed);
        }
    }
}

/// Packs some units of a right operand in micro-panels of up to `width` columns with `all_units` units
/// each: all micro-panels of a unit at once, so that rows are read in order.
///
/// The first of `rows` belongs to the unit `first`. Columns up to a multiple of 16, and units, that the
/// rows do not fill are 0.
///
/// # Panics
/// If the micro-panels do not lie in `output`.
///
/// # Safety
/// No other slice of `output` that is in use holds any of these units.
pub(super) unsafe fn pack_right_units(
    output: Shared<'_>,
    (width, all_units): (usize, usize),
    first: usize,
    units: Range<usize>,
    rows: View<'_>,
) {
    let columns = rows.columns().next_multiple_of(SIDE);
    let place = |unit: usize, column: usize| {
        // The micro-panel of the column: its first column, and its width.
        let start = column / width * width;
        let own_width = width.min(columns - start);
        let from = start * all_units + (first + unit) * own_width + column - start;
        // SAFETY: the caller guarantees it.
        let place = unsafe { output.slice(from, SIDE) };
        place.first_chunk_mut().expect("16 values")
    };
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::interleave_rows(place, units, columns, rows) };
    }
    plain::interleave_rows(place, units, columns, rows);
}

/// Packs a left operand whose rows are the columns of `matrix`: pairs of two rows of the matrix.
/// `place(column, unit)` is where up to 16 pairs of a column go from a unit on, a multiple of 16. Pairs
/// behind the last term are 0.
///
/// # Panics
/// If the places do not lie in `output`.
///
/// # Safety
/// No other slice of `output` that is in use holds any of these places.
pub(super) unsafe fn pack_left_transposed(
    output: Shared<'_>,
    place: impl Fn(usize, usize) -> usize,
    units: usize,
    matrix: View<'_>,
) {
    // SAFETY: the caller guarantees it.
    let place = |column: usize, unit: usize, count: usize| unsafe {
        output.slice(place(column, unit), count)
    };
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::interleave_rows_transposed(place, units, matrix) };
    }
    plain::interleave_rows_transposed(place, units, matrix);
}

/// Defines a function that uses AVX-512 where the processor has it.
macro_rules! dispatched {
    ($($(#[$meta:meta])* $name:ident)*) => {
        $(
            $(#[$meta])*
            fn $name(output: &mut [f32], stride: usize, units: usize, matrix: View<'_>) {
                #[cfg(target_arch = "x86_64")]
                if avx512::is_usable() {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx512::$name(output, stride, units, matrix) };
                }
                plain::$name(output, stride, units, matrix);
            }
        )*
    };
}

dispatched! {
    /// Packs a right operand whose columns are the rows of `matrix`, `stride` pairs for each unit.
    pair_neighbours_transposed
    /// Packs a right operand of up to 16 columns, `stride` pairs for each unit.
    interleave_narrow_rows
}

/// Packs the pairs of rows one by one, `place(row, unit)` each.
fn pair_one_by_one(
    output: &mut [f32],
    place: impl Fn(usize, usize) -> usize,
    units: usize,
    matrix: View<'_>,
) {
    for row in 0..matrix.rows() {
        for unit in 0..units {
            output[place(row, unit)] = pair_at(matrix, row, unit);
        }
    }
}
