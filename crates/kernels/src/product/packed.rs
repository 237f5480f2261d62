//! Right operands in the order in which products read them.

use rayon::prelude::*;

use super::engine::{Engine, Precision};
use super::{bfloat, pairs};
use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;

/// A packed right operand, `[inner, columns]`: micro-panels of two registers of columns, one after
/// the other, each with all its terms. A last micro-panel of one register may follow. Columns are
/// filled up to whole registers with 0.
pub struct Packed {
    values: Scratch,
    inner: usize,
    columns: usize,
    units: usize,
    engine: Engine,
    rounded: bool,
}

/// Units of pairs that one task packs.
const UNITS: usize = 32;

/// A micro-panel of a right operand.
pub(super) struct MicroPanel<'a> {
    /// Its first column.
    pub(super) column: usize,
    /// The number of columns, filled up to whole registers.
    pub(super) width: usize,
    /// `width` values for each unit.
    pub(super) values: &'a [f32],
}

impl<'a> MicroPanel<'a> {
    /// The values of `count` units from `first` on.
    pub(super) fn units(&self, first: usize, count: usize) -> &'a [f32] {
        &self.values[first * self.width..][..count * self.width]
    }

    /// The values at the place of `part` in the next micro-panel, which follows this one, cut into
    /// `parts` parts.
    pub(super) fn next(&self, part: &[f32], parts: usize) -> Next {
        Next {
            start: part.as_ptr().wrapping_add(self.values.len()),
            count: part.len().div_ceil(parts),
        }
    }
}

/// Values that will soon be read, cut into parts.
#[derive(Clone, Copy)]
pub(super) struct Next {
    start: *const f32,
    count: usize,
}

impl Next {
    /// Prefetches one of the parts.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: usize) {
        prefetch_values(self.start.wrapping_add(index * self.count), self.count);
    }
}

impl Packed {
    /// Packs a matrix `[inner, columns]` for the level in use, on this thread.
    pub fn new(matrix: View<'_>, precision: Precision) -> Self {
        Self::for_engine(matrix, Engine::for_precision(precision), precision)
    }

    /// Packs a matrix for an engine, on this thread.
    pub fn for_engine(matrix: View<'_>, engine: Engine, precision: Precision) -> Self {
        let mut packed = Self::allocate(matrix.rows(), matrix.columns(), engine, precision);
        if let Some((shared, width, units)) = packed.unit_places(matrix) {
            // SAFETY: nothing else uses the values.
            unsafe { pairs::pack_right_units(shared, (width, units), 0, 0..units, matrix) };
            return packed;
        }
        let Self { values, units, .. } = &mut packed;
        let width = 2 * engine.lanes();
        for (index, values) in values.chunks_mut(width * *units).enumerate() {
            pack_micro_panel(values, *units, matrix, index * width, engine, precision);
        }
        packed
    }

    /// Packs a matrix on all threads.
    pub fn in_parallel(matrix: View<'_>, precision: Precision) -> Self {
        let engine = Engine::for_precision(precision);
        let mut packed = Self::allocate(matrix.rows(), matrix.columns(), engine, precision);
        if let Some((shared, width, units)) = packed.unit_places(matrix) {
            let parts = (0..units.div_ceil(UNITS)).into_par_iter();
            parts.for_each(|part| {
                let range = part * UNITS..units.min((part + 1) * UNITS);
                // SAFETY: each part has its own units.
                unsafe { pairs::pack_right_units(shared, (width, units), 0, range, matrix) };
            });
            return packed;
        }
        let Self { values, units, .. } = &mut packed;
        let (width, units) = (2 * engine.lanes(), *units);
        values
            .par_chunks_mut(width * units.max(1))
            .enumerate()
            .for_each(|(index, values)| {
                pack_micro_panel(values, units, matrix, index * width, engine, precision);
            });
        packed
    }

