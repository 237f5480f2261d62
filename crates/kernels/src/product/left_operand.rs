//! The left operand of a product, as tiles read it.

use std::marker::PhantomData;

use super::engine::Engine;
use super::layout::Layout;
use super::packed::{self, Packed};
use super::pairs;
use crate::matrix::View;
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::square::SIDE;

/// The left operand in the units of the engine.
pub(crate) struct LeftOperand<'a> {
    /// Rows of units, `row` units apart, unless the operand is flipped. For the tile unit in the layout
    /// [`Layout::Tiles`].
    pub(super) start: *const f32,
    pub(super) row: usize,
    pub(super) units: usize,
    /// Rows that may be read; for the tile unit a multiple of 16.
    pub(super) rows: usize,
    /// Terms of each sum.
    pub(super) terms: usize,
    /// The engine that it is packed for. No other one can read it.
    pub(super) engine: Engine,
    /// The matrix, if it holds f32 values and the values of a row are not neighbours.
    pub(super) flipped: Option<View<'a>>,
    /// What `start` points into, if this operand owns it.
    _owned: Option<Scratch>,
    _borrowed: PhantomData<&'a [f32]>,
}

impl<'a> LeftOperand<'a> {
    /// The left operand of a product by `right`.
    pub(crate) fn for_product(left: View<'a>, right: &Packed) -> Self {
        Self::new(left, right.engine(), right.is_rounded())
    }

    /// A matrix `[rows, terms]`, rounded to bf16 where `rounded`.
    pub(crate) fn new(left: View<'a>, engine: Engine, rounded: bool) -> Self {
        if let Some(unpacked) = Self::unpacked(left, engine, rounded) {
            return unpacked;
        }
        let mut owned = scratch(Self::packed_len(left.rows(), left.columns(), engine));
        // SAFETY: the operand owns the buffer, which stays where it is when the operand moves.
        let packed = unsafe { Self::pack(left, engine, &mut owned) };
        Self {
            _owned: Some(owned),
            ..packed
        }
    }

    /// The same, packed into `buffer` unless the matrix is taken as it is.
    ///
    /// # Panics
    /// If the buffer is shorter than the [packed length](Self::packed_len).
    pub(crate) fn new_in(
        left: View<'a>,
        engine: Engine,
        rounded: bool,
        buffer: &'a mut [f32],
    ) -> Self {
        // SAFETY: the operand borrows the buffer as long as it lives.
        Self::unpacked(left, engine, rounded)
            .unwrap_or_else(|| unsafe { Self::pack(left, engine, buffer) })
    }

    /// The length of a packed matrix.
    pub(crate) fn packed_len(rows: usize, terms: usize, engine: Engine) -> usize {
        Self::padded_rows(rows, engine)
            .checked_mul(engine.units(terms))
            .expect("an operand that fits into memory")
    }

    /// The number of rows, filled up to whole tiles of the tile unit.
    pub(crate) fn padded_rows(rows: usize, engine: Engine) -> usize {
        rows.next_multiple_of(if engine.is_amx() { SIDE } else { 1 })
    }

    /// The matrix as it is, if the engine can read it.
    fn unpacked(left: View<'a>, engine: Engine, rounded: bool) -> Option<Self> {
        (!engine.takes_pairs() && !rounded).then(|| Self {
            start: left.values().as_ptr(),
            row: left.row_stride(),
            units: left.columns(),
            rows: left.rows(),
            terms: left.columns(),
            engine,
            flipped: (left.column_stride() != 1).then_some(left),
            _owned: None,
            _borrowed: PhantomData,
        })
    }

    /// The matrix, packed into `buffer`.
    ///
    /// # Safety
    /// The buffer outlives the operand, and nobody changes it for that time.
    unsafe fn pack(left: View<'_>, engine: Engine, buffer: &mut [f32]) -> Self {
        let (layout, rows) = (Layout::new(engine, left.columns()), left.rows());
        let buffer = &mut buffer[..Self::packed_len(rows, left.columns(), engine)];
        if engine.takes_pairs() {
            pairs::pack_left(buffer, layout, left);
        } else {
            packed::round_rows(buffer, left);
        }
        let units = layout.units();
        Self {
            start: buffer.as_ptr(),
            row: units,
            units,
            rows: Self::padded_rows(rows, engine),
            terms: left.columns(),
            engine,
            flipped: None,
            _owned: None,
            _borrowed: PhantomData,
        }
    }

    /// The columns of two narrow matrices `[rows, 16]` side by side, for the tile unit. The operand has as
    /// many rows as the second matrix; rows that the first lacks are 0.
    ///
    /// # Panics
    /// If the buffer is too short, or the engine takes no pairs.
    pub(crate) fn side_by_side(
        matrices: [&[f32]; 2],
        engine: Engine,
        buffer: &'a mut [f32],
    ) -> Self {
        let [first, second] = matrices.map(|matrix| matrix.as_chunks().0);
        let terms = 2 * SIDE;
        let rows = Self::padded_rows(second.len(), engine);
        let buffer = &mut buffer[..Self::packed_len(rows, terms, engine)];
        pairs::pack_side_by_side(buffer, Layout::new(engine, terms), [first, second]);
        Self::from_packed(buffer, rows, terms, engine)
    }

