//! The left operand of a product, as its tiles read it.

use std::marker::PhantomData;

use super::engine::Engine;
use super::packed::{self, Packed};
use super::pairs;
use super::target::BLOCK;
use crate::matrix::View;
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::square::SIDE;

/// Where the units of a left operand lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// Rows of so many units, one after the other.
    Rows(usize),
    /// Strips of 16 rows of so many units, a multiple of 16. A strip is its tiles of 16 × 16 units, one
    /// after the other and each row by row, so that a tile is 1 KiB in one piece.
    Tiles(usize),
}

impl Layout {
    fn of(engine: Engine, terms: usize) -> Self {
        let units = engine.units(terms);
        if engine.is_amx() {
            Self::Tiles(units)
        } else {
            Self::Rows(units)
        }
    }

    /// Units of a row.
    pub(super) fn units(self) -> usize {
        match self {
            Self::Rows(units) | Self::Tiles(units) => units,
        }
    }

    /// The place of a unit. Those behind it lie beside it, up to the end of the row or of the tile.
    pub(super) fn at(self, row: usize, unit: usize) -> usize {
        match self {
            Self::Rows(units) => row * units + unit,
            Self::Tiles(units) => {
                let tile = row / SIDE * SIDE * units + unit / SIDE * SIDE * SIDE;
                tile + row % SIDE * SIDE + unit % SIDE
            }
        }
    }
}

/// The left operand in the units of the engine.
pub(crate) struct LeftOperand<'a> {
    /// Rows of units, `row` apart, unless the operand is flipped; for the tile unit, [`Layout::Tiles`].
    pub(super) start: *const f32,
    pub(super) row: usize,
    pub(super) units: usize,
    /// Rows that there are; of pairs for tiles, up to a multiple of 16.
    pub(super) rows: usize,
    /// Terms of each sum.
    pub(super) terms: usize,
    /// What it is made for: no other engine can read it.
    pub(super) engine: Engine,
    /// An operand of f32 values whose rows do not lie one after the other.
    pub(super) flipped: Option<View<'a>>,
    /// What `start` points into, unless it is the matrix itself or a room of somebody else's.
    _held: Option<Scratch>,
    _borrowed: PhantomData<&'a [f32]>,
}

impl<'a> LeftOperand<'a> {
    /// A matrix `[rows, terms]`, rounded to bf16 where `rounded`.
    pub(crate) fn new(left: View<'a>, engine: Engine, rounded: bool) -> Self {
        if let Some(whole) = Self::as_it_is(left, engine, rounded) {
            return whole;
        }
        let mut held = scratch(Self::room(left.rows(), left.columns(), engine));
        // SAFETY: the buffer stays where it is, and the operand holds it.
        let packed = unsafe { Self::packed_into(left, engine, &mut held) };
        Self {
            _held: Some(held),
            ..packed
        }
    }

    /// The same in `room`, unless the operand is taken as it is.
    ///
    /// # Panics
    /// If the [room](Self::room) is too short.
    pub(crate) fn new_in(
        left: View<'a>,
        engine: Engine,
        rounded: bool,
        room: &'a mut [f32],
    ) -> Self {
        // SAFETY: the operand's lifetime is that of the room.
        Self::as_it_is(left, engine, rounded)
            .unwrap_or_else(|| unsafe { Self::packed_into(left, engine, room) })
    }

    /// Room for a matrix in the units of an engine, in values.
    pub(crate) fn room(rows: usize, terms: usize, engine: Engine) -> usize {
        Self::whole_rows(rows, engine)
            .checked_mul(engine.units(terms))
            .expect("an operand that fits into memory")
    }

    /// Rows up to whole tiles.
    pub(crate) fn whole_rows(rows: usize, engine: Engine) -> usize {
        rows.next_multiple_of(if engine.is_amx() { 16 } else { 1 })
    }

