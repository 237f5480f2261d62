//! Matrix products with packed right operands: one driver, one small file per instruction set.
//!
//! The right operand is [packed](Packed) once and used for many tiles of the left one. A sum is
//! made in the order of its terms, in blocks whose size is fixed, whatever the number of threads,
//! the tile it falls into, and the rows beside it. In f32, a right operand of one narrow panel needs no
//! packing. Sums by a panel are made in one go.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bfloat;
mod engine;
mod left_operand;
mod packed;
mod pairs;
mod panel;
mod portable;
mod scattered;
mod target;
mod tile;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::is_usable as amx_is_usable;
pub use engine::{Engine, Precision};
pub use packed::Packed;
pub(crate) use packed::RowPlaces;
pub(crate) use packed::across;
pub(crate) use panel::{PANEL, PanelEngine, copy_short, multiply_panel, put_columns};
pub use scattered::{Block, multiply_scattered};

use crate::matrix::View;
pub(crate) use left_operand::LeftOperand;
use target::Target;

/// `output = left · right`, or `output += left · right` where `accumulate`, on this thread.
///
/// `output` has rows `row_stride` apart.
///
/// # Panics
/// If the shapes do not fit each other or the output is too short.
pub fn multiply(
    output: &mut [f32],
    row_stride: usize,
    left: View<'_>,
    right: &Packed,
    accumulate: bool,
) {
    assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
    multiply_columns(output, row_stride, left, right, right.columns(), accumulate);
}

/// [`multiply`] by the first `columns` columns and the first rows of `right`, as many as `left` has
/// columns.
///
/// # Panics
/// If the shapes do not fit each other or the output is too short.
pub fn multiply_columns(
    output: &mut [f32],
    row_stride: usize,
    left: View<'_>,
    right: &Packed,
    columns: usize,
    accumulate: bool,
) {
    let operand = LeftOperand::of(left, right);
    multiply_operand(
        output,
        row_stride,
        &operand,
        left.rows(),
        right,
        columns,
        accumulate,
    );
}

/// [`multiply_columns`] with the first `rows` rows of a left operand that is used more than once.
///
/// # Panics
/// As there.
pub(crate) fn multiply_operand(
    output: &mut [f32],
    row_stride: usize,
    left: &LeftOperand<'_>,
    rows: usize,
    right: &Packed,
    columns: usize,
    accumulate: bool,
) {
    assert!(
        columns <= right.columns(),
        "more columns than the right operand has"
    );
    assert_eq!(left.engine, right.engine(), "operands of one engine");
    assert!(left.terms <= right.inner(), "inner dimensions differ");
    assert!(rows <= left.rows, "more rows than the left operand has");
    assert!(row_stride >= columns, "rows of the output overlap");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        output.len() >= (rows - 1) * row_stride + columns,
        "output too short"
    );
    let mut target = Target {
        output,
        row_stride,
        rows,
        columns,
        accumulate,
    };
    #[cfg(target_arch = "x86_64")]
    if right.engine().is_amx() {
        // SAFETY: the engine exists only where the tile unit is usable.
        let mut tiles = unsafe { amx::Hardware::configured() };
        target.blocks(&mut tiles, left, right);
        return;
    }
    target.tiles(left, right);
}
