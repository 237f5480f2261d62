//! Operands whose lanes hold two neighbouring terms of a sum as bf16 values, in the four orders in
//! which products read them.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::bfloat::{pair, pairs, pairs_of_rows};
use super::left_operand::Layout;
use crate::matrix::View;
use crate::shared::Shared;
use crate::square::{SIDE, transpose};

/// Writes the rows of a left operand. Pairs behind the last term are 0.
///
/// # Panics
/// If the output is too short.
pub(super) fn rows(output: &mut [f32], layout: Layout, left: View<'_>) {
    let units = layout.units();
    let turned = left.transposed();
    let place = |row, unit| layout.at(row, unit);
    match (left.column_stride() == 1, turned.column_stride() == 1) {
        (true, _) => along(output, place, units, left),
        // SAFETY: the output is this function's alone.
        (false, true) => unsafe { rows_across(Shared::new(output), place, units, turned) },
        (false, false) => one_by_one(output, place, units, left),
    }
}

/// Writes the lines of a matrix as pairs of neighbouring terms: `place(line, unit)` is where up to 16
/// pairs of a line go from a multiple of 16 on. Pairs behind the last term are 0.
///
/// # Panics
/// If they do not lie in `output`.
fn along(output: &mut [f32], place: impl Fn(usize, usize) -> usize, units: usize, lines: View<'_>) {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::along(output, place, units, lines) };
    }
    plain::along(output, place, units, lines);
}

/// Writes the lines of two panels side by side as rows of a left operand, as many as the second one has.
/// Lines that the first lacks are 0.
///
/// # Panics
/// If the output is too short.
pub(super) fn side_by_side(output: &mut [f32], layout: Layout, panels: [&[[f32; SIDE]]; 2]) {
    assert_eq!(layout.units(), SIDE, "units of two lines");
    let place = |row| layout.at(row, 0);
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::side_by_side(output, place, panels) };
    }
    plain::side_by_side(output, place, panels);
}

/// Writes a right operand as lines of `width` pairs, one for each unit: as many columns as there are,
/// filled up to a multiple of 16. Columns and units that the matrix does not fill are 0.
///
/// # Panics
/// If the output is too short.
pub(super) fn lines(output: &mut [f32], width: usize, units: usize, right: View<'_>) {
    let columns = right.columns().next_multiple_of(SIDE);
    assert_eq!(columns, width, "columns filled up to whole registers");
    assert!(output.len() >= units * width, "room for all units");
    let turned = right.transposed();
    match (right.column_stride() == 1, turned.column_stride() == 1) {
        (true, _) if width == SIDE => narrow(output, width, units, right),
        (true, _) => {
            // SAFETY: the output is this function's alone.
            unsafe { panels(Shared::new(output), (width, units), 0, 0..units, right) };
        }
        (false, true) => along_across(output, width, units, turned),
        (false, false) => {
            output[..units * width].fill(0.0);
            one_by_one(output, |row, unit| unit * width + row, units, turned);
        }
    }
}

/// Writes some units of rows of a right operand, in panels of up to `width` columns, each of all
/// `of_panel` units: all panels of a unit together, so that rows are read as they lie. The first row
/// belongs to unit `first`. Columns up to a multiple of 16, and units, that the rows do not fill are 0.
///
/// # Panics
/// If the panels do not lie in `output`.
///
/// # Safety
/// No other part of `output` that is in use holds any of these units.
pub(super) unsafe fn panels(
    output: Shared<'_>,
    (width, of_panel): (usize, usize),
    first: usize,
    units: Range<usize>,
    rows: View<'_>,
) {
    let columns = rows.columns().next_multiple_of(SIDE);
    let place = |unit: usize, column: usize| {
        let panel = column / width * width;
        let of_line = width.min(columns - panel);
        let from = panel * of_panel + (first + unit) * of_line + column - panel;
        // SAFETY: passed on to the caller.
        let place = unsafe { output.part(from, SIDE) };
        place.first_chunk_mut().expect("16 values")
    };
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::of_rows(place, units, columns, rows) };
    }
    plain::of_rows(place, units, columns, rows);
}

/// Writes the columns of a matrix of neighbouring terms, each as pairs: `place(column, unit)` is where
/// up to 16 pairs of a column go from a multiple of 16 on. Pairs behind the last term are 0.
///
/// # Panics
/// If they do not lie in `output`.
///
/// # Safety
/// No other part of `output` that is in use holds any of these values.
pub(super) unsafe fn rows_across(
    output: Shared<'_>,
    place: impl Fn(usize, usize) -> usize,
    units: usize,
    matrix: View<'_>,
) {
    // SAFETY: passed on to the caller.
    let place = |column: usize, unit: usize, count: usize| unsafe {
        output.part(place(column, unit), count)
    };
    #[cfg(target_arch = "x86_64")]
    if avx512::is_usable() {
        // SAFETY: the processor has the instructions.
        return unsafe { avx512::of_rows_across(place, units, matrix) };
    }
    plain::of_rows_across(place, units, matrix);
}