    fn as_it_is(left: View<'a>, engine: Engine, rounded: bool) -> Option<Self> {
        (!engine.takes_pairs() && !rounded).then(|| Self {
            start: left.values().as_ptr(),
            row: left.row_stride(),
            units: left.columns(),
            rows: left.rows(),
            terms: left.columns(),
            engine,
            flipped: (left.column_stride() != 1).then_some(left),
            _held: None,
            _borrowed: PhantomData,
        })
    }

    /// A matrix packed into `room`.
    ///
    /// # Safety
    /// The room outlives the operand, and nobody changes it as long.
    unsafe fn packed_into(left: View<'_>, engine: Engine, room: &mut [f32]) -> Self {
        let (layout, rows) = (Layout::of(engine, left.columns()), left.rows());
        let room = &mut room[..Self::room(rows, left.columns(), engine)];
        if engine.takes_pairs() {
            pairs::rows(room, layout, left);
        } else {
            packed::rounded_rows(room, left);
        }
        let units = layout.units();
        Self {
            start: room.as_ptr(),
            row: units,
            units,
            rows: Self::whole_rows(rows, engine),
            terms: left.columns(),
            engine,
            flipped: None,
            _held: None,
            _borrowed: PhantomData,
        }
    }

    /// The columns of two panels `[rows, 16]` side by side, as many rows as the second one has, for the
    /// tile unit. Rows that the first lacks are 0.
    ///
    /// # Panics
    /// If the room is too short, or the engine takes no pairs.
    pub(crate) fn of_panels(panels: [&[f32]; 2], engine: Engine, room: &'a mut [f32]) -> Self {
        let [first, second] = panels.map(|panel| panel.as_chunks().0);
        let terms = 2 * SIDE;
        let rows = Self::whole_rows(second.len(), engine);
        let room = &mut room[..Self::room(rows, terms, engine)];
        pairs::side_by_side(room, Layout::of(engine, terms), [first, second]);
        Self::packed(room, rows, terms, engine)
    }

    /// Pairs that are packed already: by [`pack_into`](Self::pack_into) or
    /// [`pack_rows`](Self::pack_rows).
    ///
    /// # Panics
    /// If there are not as many.
    pub(crate) fn packed(values: &'a [f32], rows: usize, terms: usize, engine: Engine) -> Self {
        let units = engine.units(terms);
        assert!(engine.takes_pairs() && values.len() >= rows * units);
        assert!(!engine.is_amx() || rows.is_multiple_of(16), "whole tiles");
        Self {
            start: values.as_ptr(),
            row: units,
            units,
            rows,
            terms,
            engine,
            flipped: None,
            _held: None,
            _borrowed: PhantomData,
        }
    }

    /// Packs the rows of a matrix as pairs. Rows of an operand can be packed by themselves, from a
    /// multiple of 16 on: that of row `i` begins at `i · engine.units(terms)`.
    ///
    /// # Panics
    /// If the room is too short.
    pub(crate) fn pack_rows(room: &mut [f32], left: View<'_>, engine: Engine) {
        pairs::rows(room, Layout::of(engine, left.columns()), left);
    }

    /// Packs the pairs of a matrix whose columns lie one after the other, `[rows, some of the terms]`,
    /// as the terms from `first` on of an operand of `terms` terms that begins at `from`. They are whole
    /// units, for the tile unit whole tiles, unless they are the last: with those, what is left of the
    /// units is 0.
    ///
    /// # Panics
    /// If the terms are not whole units, or do not lie in `shared`.
    ///
    /// # Safety
    /// No other part of `shared` that is in use holds any of these units.
    pub(crate) unsafe fn pack_into(
        shared: Shared<'_>,
        from: usize,
        (terms, engine): (usize, Engine),
        first: usize,
        left: View<'_>,
    ) {
        let layout = Layout::of(engine, terms);
        let part = match layout {
            Layout::Rows(_) => 1,
            Layout::Tiles(_) => SIDE,
        };
        let (first_unit, units) =
            packed::units_of(first, left.columns(), (terms, layout.units()), part);
        let place = |row: usize, unit: usize| from + layout.at(row, first_unit + unit);
        // SAFETY: passed on to the caller.
        unsafe { pairs::rows_across(shared, place, units, left.transposed()) };
    }

