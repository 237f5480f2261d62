//! Products whose rows are added to listed rows of the output.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::left_operand::LeftOperand;
use super::packed::MicroPanel;
use super::packed::Packed;
use super::tile::{BLOCK, Corner, Tile};
use crate::matrix::View;

/// A block of a larger matrix, row by row.
pub struct OutputBlock<'a> {
    /// `[rows, columns]`.
    pub values: &'a mut [f32],
    /// The number of its first row in the matrix.
    pub first_row: usize,
    /// Its columns in the matrix. The first one is a multiple of [`COLUMNS`](OutputBlock::COLUMNS).
    pub columns: Range<usize>,
}

impl OutputBlock<'_> {
    /// A multiple of the columns that any engine computes at once.
    pub const COLUMNS: usize = 32;
}

/// Adds the columns of `left · right` that lie in the block: row `i` is added to row `rows[i]` of
/// the matrix.
///
/// # Panics
/// If the shapes do not fit each other, or a row lies outside of the block.
pub fn multiply_scattered(
    mut block: OutputBlock<'_>,
    rows: &[u32],
    left: View<'_>,
    right: &Packed,
) {
    let OutputBlock {
        first_row,
        ref columns,
        ..
    } = block;
    assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
    assert_eq!(left.rows(), rows.len(), "a place for each row");
    assert!(
        columns.start.is_multiple_of(OutputBlock::COLUMNS)
            && columns.start < columns.end
            && columns.end <= right.columns(),
        "columns of the product"
    );
    let count = block.values.len() / columns.len();
    let within = |&row: &u32| (first_row..first_row + count).contains(&(row as usize));
    assert!(rows.iter().all(within), "rows of the block");
    let left = LeftOperand::for_product(left, right);
    let width = 2 * right.engine().lanes();
    let micro_panels = right.micro_panels(columns.end).skip(columns.start / width);
    #[cfg(target_arch = "x86_64")]
    if right.engine().is_amx() {
        // SAFETY: the engine exists only where the tile unit is usable.
        let mut tiles = unsafe { amx::Hardware::configured() };
        micro_panels
            .for_each(|micro_panel| block.add_blocks(&mut tiles, &micro_panel, rows, &left));
        return;
    }
    // Blocks of terms are the outer loop: few terms of all micro-panels fit into the first-level
    // cache.
    let mut micro_panels: Vec<MicroPanel<'_>> = micro_panels.collect();
    for first in (0..left.units).step_by(BLOCK) {
        for micro_panel in &mut micro_panels {
            block.add_tiles(micro_panel, rows, &left, first, right);
        }
    }
}

