//! The output of a product, written tile by tile.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::left_operand::LeftOperand;
use super::packed::Packed;
use super::strips::{Strips, WORTH_STRIPS};
use super::tile::{BLOCK, Corner, Tile};
use crate::matrix::extent;
use crate::uninitialized::{Uninit, as_uninit};

/// The output of a product.
pub(super) struct Target<'a> {
    /// At least as long as all rows and columns.
    output: &'a mut [Uninit],
    row_stride: usize,
    rows: usize,
    columns: usize,
    /// Whether the sums are added to the values of the output, which are then initialized.
    accumulate: bool,
}

impl<'a> Target<'a> {
    /// An output with rows `row_stride` apart.
    ///
    /// # Panics
    /// If rows overlap, or the output is too short.
    pub(super) fn new(
        output: &'a mut [f32],
        row_stride: usize,
        shape: [usize; 2],
        accumulate: bool,
    ) -> Self {
        // SAFETY: a target writes nothing but sums, which are initialized.
        let output = unsafe { as_uninit(output) };
        Self {
            accumulate,
            ..Self::new_uninit(output, row_stride, shape)
        }
    }

    /// An output in memory that may not be initialized. All rows and columns are overwritten.
    ///
    /// # Panics
    /// If rows overlap, or the output is too short.
    pub(super) fn new_uninit(
        output: &'a mut [Uninit],
        row_stride: usize,
        [rows, columns]: [usize; 2],
    ) -> Self {
        assert!(row_stride >= columns, "rows of the output overlap");
        assert!(
            output.len() >= extent(rows, columns, row_stride, 1),
            "output too short"
        );
        Self {
            output,
            row_stride,
            rows,
            columns,
            accumulate: false,
        }
    }

    /// Computes the product.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub(super) fn multiply(mut self, left: &LeftOperand<'_>, right: &Packed) {
        assert!(
            self.columns <= right.columns(),
            "more columns than the right operand has"
        );
        assert_eq!(left.engine, right.engine(), "operands of one engine");
        assert!(left.terms <= right.inner(), "inner dimensions differ");
        assert!(
            self.rows <= left.rows,
            "more rows than the left operand has"
        );
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if right.engine().is_amx() {
            // SAFETY: the engine exists only where the tile unit is usable.
            let mut tiles = unsafe { amx::Hardware::configured() };
            self.multiply_in_tiles(&mut tiles, left, right);
            return;
        }
        self.multiply_in_registers(left, right);
    }

    /// Goes through blocks of terms, micro-panels of columns, and tiles of rows.
    fn multiply_in_registers(&mut self, left: &LeftOperand<'_>, right: &Packed) {
        let (engine, rows) = (right.engine(), self.rows);
        let (lanes, most) = (engine.lanes(), engine.rows());
        if left.units == 0 && !self.accumulate {
            for row in 0..rows {
                self.output[row * self.row_stride..][..self.columns].fill(Uninit::new(0.0));
            }
        }
        let mut strips = left
            .flipped
            .filter(|_| self.columns >= WORTH_STRIPS)
            .map(|left| Strips::new(left.rows(), most));
        let block = if left.flipped.is_some() {
            BLOCK / 2
        } else {
            BLOCK
        };
        let tiles = rows.div_ceil(most);
        for first in (0..left.units).step_by(block) {
            let inner = block.min(left.units - first);
            let accumulate = self.accumulate || first > 0;
            if let Some((strips, left)) = strips.as_mut().zip(left.flipped) {
                strips.fill(left, first, inner);
            }
            for micro_panel in right.micro_panels(self.columns) {
                let registers = micro_panel.width / lanes;
                let units = micro_panel.units(first, inner);
                let next = micro_panel.next(units, tiles);
                let whole = engine.tile_function::<false>(most, registers);
                for (index, row) in (0..rows).step_by(most).enumerate() {
                    next.prefetch(index);
                    let count = most.min(rows - row);
                    let compute = if count == most {
                        whole
                    } else {
                        engine.tile_function::<false>(count, registers)
                    };
                    let (start, left_row, left_step) = match &strips {
                        Some(strips) => strips.strides_from(row),
                        None => left.strides_from(row, first),
                    };
                    let tile = Tile {
                        inner,
                        left: start,
                        left_row,
                        left_step,
                        right: units.as_ptr(),
                        output: std::ptr::null_mut(),
                        output_row: 0,
                        rows: std::ptr::null(),
                        accumulate,
                    };
                    let place = Place {
                        row,
                        count,
                        column: micro_panel.column,
                        width: micro_panel.width,
                    };
                    self.write(place, accumulate, |output, output_row, accumulate| {
                        // SAFETY: the engine exists, so the processor has its instructions; the
                        // operands hold all rows, columns and terms, and `write` gives room for
                        // whole tiles.
                        unsafe {
                            compute(Tile {
                                output,
                                output_row,
                                accumulate,
                                ..tile
                            })
                        };
                    });
                }
            }
        }
    }

    /// Goes through blocks of 32 rows and 32 columns with the tile unit.
    #[cfg(target_arch = "x86_64")]
    fn multiply_in_tiles<T: amx::Tiles>(
        &mut self,
        tiles: &mut T,
        left: &LeftOperand<'_>,
        right: &Packed,
    ) {
        for micro_panel in right.micro_panels(self.columns) {
            for row in (0..self.rows).step_by(amx::BLOCK) {
                let count = amx::BLOCK.min(self.rows - row);
                let (start, steps) = left.tiles_from(row);
                let block = amx::Block {
                    steps,
                    left: start,
                    left_steps: steps,
                    right: micro_panel.values.as_ptr(),
                    right_row: micro_panel.width,
                    right_other: 16,
                    output: std::ptr::null_mut(),
                    output_row: 0,
                    output_other: 16,
                    accumulate: self.accumulate,
                    both_rows: count > 16,
                    both_columns: micro_panel.width > 16,
                };
                let place = Place {
                    row,
                    count: count.next_multiple_of(16),
                    column: micro_panel.column,
                    width: micro_panel.width,
                };
                self.write(place, self.accumulate, |output, output_row, accumulate| {
                    let block = amx::Block {
                        output,
                        output_row,
                        accumulate,
                        ..block
                    };
                    // SAFETY: the tiles can be used; the left operand has rows up to a multiple of
                    // 16, and `write` gives room for whole blocks.
                    unsafe { amx::compute(tiles, block) };
                });
            }
        }
    }

    /// Calls `compute` with the address of a tile, the distance of its rows, and whether to add to
    /// it. A tile that reaches over the edge goes through a buffer that holds the values of the
    /// output, so that its sums have the same bits.
    fn write(
        &mut self,
        place: Place,
        accumulate: bool,
        compute: impl FnOnce(*mut f32, usize, bool),
    ) {
        let Place {
            row,
            count,
            column,
            width,
        } = place;
        let start = row * self.row_stride + column;
        if row + count <= self.rows && column + width <= self.columns {
            // The tile ends within the output, whose length was checked when the target was made.
            let output = self.output[start..].as_mut_ptr().cast();
            return compute(output, self.row_stride, accumulate);
        }
        let valid = width.min(self.columns - column);
        let count = count.min(self.rows - row);
        let mut corner: Corner = [0.0; 1024];
        if accumulate {
            for (index, sums) in corner.chunks_exact_mut(width).enumerate().take(count) {
                let line = &self.output[start + index * self.row_stride..][..valid];
                // SAFETY: sums are only added to an initialized output, or to sums that an earlier
                // block of terms wrote.
                sums[..valid].copy_from_slice(unsafe { line.assume_init_ref() });
            }
        }
        compute(corner.as_mut_ptr(), width, accumulate);
        for (index, sums) in corner.chunks_exact(width).enumerate().take(count) {
            let line = &mut self.output[start + index * self.row_stride..][..valid];
            line.write_copy_of_slice(&sums[..valid]);
        }
    }
}