    /// The places of the units of pairs, the width of a micro-panel, and the number of its units.
    /// None if the rows of the matrix cannot be packed two at a time.
    fn unit_places(&mut self, matrix: View<'_>) -> Option<(Shared<'_>, usize, usize)> {
        let fits = self.engine.takes_pairs() && matrix.column_stride() == 1;
        let (width, units) = (2 * self.engine.lanes(), self.units);
        fits.then(|| (Shared::new(&mut self.values), width, units))
    }

    /// An operand whose rows are packed later, a part at a time. Its values are arbitrary until
    /// then.
    pub(crate) fn for_rows(
        inner: usize,
        columns: usize,
        engine: Engine,
        precision: Precision,
    ) -> Self {
        Self::allocate(inner, columns, engine, precision)
    }

    /// The places of the rows.
    pub(crate) fn row_places(&mut self) -> RowPlaces<'_> {
        RowPlaces {
            inner: self.inner,
            columns: self.columns,
            units: self.units,
            engine: self.engine,
            precision: if self.rounded {
                Precision::Bf16
            } else {
                Precision::F32
            },
            values: Shared::new(&mut self.values),
        }
    }

    fn allocate(inner: usize, columns: usize, engine: Engine, precision: Precision) -> Self {
        let units = engine.units(inner).max(1);
        let count = columns
            .checked_next_multiple_of(engine.lanes())
            .and_then(|columns| columns.checked_mul(units));
        Self {
            values: scratch(count.expect("an operand that fits into memory")),
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

    /// The micro-panels of the first `columns` columns.
    pub(super) fn micro_panels(&self, columns: usize) -> impl Iterator<Item = MicroPanel<'_>> {
        let width = 2 * self.engine.lanes();
        let micro_panels = self.values.chunks(width * self.units);
        micro_panels
            .enumerate()
            .take(columns.div_ceil(width))
            .map(move |(index, values)| MicroPanel {
                column: index * width,
                width: values.len() / self.units,
                values,
            })
    }
}

/// The places of the rows of a right operand.
#[derive(Clone, Copy)]
pub(crate) struct RowPlaces<'a> {
    inner: usize,
    columns: usize,
    units: usize,
    engine: Engine,
    precision: Precision,
    values: Shared<'a>,
}

impl RowPlaces<'_> {
    /// Packs the rows from `first` on. They must be whole units, unless they are the last rows; the
    /// rest of the units is then filled up.
    ///
    /// # Panics
    /// If the rows do not belong to the operand.
    ///
    /// # Safety
    /// No other task packs these rows.
    pub(crate) unsafe fn put(&self, first: usize, rows: View<'_>) {
        assert_eq!(rows.columns(), self.columns, "columns");
        assert!(first + rows.rows() <= self.inner, "rows of the operand");
        let width = 2 * self.engine.lanes();
        if self.engine.takes_pairs() {
            let (first, count) = units_of(first, rows.rows(), (self.inner, self.units), 1);
            let micro_panel = (width, self.units);
            // SAFETY: the caller guarantees it.
            unsafe { pairs::pack_right_units(self.values, micro_panel, first, 0..count, rows) };
            return;
        }
        let (all, count) = (
            self.columns.next_multiple_of(self.engine.lanes()),
            rows.rows(),
        );
        for column in (0..all).step_by(width) {
            let width = width.min(all - column);
            let from = column * self.units + first * width;
            // SAFETY: the caller guarantees it.
            let values = unsafe { self.values.slice(from, count * width) };
            pack_micro_panel(values, count, rows, column, self.engine, self.precision);
        }
    }
}

/// The first unit of `count` terms from `first` on, and the number of their units, in an operand of
/// `terms` terms and `units` units. The terms must be whole steps of `part` units, unless they are
/// the last.
///
/// # Panics
/// If they are not, or there are fewer terms.
pub(super) fn units_of(
    first: usize,
    count: usize,
    (terms, units): (usize, usize),
    part: usize,
) -> (usize, usize) {
    assert!(first + count <= terms, "terms of the operand");
    let is_last = first + count == terms;
    assert!(
        first.is_multiple_of(2 * part) && (is_last || count.is_multiple_of(2 * part)),
        "whole units"
    );
    let end = if is_last { units } else { (first + count) / 2 };
    (first / 2, end - first / 2)
}

