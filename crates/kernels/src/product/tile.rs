//! The innermost loop of a product: a tile of sums that stays in registers.

use std::array::from_fn;

/// Units of a block of terms: a micro-panel's part of a block stays in the first-level cache.
pub(super) const BLOCK: usize = 256;

/// A buffer for one tile of any engine.
pub(super) type Corner = [f32; 1024];

/// A register of f32 lanes.
///
/// # Safety
/// A method may be called only if the processor has the instructions of the implementation.
/// Pointers must be valid for [`Vector::LANES`] values ([`broadcast`](Vector::broadcast): for one).
pub(super) trait Vector: Copy {
    /// Values in a register.
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn broadcast(from: *const f32) -> Self;
    /// `self + left · right`.
    unsafe fn multiply_add(self, left: Self, right: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn store(self, to: *mut f32);
}

/// A tile: `M` rows of the left operand times `N` registers of columns of the right one.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Terms of each sum.
    pub(super) inner: usize,
    /// The left operand. Row `i` at step `k` is at `i · left_row + k · left_step`.
    pub(super) left: *const f32,
    pub(super) left_row: usize,
    pub(super) left_step: usize,
    /// The right operand: `N` registers for each step, one step after the other.
    pub(super) right: *const f32,
    /// The sums, with rows `output_row` apart.
    pub(super) output: *mut f32,
    pub(super) output_row: usize,
    /// The rows of the output that the rows of a scattered tile are added to.
    pub(super) rows: *const u32,
    /// Whether the sums are added to the values of the output.
    pub(super) accumulate: bool,
}

/// Computes a tile. A scattered one adds each row to the row of the output that `rows` gives. The
/// bits of a sum do not depend on the numbers of rows and registers.
///
/// # Safety
/// The processor has the instructions of `V`, and all operands of the tile are valid.
#[inline(always)]
pub(super) unsafe fn compute<V: Vector, const M: usize, const N: usize, const SCATTERED: bool>(
    tile: Tile,
) {
    // SAFETY: the caller guarantees the instructions and all addresses of the tile.
    unsafe {
        let mut sums = [[V::zero(); N]; M];
        let (mut left, mut right) = (tile.left, tile.right);
        for _ in 0..tile.inner {
            let columns: [V; N] = from_fn(|j| V::load(right.add(j * V::LANES)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let value = V::broadcast(left.add(i * tile.left_row));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = sum.multiply_add(value, column);
                }
            }
            // After the last term it may point outside of the operand.
            left = left.wrapping_add(tile.left_step);
            right = right.add(N * V::LANES);
        }
        for (i, sums) in sums.iter().enumerate() {
            let row = if SCATTERED {
                *tile.rows.add(i) as usize
            } else {
                i
            };
            let output = tile.output.wrapping_add(row * tile.output_row);
            for (j, &sum) in sums.iter().enumerate() {
                let to = output.wrapping_add(j * V::LANES);
                let sum = if SCATTERED || tile.accumulate {
                    V::load(to).add(sum)
                } else {
                    sum
                };
                sum.store(to);
            }
        }
    }
}

/// A function that computes a tile.
pub(super) type TileFunction = unsafe fn(Tile);

/// Defines `tile_function(rows, registers)`, which gives the functions for tiles of one vector
/// type.
macro_rules! tile_functions {
    ($vector:ty, [$($feature:literal)?], [$($rows:literal)*]) => {
        /// The function for tiles of `rows` rows and `registers` registers.
        pub(in crate::product) fn tile_function<const SCATTERED: bool>(
            rows: usize,
            registers: usize,
        ) -> crate::product::tile::TileFunction {
            $(#[target_feature(enable = $feature)])?
            /// Computes a tile of this size.
            ///
            /// # Safety
            /// As for [`compute`](crate::product::tile::compute).
            unsafe fn tile_of_size<const M: usize, const N: usize, const SCATTERED: bool>(
                tile: crate::product::tile::Tile,
            ) {
                // SAFETY: the caller guarantees it.
                unsafe { crate::product::tile::compute::<$vector, M, N, SCATTERED>(tile) }
            }
            match (rows, registers) {
                $(
                    ($rows, 1) => tile_of_size::<$rows, 1, SCATTERED>,
                    ($rows, 2) => tile_of_size::<$rows, 2, SCATTERED>,
                )*
                _ => unreachable!("no tile of {rows} rows and {registers} registers"),
            }
        }
    };
}
pub(super) use tile_functions;
