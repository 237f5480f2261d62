//! Keeps values that are not finite away from the queries before them.
//!
//! One product takes all keys of a query block together. Keys behind a query have the weight 0 for it,
//! and 0 times infinity is not 0.

use super::head::{Head, Part};
use super::query_blocks::QueryBlocks;
use super::scores::QUERIES;
use crate::matrix::View;
use crate::scratch::scratch;

/// Whether the sums of values, `[size, QUERIES]`, are finite for the first query of the block. They are
/// not if any key of the block has a value that is not finite, so one query tells for all.
pub(super) fn is_finite_for_first(sums: &[f32]) -> bool {
    let (rows, _) = sums.as_chunks::<QUERIES>();
    rows.iter().all(|row| row[0].is_finite())
}

impl Head<'_> {
    /// Sums the values of query blocks again with 0 in place of values that are not finite. Then sets
    /// the sums of those channels to NaN for the queries that see them. `weights` are the weights and
    /// the number of their keys.
    pub(super) fn sum_finite_values(
        &self,
        (sums, stride): (&mut [f32], usize),
        weights: (&[f32], usize),
        group: &QueryBlocks<'_>,
    ) {
        let (time, size, engine) = (self.shape.time, self.shape.size, self.engine);
        let rows = self.rows(Part::Values, 0..time);
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        let values: Vec<f32> = (0..time)
            .flat_map(|key| &rows.row(key)[..size])
            .map(|&value| finite(value))
            .collect();
        let mut buffer = scratch(engine.left_len(size, time));
        let values = View::new(&values, time, size, size).transposed();
        let values = engine.left_operand(values, &mut buffer);
        engine.multiply((&mut *sums, stride), &values, size, weights, false);
        for (block, sums) in group.blocks().zip(sums.chunks_mut(stride)) {
            let (sums, _) = sums.as_chunks_mut::<QUERIES>();
            for key in 0..block.visible() {
                let first = block.tokens().take_while(|&token| token < key).count();
                for (sums, value) in sums.iter_mut().zip(&rows.row(key)[..size]) {
                    if !value.is_finite() {
                        sums[first..].fill(f32::NAN);
                    }
                }
            }
        }
    }
}
