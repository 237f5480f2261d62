//! Where the units of a packed left operand lie.

use super::engine::Engine;
use crate::square::SIDE;

/// Where the units of a packed left operand lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// Rows of this many units, one after the other.
    Rows(usize),
    /// Strips of 16 rows of this many units, a multiple of 16. A strip is a sequence of tiles of 16 × 16
    /// units, each stored row by row: 1 KiB without gaps.
    Tiles(usize),
}

impl Layout {
    /// The layout of an operand of `terms` terms.
    pub(super) fn new(engine: Engine, terms: usize) -> Self {
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

    /// The place of a unit. The units behind it follow, up to the end of the row or of the tile.
    pub(super) fn place(self, row: usize, unit: usize) -> usize {
        match self {
            Self::Rows(units) => row * units + unit,
            Self::Tiles(units) => {
                let tile = row / SIDE * SIDE * units + unit / SIDE * SIDE * SIDE;
                tile + row % SIDE * SIDE + unit % SIDE
            }
        }
    }
}
