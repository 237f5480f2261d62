//! Products by a narrow right operand that needs no packing.

use super::tile::Tile;
use super::{Engine, Precision};
use crate::matrix::View;

/// Columns of a panel: whole registers at every level.
pub(crate) const PANEL: usize = 16;

/// `output = left · panel` in f32, or `output += left · panel` where `accumulate`, on this thread.
///
/// `panel` is `[left's columns, 16]` and `output` `[left's rows, 16]`; both may be longer. The left
/// operand is read once, as it lies, and the panel once for each tile of rows.
///
/// # Panics
/// If one of both is too short.
pub(crate) fn multiply_panel(output: &mut [f32], left: View<'_>, panel: &[f32], accumulate: bool) {
    let (rows, inner) = (left.rows(), left.columns());
    assert!(panel.len() >= inner * PANEL, "panel too short");
    assert!(output.len() >= rows * PANEL, "output too short");
    let engine = Engine::of(Precision::F32);
    let (most, registers) = (engine.rows(), PANEL / engine.lanes());
    let whole = engine.tiles::<false>(most.min(rows.max(1)), registers);
    for (index, output) in output[..rows * PANEL].chunks_mut(most * PANEL).enumerate() {
        let count = output.len() / PANEL;
        let compute = if count == most {
            whole
        } else {
            engine.tiles::<false>(count, registers)
        };
        let tile = Tile {
            inner,
            left: left
                .values()
                .as_ptr()
                .wrapping_add(index * most * left.row_stride()),
            left_row: left.row_stride(),
            left_step: left.column_stride(),
            right: panel.as_ptr(),
            output: output.as_mut_ptr(),
            output_row: PANEL,
            rows: std::ptr::null(),
            accumulate,
        };
        // SAFETY: the engine exists, so the processor has its instructions; all elements of a view lie
        // in its slice, and the lengths of panel and output are checked above.
        unsafe { compute(tile) };
    }
}
