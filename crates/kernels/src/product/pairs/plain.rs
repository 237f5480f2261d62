//! The packing of pairs in plain Rust: the reference of the AVX-512 functions, whose documentation
//! holds here too.

use std::ops::Range;

use crate::matrix::View;
use crate::product::bfloat::{pair_at, pairs, pairs_of_rows};
use crate::square::{SIDE, transpose};

pub(super) fn pair_neighbours(
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

pub(super) fn pair_side_by_side(
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

pub(super) fn interleave_narrow_rows(
    output: &mut [f32],
    stride: usize,
    units: usize,
    rows: View<'_>,
) {
    let transposed = rows.transposed();
    for (unit, line) in output.chunks_exact_mut(stride).enumerate().take(units) {
        let (line, rest) = line.split_at_mut(rows.columns());
        rest.fill(0.0);
        if 2 * unit + 1 < rows.rows() {
            let [first, second] = [2 * unit, 2 * unit + 1].map(|row| rows.row(row));
            pairs_of_rows(line, first, second);
        } else {
            for (column, place) in line.iter_mut().enumerate() {
                *place = pair_at(transposed, column, unit);
            }
        }
    }
}

/// `place(unit, column)` is where 16 columns of a unit go.
pub(super) fn interleave_rows<'a>(
    place: impl Fn(usize, usize) -> &'a mut [f32; SIDE],
    units: Range<usize>,
    columns: usize,
    rows: View<'_>,
) {
    let transposed = rows.transposed();
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
                        pair_at(transposed, column, unit)
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// `place(column, unit, count)` is where `count` pairs of a column go from a unit on.
pub(super) fn interleave_rows_transposed<'a>(
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
                let [first, second] = [row, row + 1].map(|row| &rows.row(row)[column..][..SIDE]);
                pairs_of_rows(line, first, second);
            }
            transpose(&mut square);
            for (index, line) in square.iter().enumerate() {
                place(column + index, unit, SIDE).copy_from_slice(line);
            }
        }
    }
    let transposed = rows.transposed();
    for column in 0..rows.columns() {
        let from = if column < whole_columns {
            whole_units
        } else {
            0
        };
        for from in (from..units).step_by(SIDE) {
            let output = place(column, from, SIDE.min(units - from));
            for (output, unit) in output.iter_mut().zip(from..) {
                *output = pair_at(transposed, column, unit);
            }
        }
    }
}

pub(super) fn pair_neighbours_transposed(
    output: &mut [f32],
    stride: usize,
    units: usize,
    lines: View<'_>,
) {
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
