//! The forward pass of one head.

use super::head::{Head, Output, Part, prefetch_rows};
use super::not_finite::is_finite_for_first;
use super::query_blocks::{MOST, QueryBlocks, query_blocks};
use super::scores::{PerQuery, QUERIES, columns_to_rows};
use super::shape::Shape;
use crate::product::NarrowEngine;
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::Uninit;
use crate::update::multiply_chunk;

/// Buffers of a head. Operands are in the units of the engine.
pub(super) struct Buffers {
    /// Keys and values one after the other, where they are gathered.
    keys: Scratch,
    values: Scratch,
    /// The same as left operands.
    left_keys: Scratch,
    transposed_values: Scratch,
    /// The queries of a block as columns.
    queries: Scratch,
    /// Scores, then their exponentials, `[block, keys, QUERIES]`.
    weights: Scratch,
    /// The same as right operands.
    right_weights: Scratch,
    /// Sums of values, `[block, size, QUERIES]`.
    sums: Scratch,
}

impl Buffers {
    pub(super) fn new(shape: Shape, engine: NarrowEngine) -> Self {
        let Shape { time, size, .. } = shape;
        let blocks = engine.matrices_at_once();
        Self {
            keys: Head::gather_buffer(shape, engine),
            values: Head::gather_buffer(shape, engine),
            left_keys: scratch(engine.left_len(time, size)),
            transposed_values: scratch(engine.left_len(size, time)),
            queries: scratch(blocks * engine.right_len(size)),
            weights: scratch(blocks * NarrowEngine::output_len(time)),
            right_weights: scratch(engine.right_operands_len(time)),
            sums: scratch(blocks * NarrowEngine::output_len(size)),
        }
    }
}

impl Head<'_> {
    /// Writes the channels of the head of all tokens.
    pub(super) fn forward(&self, output: Shared<'_, Uninit>, buffers: &mut Buffers) {
        let Shape { time, size, .. } = self.shape;
        let (engine, at_once) = (self.engine, self.engine.matrices_at_once());
        let keys = self.gathered(Part::Keys, &mut buffers.keys);
        let values = self.gathered(Part::Values, &mut buffers.values);
        let keys = engine.left_operand(keys, &mut buffers.left_keys);
        let values = engine.left_operand(values.transposed(), &mut buffers.transposed_values);
        let stride = NarrowEngine::output_len(time);
        let sums_stride = NarrowEngine::output_len(size);
        for group in query_blocks(time, at_once) {
            prefetch_rows(self.rows(Part::Queries, group.next(time, at_once)));
            self.prefetch_places(output, Output::Heads, group.queries.clone());
            let visible = group.visible();
            let queries = self.rows(Part::Queries, group.queries.clone());
            let queries = engine.split_columns(queries.transposed(), &mut buffers.queries);
            let weights = (&mut buffers.weights[..], stride);
            engine.multiply(weights, &keys, visible, (queries, size), false);
            let reciprocals = self.probabilities(&mut buffers.weights, stride, &group);
            let rows = group.visible_rows(&buffers.weights, stride);
            let weights = engine.right_operands(&rows, visible, &mut buffers.right_weights);
            let sums = (&mut buffers.sums[..], sums_stride);
            engine.multiply(sums, &values, size, (weights, visible), false);
            let mut sums = group.blocks().zip(buffers.sums.chunks(sums_stride));
            if !sums.all(|(_, sums)| is_finite_for_first(&sums[..size * QUERIES])) {
                let sums = (&mut buffers.sums[..], sums_stride);
                self.sum_finite_values(sums, (weights, visible), &group);
            }
            let sums = buffers.sums.chunks_mut(sums_stride);
            for ((queries, sums), scales) in group.blocks().zip(sums).zip(reciprocals) {
                // SAFETY: this task is the only one of the head, and writes one row after the other.
                let rows = queries.map(|query| unsafe { self.place(output, Output::Heads, query) });
                columns_to_rows(rows, sums, &scales);
            }
        }
    }

    /// Replaces the scores of query blocks by the exponentials that weigh values, after dropout. Gives
    /// the reciprocals of their sums for each block.
    fn probabilities(
        &self,
        weights: &mut [f32],
        stride: usize,
        group: &QueryBlocks,
    ) -> [PerQuery; MOST] {
        let mut reciprocals = [[0.0; QUERIES]; MOST];
        let blocks = group.blocks().zip(weights.chunks_mut(stride));
        for ((queries, weights), reciprocals) in blocks.zip(&mut reciprocals) {
            let rows = &mut weights[..queries.end * QUERIES];
            *reciprocals = self.exponentials(rows, queries.clone());
            if let Some(factors) = self.dropout_factors(queries) {
                multiply_chunk(rows, &factors);
            }
        }
        reciprocals
    }
}