impl OutputBlock<'_> {
    /// The address of row 0 of the matrix at a column. It may lie outside of the block.
    fn origin(&mut self, column: usize) -> *mut f32 {
        let row = self.first_row * self.columns.len();
        let start = self.values.as_mut_ptr().wrapping_sub(row);
        start.wrapping_add(column - self.columns.start)
    }

    /// Adds tiles of one micro-panel, for one block of terms.
    fn add_tiles(
        &mut self,
        micro_panel: &MicroPanel<'_>,
        rows: &[u32],
        left: &LeftOperand<'_>,
        first: usize,
        right: &Packed,
    ) {
        let engine = right.engine();
        let (inner, registers) = (
            BLOCK.min(left.units - first),
            micro_panel.width / engine.lanes(),
        );
        let whole = micro_panel.column + micro_panel.width <= self.columns.end;
        for (index, rows) in rows.chunks(engine.rows()).enumerate() {
            let (start, left_row, left_step) = left.strides_from(index * engine.rows(), first);
            let tile = Tile {
                inner,
                left: start,
                left_row,
                left_step,
                right: micro_panel.units(first, inner).as_ptr(),
                output: self.origin(micro_panel.column),
                output_row: self.columns.len(),
                rows: rows.as_ptr(),
                accumulate: true,
            };
            if whole {
                // SAFETY: the engine exists, so the processor has its instructions; the operands hold
                // all rows, columns and terms; rows and columns of the output lie in the block.
                unsafe { engine.tile_function::<true>(rows.len(), registers)(tile) };
                continue;
            }
            let mut corner: Corner = [0.0; 1024];
            let tile = Tile {
                output: corner.as_mut_ptr(),
                output_row: micro_panel.width,
                accumulate: false,
                ..tile
            };
            // SAFETY: as above; the corner has room for a tile of any engine.
            unsafe { engine.tile_function::<false>(rows.len(), registers)(tile) };
            self.add_corner(micro_panel, rows, &corner);
        }
    }

    /// Adds the products of one micro-panel with the tile unit.
    #[cfg(target_arch = "x86_64")]
    fn add_blocks<T: amx::Tiles>(
        &mut self,
        tiles: &mut T,
        micro_panel: &MicroPanel<'_>,
        rows: &[u32],
        left: &LeftOperand<'_>,
    ) {
        for (index, rows) in rows.chunks(amx::BLOCK).enumerate() {
            let mut corner: Corner = [0.0; 1024];
            let (start, steps) = left.tiles_from(index * amx::BLOCK);
            let block = amx::Block {
                steps,
                left: start,
                left_steps: steps,
                right: micro_panel.values.as_ptr(),
                right_row: micro_panel.width,
                right_other: 16,
                output: corner.as_mut_ptr(),
                output_row: micro_panel.width,
                output_other: 16,
                accumulate: false,
                both_rows: rows.len() > 16,
                both_columns: micro_panel.width > 16,
            };
            // SAFETY: the tiles can be used; the left operand has rows up to a multiple of 16, and
            // the corner has room for a block.
            unsafe { amx::compute(tiles, block) };
            self.add_corner(micro_panel, rows, &corner);
        }
    }

    /// Adds rows of `micro_panel.width` sums, but only the columns of the block.
    fn add_corner(&mut self, micro_panel: &MicroPanel<'_>, rows: &[u32], corner: &Corner) {
        let width = self.columns.len();
        let column = micro_panel.column - self.columns.start;
        let valid = micro_panel.width.min(width - column);
        for (&row, sums) in rows.iter().zip(corner.chunks_exact(micro_panel.width)) {
            let start = (row as usize - self.first_row) * width + column;
            let output = &mut self.values[start..][..valid];
            for (output, sum) in output.iter_mut().zip(sums) {
                *output += sum;
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::bfloat;
    use crate::product::engine::{Engine, Kind, Precision};
    use crate::random::values;

    proptest! {
        /// The path of the tile unit, with tiles in software.
        #[test]
        fn blocks_are_added_to_their_rows(
            all in 1usize..90, inner in 1usize..70, width in 1usize..70, second in any::<bool>(),
        ) {
            let rows: Vec<u32> = (0..all as u32).filter(|row| row % 3 != 1).collect();
            let (left, right) = (values(rows.len() * inner, 1), values(inner * width, 2));
            let right_view = View::new(&right, inner, width, width);
            let packed = Packed::for_engine(right_view, Engine(Kind::Amx), Precision::Bf16);
            let left_operand = LeftOperand::for_product(View::new(&left, rows.len(), inner, inner), &packed);
            let first = if second && width > 32 { 32 } else { 0 };
            let before = values(all * (width - first), 3);
            let mut found = before.clone();
            let mut block = OutputBlock { values: &mut found, first_row: 0, columns: first..width };
            let mut tiles = amx::Software::default();
            for micro_panel in packed.micro_panels(width).skip(first / 32) {
                block.add_blocks(&mut tiles, &micro_panel, &rows, &left_operand);
            }
            let rounded = |value| f64::from(bfloat::from_bits(bfloat::to_bits(value)));
            for (index, &found) in found.iter().enumerate() {
                let (row, column) = (index / (width - first), first + index % (width - first));
                let product = rows.binary_search(&(row as u32)).map_or(0.0, |place| {
                    let terms = (0..inner).map(|i| {
                        rounded(left[place * inner + i]) * rounded(right[i * width + column])
                    });
                    terms.sum::<f64>()
                });
                let expected = f64::from(before[index]) + product;
                // At most 71 additions to sums of at most 71, each off by 2⁻²⁴ of the sum.
                prop_assert!((f64::from(found) - expected).abs() <= 71.0 * 71.0 / f64::from(1 << 24));
            }
        }
    }
}
