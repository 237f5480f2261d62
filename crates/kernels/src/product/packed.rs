//! Operands in the order in which products read them.

use rayon::prelude::*;

use super::{Engine, Precision, bfloat};
use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::scratch::{Scratch, scratch};

/// A right operand, `[inner, columns]`, in panels of two registers of columns: all terms of one
/// panel, then those of the next. A last panel of one register may follow. Columns up to a whole
/// register are filled with 0.
pub struct Packed {
    values: Scratch,
    inner: usize,
    columns: usize,
    units: usize,
    engine: Engine,
    rounded: bool,
}

/// One panel.
pub(super) struct Panel<'a> {
    /// Its first column.
    pub(super) column: usize,
    /// Columns, filled up to whole registers.
    pub(super) width: usize,
    /// `width` values for each unit of terms.
    pub(super) values: &'a [f32],
}

impl<'a> Panel<'a> {
    /// The values of `count` units from `first` on.
    pub(super) fn part(&self, first: usize, count: usize) -> &'a [f32] {
        &self.values[first * self.width..][..count * self.width]
    }

    /// What takes the place of `part` in the next panel, which lies behind this one, in `parts` parts.
    pub(super) fn next(&self, part: &[f32], parts: usize) -> Next {
        Next {
            start: part.as_ptr().wrapping_add(self.values.len()),
            count: part.len().div_ceil(parts),
        }
    }
}

/// Values that are soon read, in parts.
#[derive(Clone, Copy)]
pub(super) struct Next {
    start: *const f32,
    count: usize,
}

impl Next {
    /// Asks for one of the parts.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: usize) {
        prefetch_values(self.start.wrapping_add(index * self.count), self.count);
    }
}

impl Packed {
    /// Packs a matrix `[inner, columns]` for the level in use, on this thread.
    pub fn new(matrix: View<'_>, precision: Precision) -> Self {
        Self::for_engine(matrix, Engine::of(precision), precision)
    }

    /// Packs a matrix for a given engine, on this thread.
    pub fn for_engine(matrix: View<'_>, engine: Engine, precision: Precision) -> Self {
        let mut packed = Self::room(matrix, engine, precision);
        let Self { values, units, .. } = &mut packed;
        let width = 2 * engine.lanes();
        for (index, values) in values.chunks_mut(width * *units).enumerate() {
            panel(values, *units, matrix, index * width, engine, precision);
        }
        packed
    }

    /// Packs a matrix on all threads.
    pub fn in_parallel(matrix: View<'_>, precision: Precision) -> Self {
        let engine = Engine::of(precision);
        let mut packed = Self::room(matrix, engine, precision);
        let Self { values, units, .. } = &mut packed;
        let (width, units) = (2 * engine.lanes(), *units);
        values
            .par_chunks_mut(width * units.max(1))
            .enumerate()
            .for_each(|(index, values)| {
                panel(values, units, matrix, index * width, engine, precision);
            });
        packed
    }

    fn room(matrix: View<'_>, engine: Engine, precision: Precision) -> Self {
        let (inner, columns) = (matrix.rows(), matrix.columns());
        let units = engine.units(inner).max(1);
        Self {
            values: scratch(columns.next_multiple_of(engine.lanes()) * units),
            inner,
            columns,
            units,
            engine,
            rounded: precision == Precision::Bf16,
        }
    }

    /// Terms of each sum.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Columns of the product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether values were rounded to bf16.
    pub(super) fn is_rounded(&self) -> bool {
        self.rounded
    }

    /// The panels of the first `columns` columns.
    pub(super) fn panels(&self, columns: usize) -> impl Iterator<Item = Panel<'_>> {
        let width = 2 * self.engine.lanes();
        let panels = self.values.chunks(width * self.units);
        panels
            .enumerate()
            .take(columns.div_ceil(width))
            .map(move |(index, values)| Panel {
                column: index * width,
                width: values.len() / self.units,
                values,
            })
    }
}

