//! The forward pass of one head.

use super::head::{Head, Output, Part};
use super::not_finite::is_finite_for_first;
use super::query_blocks::{MOST, QueryBlocks, query_blocks};
use super::scores::{PerQuery, QUERIES, columns_to_rows, scale_columns};
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
    /// The queries of a block where they are gathered.
    query_rows: Scratch,
    /// The same as columns.
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
            query_rows: Head::query_buffer(shape, blocks),
            queries: scratch(blocks * engine.right_len(size)),
            weights: scratch(blocks * NarrowEngine::output_len(time)),
            right_weights: scratch(engine.right_operands_len(time)),
            sums: scratch(blocks * NarrowEngine::output_len(size)),
        }
    }
}

impl Head<'_> {
    /// Writes the channels of the head of all tokens; 0 for those whose queries do not attend.
    pub(super) fn forward(&self, output: Shared<'_, Uninit>, buffers: &mut Buffers) {
        let Shape { time, size, .. } = self.shape;
        let (engine, at_once) = (self.engine, self.engine.matrices_at_once());
        let keys = self.gathered(Part::Keys, &mut buffers.keys);
        let values = self.gathered(Part::Values, &mut buffers.values);
        let keys = engine.left_operand(keys, &mut buffers.left_keys);
        let values = engine.left_operand(values.transposed(), &mut buffers.transposed_values);
        let stride = NarrowEngine::output_len(time);
        let sums_stride = NarrowEngine::output_len(size);
        self.clear_others(output, Output::Heads);
        for group in query_blocks(self.queries, at_once) {
            self.prefetch_queries(group.next(at_once));
            let tokens = group.blocks().flat_map(|block| block.tokens());
            self.prefetch_places(output, Output::Heads, tokens);
            let visible = group.visible();
            let queries = self.query_rows(group.queries.clone(), &mut buffers.query_rows);
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
            for ((block, sums), mut scales) in group.blocks().zip(sums).zip(reciprocals) {
                if let Some(factors) = self.factors(&block) {
                    scale_columns(&mut scales, &factors);
                }
                let tokens = block.tokens();
                // SAFETY: this task is the only one of the head, and writes one row after the other.
                let rows = tokens.map(|token| unsafe { self.place(output, Output::Heads, token) });
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
        group: &QueryBlocks<'_>,
    ) -> [PerQuery; MOST] {
        let mut reciprocals = [[0.0; QUERIES]; MOST];
        let blocks = group.blocks().zip(weights.chunks_mut(stride));
        for ((block, weights), reciprocals) in blocks.zip(&mut reciprocals) {
            let rows = &mut weights[..block.visible() * QUERIES];
            *reciprocals = self.exponentials(rows, &block);
            if let Some(factors) = self.dropout_factors(&block) {
                multiply_chunk(rows, &factors);
            }
        }
        reciprocals
    }
}