/// Packs the micro-panel that begins at `column`.
fn pack_micro_panel(
    values: &mut [f32],
    units: usize,
    matrix: View<'_>,
    column: usize,
    engine: Engine,
    precision: Precision,
) {
    let width = values.len() / units;
    let valid = width.min(matrix.columns() - column);
    let part = matrix.columns_from(column, valid);
    if engine.takes_pairs() {
        return pairs::pack_right(values, width, units, part);
    }
    if valid < width {
        values.fill(0.0);
    }
    if matrix.column_stride() != 1 {
        copy_transposed(values, width, part);
    } else if valid == width {
        copy_rows(values, width, part.values(), part.row_stride(), part.rows());
    } else {
        for (unit, values) in values.chunks_exact_mut(width).take(part.rows()).enumerate() {
            values[..valid].copy_from_slice(&part.row(unit)[..valid]);
        }
    }
    if precision == Precision::Bf16 {
        values
            .iter_mut()
            .for_each(|value| *value = bfloat::from_bits(bfloat::to_bits(*value)));
    }
}

crate::level::levelled! {
    /// Copies rows of whole registers, 8 values at a time. They are too short for a call of
    /// `memcpy`.
    fn copy_rows(values: &mut [f32], width: usize, source: &[f32], stride: usize, rows: usize) {
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

/// Rows and columns of a square that is transposed in registers.
const SQUARE: usize = 8;

/// Copies a matrix to rows of `values`, `width` apart. It is meant for matrices whose columns are
/// contiguous in memory.
pub(crate) fn copy_transposed(values: &mut [f32], width: usize, part: View<'_>) {
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
            copy_transposed_squares(&mut values[first..], width, sources, whole);
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
    /// Copies columns in transposed squares. `terms` is a multiple of the side of a square.
    fn copy_transposed_squares(values: &mut [f32], width: usize, sources: [&[f32]; 8], terms: usize) {
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

/// Rounds the rows of a left operand to bf16, one after the other.
pub(super) fn round_rows(output: &mut [f32], left: View<'_>) {
    let terms = left.columns();
    for (row, output) in output
        .chunks_exact_mut(terms.max(1))
        .enumerate()
        .take(left.rows())
    {
        if left.column_stride() == 1 {
            bfloat::round(output, &left.row(row)[..terms]);
        } else {
            for (term, output) in output.iter_mut().enumerate() {
                *output = bfloat::from_bits(bfloat::to_bits(left.at(row, term)));
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::engine::Kind;
    use crate::random::values;

    proptest! {
        /// Packing only moves values, so it is tested for all engines on every processor.
        #[test]
        fn rows_that_are_put_in_parts_make_up_the_whole(
            inner in 1usize..150, columns in 1usize..80, part in 1usize..4,
        ) {
            let values = values(inner * columns, 1);
            let matrix = View::new(&values, inner, columns, columns);
            for kind in [Kind::Amx, Kind::Avx512Pairs, Kind::Avx512, Kind::Avx2, Kind::Portable] {
                let (engine, precision) = (Engine(kind), Precision::Bf16);
                let whole = Packed::for_engine(matrix, engine, precision);
                let mut parts = Packed::for_rows(inner, columns, engine, precision);
                let places = parts.row_places();
                for first in (0..inner).step_by(32 * part).collect::<Vec<_>>().into_iter().rev() {
                    let count = (inner - first).min(32 * part);
                    // SAFETY: one part after the other.
                    unsafe { places.put(first, matrix.rows_from(first, count)) };
                }
                let [found, expected] =
                    [&parts, &whole].map(|packed| packed.values.iter().map(|value| value.to_bits()));
                prop_assert!(found.eq(expected), "{engine:?}");
            }
        }
    }
}
