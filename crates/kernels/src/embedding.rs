//! Rows of a table, and the sums of their gradients.

use crate::uninitialized::from_chunks;

/// Rows of one task.
const ROWS: usize = 64;

/// The rows of `table` with the numbers `ids`, `[ids, width]`.
///
/// # Panics
/// If the table has no whole number of rows, or an id is not below it.
pub fn gather(table: &[f32], ids: &[u32], width: usize) -> Vec<f32> {
    check(table, ids, width);
    from_chunks(ids.len() * width, ROWS * width, |index, rows| {
        let ids = &ids[index * ROWS..][..rows.len() / width];
        for (row, &id) in rows.chunks_exact_mut(width).zip(ids) {
            row.write_copy_of_slice(&table[id as usize * width..][..width]);
        }
        // SAFETY: the rows are whole, and there is an id for each of them.
        unsafe { rows.assume_init_mut() }
    })
}

/// Adds row `i` of `gradient` to row `ids[i]` of `table`, in the order of the ids.
///
/// # Panics
/// If the lengths do not fit, or an id is not below the number of rows.
pub fn scatter_add(table: &mut [f32], ids: &[u32], gradient: &[f32], width: usize) {
    check(table, ids, width);
    assert_eq!(gradient.len(), ids.len() * width, "one row per id");
    for (gradient, &id) in gradient.chunks_exact(width).zip(ids) {
        let row = &mut table[id as usize * width..][..width];
        for (sum, value) in row.iter_mut().zip(gradient) {
            *sum += value;
        }
    }
}

fn check(table: &[f32], ids: &[u32], width: usize) {
    assert!(width > 0 && table.len().is_multiple_of(width), "whole rows");
    let rows = table.len() / width;
    assert!(
        ids.iter().all(|&id| (id as usize) < rows),
        "ids below the rows"
    );
}