/// Fills one panel that begins at `column`.
fn panel(
    values: &mut [f32],
    units: usize,
    matrix: View<'_>,
    column: usize,
    engine: Engine,
    precision: Precision,
) {
    let width = values.len() / units;
    let valid = width.min(matrix.columns() - column);
    let part = matrix.part(column, valid);
    // Units that no term fills are multiplied too: whatever lay there before could be NaN.
    if valid < width || engine.filled(matrix.rows()) < units {
        values.fill(0.0);
    }
    match (engine.takes_pairs(), matrix.column_stride() == 1) {
        (true, true) => pairs_of_rows(values, width, part),
        (true, false) => pairs_across(values, width, part),
        (false, true) => {
            if valid == width {
                whole_rows(values, width, part.values(), part.row_stride(), part.rows());
            } else {
                for (unit, values) in values.chunks_exact_mut(width).take(part.rows()).enumerate() {
                    values[..valid].copy_from_slice(&part.row(unit)[..valid]);
                }
            }
        }
        (false, false) => across(values, width, part),
    }
    if precision == Precision::Bf16 && !engine.takes_pairs() {
        values
            .iter_mut()
            .for_each(|value| *value = bfloat::from_bits(bfloat::to_bits(*value)));
    }
}

crate::level::levelled! {
    /// Copies rows of whole registers, 8 values at a time: too short for a call of `memcpy`.
    fn whole_rows(values: &mut [f32], width: usize, source: &[f32], stride: usize, rows: usize) {
        for (row, values) in values.chunks_exact_mut(width).take(rows).enumerate() {
            let source = &source[row * stride..][..width];
            let (to, _) = values.as_chunks_mut::<8>();
            let (from, _) = source.as_chunks::<8>();
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        }
    }
}

fn pairs_of_rows(values: &mut [f32], width: usize, part: View<'_>) {
    let valid = part.columns();
    for unit in 0..part.rows().div_ceil(2) {
        let output = &mut values[unit * width..][..valid];
        let first = &part.row(2 * unit)[..valid];
        if 2 * unit + 1 < part.rows() {
            bfloat::pairs_of_rows(output, first, &part.row(2 * unit + 1)[..valid]);
        } else {
            for (output, &first) in output.iter_mut().zip(first) {
                *output = bfloat::pair(first, 0.0);
            }
        }
    }
}

/// Rounds the columns of a matrix that lies the other way, 16 columns and 32 terms at a time.
fn pairs_across(values: &mut [f32], width: usize, part: View<'_>) {
    let (terms, columns) = (part.rows(), part.columns());
    let flipped = part.transposed();
    let whole = if flipped.column_stride() == 1 {
        columns / SIDE * SIDE
    } else {
        0
    };
    let mut square = [[0.0; SIDE]; SIDE];
    for first in (0..whole).step_by(SIDE) {
        for unit in (0..terms / 2)
            .step_by(SIDE)
            .filter(|unit| 2 * (unit + SIDE) <= terms)
        {
            for (column, line) in square.iter_mut().enumerate() {
                let source = &flipped.row(first + column)[2 * unit..][..2 * SIDE];
                bfloat::pairs(line, source);
            }
            bfloat::put_transposed(&mut values[unit * width + first..], width, &square);
        }
    }
    let done = terms / (2 * SIDE) * SIDE;
    for column in 0..columns {
        let from = if column < whole { done } else { 0 };
        for unit in from..terms.div_ceil(2) {
            let first = part.at(2 * unit, column);
            let second = if 2 * unit + 1 < terms {
                part.at(2 * unit + 1, column)
            } else {
                0.0
            };
            values[unit * width + column] = bfloat::pair(first, second);
        }
    }
}

/// Side of a square of pairs.
const SIDE: usize = bfloat::SQUARE;

/// Terms that are moved together: a square of 8 × 8 stays in registers.
const SQUARE: usize = 8;

