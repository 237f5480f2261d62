//! The left operand of a product, as its tiles read it.

use super::packed::{self, Packed};
use super::target::BLOCK;
use crate::matrix::View;
use crate::scratch::{Scratch, scratch};

/// The left operand in the units of the engine.
pub(super) struct LeftOperand<'a> {
    /// Rows of units, `row` apart, unless the operand is flipped.
    pub(super) start: *const f32,
    pub(super) row: usize,
    pub(super) units: usize,
    /// An operand of f32 values whose rows do not lie one after the other.
    pub(super) flipped: Option<View<'a>>,
    /// What `start` points into.
    _held: Option<Scratch>,
}

impl<'a> LeftOperand<'a> {
    pub(super) fn new(left: View<'a>, right: &Packed) -> Self {
        let engine = right.engine();
        if !engine.takes_pairs() && !right.is_rounded() {
            return Self {
                start: left.values().as_ptr(),
                row: left.row_stride(),
                units: left.columns(),
                flipped: (left.column_stride() != 1).then_some(left),
                _held: None,
            };
        }
        let units = engine.units(left.columns());
        let rows = left
            .rows()
            .next_multiple_of(if engine.is_amx() { 16 } else { 1 });
        let mut held = scratch(rows * units);
        packed::rows(&mut held, units, left, engine.takes_pairs());
        Self {
            start: held.as_ptr(),
            row: units,
            units,
            flipped: None,
            _held: Some(held),
        }
    }
}

impl LeftOperand<'_> {
    /// Where a row begins at a term, and the distances of rows and terms.
    pub(super) fn tile(&self, row: usize, term: usize) -> (*const f32, usize, usize) {
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
