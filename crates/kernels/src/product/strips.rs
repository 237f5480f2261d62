//! Left operands whose rows are not contiguous, copied in the order in which tiles read them.

use super::tile::BLOCK;
use crate::matrix::View;
use crate::scratch::{Scratch, scratch};

/// A block of terms of a left operand whose rows are not contiguous: for each tile, the values of
/// its rows term by term.
pub(super) struct Strips {
    values: Scratch,
    rows: usize,
}

/// The fewest columns of a product for which copying the left operand pays.
pub(super) const WORTH_STRIPS: usize = 256;

/// Values that are copied at once. Those behind the rows of a tile are overwritten by the next
/// copy.
const COPIED: usize = 8;

impl Strips {
    /// Strips for `rows` rows in tiles of `tile` rows.
    pub(super) fn new(rows: usize, tile: usize) -> Self {
        Self {
            values: scratch(rows.div_ceil(tile) * (BLOCK / 2 * tile + COPIED)),
            rows: tile,
        }
    }

    fn length(&self) -> usize {
        BLOCK / 2 * self.rows + COPIED
    }

    /// Copies `terms` terms from `first` on.
    pub(super) fn fill(&mut self, left: View<'_>, first: usize, terms: usize) {
        let (length, rows) = (self.length(), self.rows);
        for term in 0..terms {
            let source = left.columns_from(first + term, 1);
            for (strip, output) in self.values.chunks_exact_mut(length).enumerate() {
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

    /// The address of the tile of a row, and the distances between rows and between terms.
    pub(super) fn strides_from(&self, row: usize) -> (*const f32, usize, usize) {
        let start = &self.values[row / self.rows * self.length()..];
        (start.as_ptr(), 1, self.rows)
    }
}