/// The place of a tile in the output.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    count: usize,
    column: usize,
    width: usize,
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::View;
    use crate::product::bfloat;
    use crate::product::engine::{Engine, Kind, Precision};
    use crate::random::values;

    proptest! {
        /// The path of the tile unit, with tiles in software.
        #[test]
        fn blocks_make_up_a_product(
            rows in 1usize..70, inner in 0usize..100, columns in 1usize..70, gap in 0usize..3,
            flipped in any::<bool>(), accumulate in any::<bool>(),
        ) {
            let (left, right) = (values(rows * inner, 1), values(inner * columns, 2));
            let left = if flipped {
                View::new(&left, inner, rows, rows).transposed()
            } else {
                View::new(&left, rows, inner, inner)
            };
            let right = View::new(&right, inner, columns, columns);
            let packed = Packed::for_engine(right, Engine(Kind::Amx), Precision::Bf16);
            let row_stride = columns + gap;
            let before = values(rows * row_stride, 3);
            let mut output = before.clone();
            let mut target = Target::new(&mut output, row_stride, [rows, columns], accumulate);
            let left_operand = LeftOperand::for_product(left, &packed);
            target.multiply_in_tiles(&mut amx::Software::default(), &left_operand, &packed);
            let rounded = |value| f64::from(bfloat::from_bits(bfloat::to_bits(value)));
            for (index, &found) in output.iter().enumerate() {
                let (row, column) = (index / row_stride, index % row_stride);
                if column >= columns {
                    prop_assert_eq!(found, before[index]);
                    continue;
                }
                let terms = (0..inner).map(|i| rounded(left.at(row, i)) * rounded(right.at(i, column)));
                let start = if accumulate { f64::from(before[index]) } else { 0.0 };
                let expected = start + terms.sum::<f64>();
                // At most 101 additions to sums of at most 101, each off by 2⁻²⁴ of the sum.
                prop_assert!((f64::from(found) - expected).abs() <= 101.0 * 101.0 / f64::from(1 << 24));
            }
        }
    }
}