    /// The left operand of products by `right`.
    pub(crate) fn of(left: View<'a>, right: &Packed) -> Self {
        Self::new(left, right.engine(), right.is_rounded())
    }
}

impl LeftOperand<'_> {
    /// Where the tiles from a row on begin, a multiple of 16, and the steps of the operand.
    pub(super) fn tiles_from(&self, row: usize) -> (*const f32, usize) {
        debug_assert!(self.engine.is_amx() && row.is_multiple_of(SIDE));
        (self.start.wrapping_add(row * self.row), self.units / SIDE)
    }

    /// Where a row begins at a term, and the distances of rows and terms, unless the operand lies in
    /// tiles.
    pub(super) fn tile(&self, row: usize, term: usize) -> (*const f32, usize, usize) {
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

/// A block of terms of a left operand whose rows do not lie one after the other: for each tile the
/// values of its rows, term after term.
pub(super) struct Strips {
    held: Scratch,
    rows: usize,
}

/// Columns of the product from which on it pays to copy the left operand into strips.
pub(super) const WORTH_STRIPS: usize = 256;

/// Values that are copied together; what is too much is overwritten by the next copy.
const COPIED: usize = 8;

impl Strips {
    /// Room for `rows` rows in tiles of `tile` rows.
    pub(super) fn room(rows: usize, tile: usize) -> Self {
        Self {
            held: scratch(rows.div_ceil(tile) * (BLOCK / 2 * tile + COPIED)),
            rows: tile,
        }
    }

    fn length(&self) -> usize {
        BLOCK / 2 * self.rows + COPIED
    }

    /// Takes the `terms` terms from `first` on.
    pub(super) fn fill(&mut self, left: View<'_>, first: usize, terms: usize) {
        let (length, rows) = (self.length(), self.rows);
        for term in 0..terms {
            let source = left.part(first + term, 1);
            for (strip, output) in self.held.chunks_exact_mut(length).enumerate() {
                let row = strip * rows;
                let output = &mut output[term * rows..][..COPIED];
                if left.row_stride() == 1
                    && let Some(values) = source.values().get(row..row + COPIED)
                    && rows <= COPIED
                {
                    output.copy_from_slice(values);
                    continue;
                }
                for (place, output) in output.iter_mut().enumerate().take(rows) {
                    if row + place < left.rows() {
                        *output = source.at(row + place, 0);
                    }
                }
            }
        }
    }

    /// Where the tile of a row begins, and the distances of its rows and terms.
    pub(super) fn tile(&self, row: usize) -> (*const f32, usize, usize) {
        let start = &self.held[row / self.rows * self.length()..];
        (start.as_ptr(), 1, self.rows)
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
        fn terms_that_are_packed_in_parts_make_up_the_whole(
            rows in 1usize..40, terms in 1usize..150, part in 1usize..4,
        ) {
            let values = values(rows * terms, 2);
            let matrix = View::new(&values, terms, rows, rows).transposed();
            for engine in [Engine(Kind::Amx), Engine(Kind::Avx512Pairs)] {
                let room = LeftOperand::room(rows, terms, engine);
                // Rows up to whole tiles hold any values.
                let [mut found, mut expected] = [vec![0.0; room], vec![0.0; room]];
                LeftOperand::new_in(matrix, engine, true, &mut expected);
                let shared = Shared::new(&mut found);
                for first in (0..terms).step_by(32 * part) {
                    let some = matrix.part(first, (terms - first).min(32 * part));
                    // SAFETY: one part after the other.
                    unsafe { LeftOperand::pack_into(shared, 0, (terms, engine), first, some) };
                }
                let [found, expected] =
                    [&found, &expected].map(|values| values.iter().map(|value| value.to_bits()));
                prop_assert!(found.eq(expected), "{engine:?}");
            }
        }
    }
}