    /// An operand of pairs that were packed by [`pack_terms`](Self::pack_terms) or
    /// [`pack_rows`](Self::pack_rows).
    ///
    /// # Panics
    /// If there are too few values, or the engine takes no pairs or other numbers of rows.
    pub(crate) fn from_packed(
        values: &'a [f32],
        rows: usize,
        terms: usize,
        engine: Engine,
    ) -> Self {
        let units = engine.units(terms);
        assert!(engine.takes_pairs() && values.len() >= rows * units);
        assert!(!engine.is_amx() || rows.is_multiple_of(SIDE), "whole tiles");
        Self {
            start: values.as_ptr(),
            row: units,
            units,
            rows,
            terms,
            engine,
            flipped: None,
            _owned: None,
            _borrowed: PhantomData,
        }
    }

    /// Packs the rows of a matrix as pairs. Rows of an operand may be packed in parts that begin at
    /// multiples of 16: row `i` of the operand begins at `i · engine.units(terms)`.
    ///
    /// # Panics
    /// If the buffer is too short.
    pub(crate) fn pack_rows(buffer: &mut [f32], left: View<'_>, engine: Engine) {
        pairs::pack_left(buffer, Layout::new(engine, left.columns()), left);
    }

    /// Packs some terms of all rows of an operand as pairs: the terms from `first` on of an operand of
    /// `terms` terms that begins at `from` in `shared`.
    ///
    /// `left` is `[rows, some of the terms]`, and the values of its columns are neighbours. Its terms are
    /// whole units, and for the tile unit whole tiles, unless they are the last terms of the operand; the
    /// rest of the units is then filled with 0.
    ///
    /// # Panics
    /// If the terms are not whole units, or do not lie in `shared`.
    ///
    /// # Safety
    /// No other slice of `shared` that is in use holds any of these units.
    pub(crate) unsafe fn pack_terms(
        shared: Shared<'_>,
        from: usize,
        (terms, engine): (usize, Engine),
        first: usize,
        left: View<'_>,
    ) {
        let layout = Layout::new(engine, terms);
        let step = match layout {
            Layout::Rows(_) => 1,
            Layout::Tiles(_) => SIDE,
        };
        let all = (terms, layout.units());
        let (first_unit, units) = packed::units_of(first, left.columns(), all, step);
        let place = |row: usize, unit: usize| from + layout.place(row, first_unit + unit);
        // SAFETY: the caller guarantees it.
        unsafe { pairs::pack_left_transposed(shared, place, units, left.transposed()) };
    }
}

impl LeftOperand<'_> {
    /// The address of the tiles from a row on, a multiple of 16, and the steps of the operand.
    pub(super) fn tiles_from(&self, row: usize) -> (*const f32, usize) {
        debug_assert!(self.engine.is_amx() && row.is_multiple_of(SIDE));
        (self.start.wrapping_add(row * self.row), self.units / SIDE)
    }

    /// The address of a row at a term, and the distances between rows and between terms. Not for the tile
    /// unit.
    pub(super) fn strides_from(&self, row: usize, term: usize) -> (*const f32, usize, usize) {
        debug_assert!(!self.engine.is_amx(), "rows");
        let (row_stride, step) = match self.flipped {
            Some(view) => (view.row_stride(), view.column_stride()),
            None => (self.row, 1),
        };
        (
            self.start.wrapping_add(row * row_stride + term * step),
            row_stride,
            step,
        )
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::engine::Kind;
    use crate::random::values;

    proptest! {
        #[test]
        fn terms_packed_in_parts_make_up_the_whole(
            rows in 1usize..40, terms in 1usize..150, part in 1usize..4,
        ) {
            let values = values(rows * terms, 2);
            let matrix = View::new(&values, terms, rows, rows).transposed();
            for engine in [Engine(Kind::Amx), Engine(Kind::Avx512Pairs)] {
                let length = LeftOperand::packed_len(rows, terms, engine);
                // Rows that fill up tiles hold any values.
                let [mut found, mut expected] = [vec![0.0; length], vec![0.0; length]];
                LeftOperand::new_in(matrix, engine, true, &mut expected);
                let shared = Shared::new(&mut found);
                for first in (0..terms).step_by(32 * part) {
                    let some = matrix.columns_from(first, (terms - first).min(32 * part));
                    // SAFETY: one part after the other.
                    unsafe { LeftOperand::pack_terms(shared, 0, (terms, engine), first, some) };
                }
                let [found, expected] =
                    [&found, &expected].map(|values| values.iter().map(|value| value.to_bits()));
                prop_assert!(found.eq(expected), "{engine:?}");
            }
        }
    }
}