/// Copies the columns of a matrix that lies the other way to rows of `values`, `width` apart.
pub(crate) fn across(values: &mut [f32], width: usize, part: View<'_>) {
    let (terms, columns) = (part.rows(), part.columns());
    let flipped = part.transposed();
    if flipped.column_stride() != 1 {
        for column in 0..columns {
            for term in 0..terms {
                values[term * width + column] = part.at(term, column);
            }
        }
        return;
    }
    for first in (0..columns).step_by(SQUARE) {
        let count = SQUARE.min(columns - first);
        let sources: [&[f32]; SQUARE] =
            std::array::from_fn(|index| &flipped.row(first + index.min(count - 1))[..terms]);
        let whole = terms / SQUARE * SQUARE;
        if count == SQUARE {
            squares(&mut values[first..], width, sources, whole);
        }
        let from = if count == SQUARE { whole } else { 0 };
        for (index, source) in sources.iter().enumerate().take(count) {
            for term in from..terms {
                values[term * width + first + index] = source[term];
            }
        }
    }
}

crate::level::levelled! {
    /// Transposes squares; `terms` is a multiple of their size.
    fn squares(values: &mut [f32], width: usize, sources: [&[f32]; 8], terms: usize) {
        for term in (0..terms).step_by(SQUARE) {
            let mut square = [[0.0f32; SQUARE]; SQUARE];
            for (column, source) in sources.iter().enumerate() {
                let source: &[f32; SQUARE] = source[term..term + SQUARE].try_into().expect("eight");
                for (row, &value) in source.iter().enumerate() {
                    square[row][column] = value;
                }
            }
            for (row, line) in square.iter().enumerate() {
                values[(term + row) * width..][..SQUARE].copy_from_slice(line);
            }
        }
    }
}

/// The rows of a left operand, `units` apart, in pairs or rounded.
pub(super) fn rows(output: &mut [f32], units: usize, left: View<'_>, pairs: bool) {
    let (rows, inner) = (left.rows(), left.columns());
    if left.column_stride() != 1 {
        return rows_across(output, units, left, pairs);
    }
    for row in 0..rows {
        let values = &left.row(row)[..inner];
        let output = &mut output[row * units..(row + 1) * units];
        if pairs {
            bfloat::pairs(output, values);
            output[inner.div_ceil(2)..].fill(0.0);
        } else {
            bfloat::round(output, values);
        }
    }
}

/// The same for a matrix that lies the other way, 16 rows and 16 units at a time.
fn rows_across(output: &mut [f32], units: usize, left: View<'_>, pairs: bool) {
    let (rows, inner) = (left.rows(), left.columns());
    let flipped = left.transposed();
    let (whole_rows, whole_units) = if pairs && flipped.column_stride() == 1 {
        (rows / SIDE * SIDE, inner / (2 * SIDE) * SIDE)
    } else {
        (0, 0)
    };
    let mut square = [[0.0; SIDE]; SIDE];
    for row in (0..whole_rows).step_by(SIDE) {
        for unit in (0..whole_units).step_by(SIDE) {
            for (place, line) in square.iter_mut().enumerate() {
                let term = 2 * (unit + place);
                let [first, second] =
                    [term, term + 1].map(|term| &flipped.row(term)[row..][..SIDE]);
                bfloat::pairs_of_rows(line, first, second);
            }
            bfloat::put_transposed(&mut output[row * units + unit..], units, &square);
        }
    }
    let at = |row: usize, term: usize| {
        if term < inner {
            left.at(row, term)
        } else {
            0.0
        }
    };
    for row in 0..rows {
        let from = if row < whole_rows { whole_units } else { 0 };
        for unit in from..units {
            output[row * units + unit] = if pairs {
                bfloat::pair(at(row, 2 * unit), at(row, 2 * unit + 1))
            } else {
                bfloat::from_bits(bfloat::to_bits(at(row, unit)))
            };
        }
    }
}