/// Defines a function that takes its instructions where the processor has them, and else goes the
/// plain way.
macro_rules! dispatched {
    ($($name:ident)*) => {
        $(
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

dispatched!(along_across narrow);

/// The pair of a row's terms `2 · unit` and `2 · unit + 1`; 0 where there is none.
fn pair_at(matrix: View<'_>, row: usize, unit: usize) -> f32 {
    let at = |term| {
        if term < matrix.columns() {
            matrix.at(row, term)
        } else {
            0.0
        }
    };
    pair(at(2 * unit), at(2 * unit + 1))
}

/// Pairs of a row's terms, each at its place.
fn one_by_one(
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

/// Slow twins of the AVX-512 functions.
mod plain {
    use super::*;

    pub(super) fn along(
        output: &mut [f32],
        place: impl Fn(usize, usize) -> usize,
        units: usize,
        lines: View<'_>,
    ) {
        for row in 0..lines.rows() {
            let terms = &lines.row(row)[..lines.columns()];
            for unit in (0..units).step_by(SIDE) {
                let count = SIDE.min(units - unit);
                let from = (2 * unit).min(terms.len());
                let terms = &terms[from..(from + 2 * count).min(terms.len())];
                let output = &mut output[place(row, unit)..][..count];
                pairs(output, terms);
                output[terms.len().div_ceil(2)..].fill(0.0);
            }
        }
    }

    pub(super) fn side_by_side(
        output: &mut [f32],
        place: impl Fn(usize) -> usize,
        [first, second]: [&[[f32; SIDE]]; 2],
    ) {
        for (row, line) in second.iter().enumerate() {
            let (low, high) = output[place(row)..][..SIDE].split_at_mut(SIDE / 2);
            pairs(low, first.get(row).unwrap_or(&[0.0; SIDE]));
            pairs(high, line);
        }
    }

    pub(super) fn narrow(output: &mut [f32], stride: usize, units: usize, rows: View<'_>) {
        let turned = rows.transposed();
        for (unit, line) in output.chunks_exact_mut(stride).enumerate().take(units) {
            let (line, rest) = line.split_at_mut(rows.columns());
            rest.fill(0.0);
            if 2 * unit + 1 < rows.rows() {
                let [first, second] = [2 * unit, 2 * unit + 1].map(|row| rows.row(row));
                pairs_of_rows(line, first, second);
            } else {
                for (column, place) in line.iter_mut().enumerate() {
                    *place = pair_at(turned, column, unit);
                }
            }
        }
    }

    /// `place(unit, column)` is where 16 columns of a unit go.
    pub(super) fn of_rows<'a>(
        place: impl Fn(usize, usize) -> &'a mut [f32; SIDE],
        units: Range<usize>,
        columns: usize,
        rows: View<'_>,
    ) {
        let turned = rows.transposed();
        for unit in units {
            for column in (0..columns).step_by(SIDE) {
                let output = place(unit, column);
                if 2 * unit + 1 < rows.rows() && column + SIDE <= rows.columns() {
                    let [first, second] =
                        [2 * unit, 2 * unit + 1].map(|row| &rows.row(row)[column..][..SIDE]);
                    pairs_of_rows(output, first, second);
                } else {
                    for (output, column) in output.iter_mut().zip(column..) {
                        *output = if column < rows.columns() {
                            pair_at(turned, column, unit)
                        } else {
                            0.0
                        };
                    }
                }
            }
        }
    }

    /// `place(column, unit, count)` is where `count` pairs of a column go from a unit on.
    pub(super) fn of_rows_across<'a>(
        place: impl Fn(usize, usize, usize) -> &'a mut [f32],
        units: usize,
        rows: View<'_>,
    ) {
        let whole_columns = rows.columns() / SIDE * SIDE;
        let whole_units = rows.rows() / (2 * SIDE) * SIDE;
        let mut square = [[0.0; SIDE]; SIDE];
        for column in (0..whole_columns).step_by(SIDE) {
            for unit in (0..whole_units).step_by(SIDE) {
                for (index, line) in square.iter_mut().enumerate() {
                    let row = 2 * (unit + index);
                    let [first, second] =
                        [row, row + 1].map(|row| &rows.row(row)[column..][..SIDE]);
                    pairs_of_rows(line, first, second);
                }
                transpose(&mut square);
                for (index, line) in square.iter().enumerate() {
                    place(column + index, unit, SIDE).copy_from_slice(line);
                }
            }
        }
        let turned = rows.transposed();
        for column in 0..rows.columns() {
            let from = if column < whole_columns {
                whole_units
            } else {
                0
            };
            for from in (from..units).step_by(SIDE) {
                let output = place(column, from, SIDE.min(units - from));
                for (output, unit) in output.iter_mut().zip(from..) {
                    *output = pair_at(turned, column, unit);
                }
            }
        }
    }

    pub(super) fn along_across(output: &mut [f32], stride: usize, units: usize, lines: View<'_>) {
        let whole_lines = lines.rows() / SIDE * SIDE;
        let whole_units = lines.columns() / (2 * SIDE) * SIDE;
        let mut square = [[0.0; SIDE]; SIDE];
        for line in (0..whole_lines).step_by(SIDE) {
            for unit in (0..whole_units).step_by(SIDE) {
                for (place, pairs_of_line) in square.iter_mut().enumerate() {
                    pairs(
                        pairs_of_line,
                        &lines.row(line + place)[2 * unit..][..2 * SIDE],
                    );
                }
                transpose(&mut square);
                for (index, values) in square.iter().enumerate() {
                    output[(unit + index) * stride + line..][..SIDE].copy_from_slice(values);
                }
            }
        }
        for line in 0..stride {
            let from = if line < whole_lines { whole_units } else { 0 };
            for unit in from..units {
                output[unit * stride + line] = if line < lines.rows() {
                    pair_at(lines, line, unit)
                } else {
                    0.0
                };
            }
        }
    }
}
