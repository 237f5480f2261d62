//! The backward pass of one head.

use super::head::{Head, Output, Part};
use super::query_blocks::{QueryBlocks, query_blocks};
use super::scores::{QUERIES, columns_to_rows, scale_columns, softmax_backward};
use super::shape::Shape;
use crate::product::{LeftOperand, NARROW_COLUMNS, NarrowEngine, copy_short};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::{Uninit, as_init};
use crate::update::multiply_chunk;

/// Buffers of a head. Operands are in the units of the engine.
pub(super) struct Buffers {
    /// Keys and values one after the other, where they are gathered.
    keys: Scratch,
    values: Scratch,
    /// The same as left operands.
    left_keys: Scratch,
    left_values: Scratch,
    transposed_keys: Scratch,
    /// The queries of a block, and the gradients of their output, where they are gathered.
    gathered_queries: Scratch,
    gathered_gradients: Scratch,
    /// The same as columns.
    queries: Scratch,
    gradients: Scratch,
    /// The same as `[queries, size]`, split into narrow matrices.
    query_rows: Scratch,
    gradient_rows: Scratch,
    /// Scores, then probabilities, and the gradients of both, `[block, keys, QUERIES]`.
    weights: Scratch,
    dscores: Scratch,
    /// The same as left operands.
    left_weights: Scratch,
    left_dscores: Scratch,
    /// Gradients of scores as right operands.
    right_dscores: Scratch,
    /// Gradients of queries, `[block, size, QUERIES]`.
    dqueries: Scratch,
    dkeys: Sums,
    dvalues: Sums,
}

impl Buffers {
    pub(super) fn new(shape: Shape, engine: NarrowEngine) -> Self {
        let Shape { time, size, .. } = shape;
        let blocks = engine.matrices_at_once();
        let queries = blocks * QUERIES;
        let columns = || scratch(blocks * engine.right_len(size));
        let rows = || scratch(engine.right_len(queries) * size.div_ceil(NARROW_COLUMNS));
        let scores = || scratch(blocks * NarrowEngine::output_len(time));
        Self {
            keys: Head::gather_buffer(shape, engine),
            values: Head::gather_buffer(shape, engine),
            left_keys: scratch(engine.left_len(time, size)),
            left_values: scratch(engine.left_len(time, size)),
            transposed_keys: scratch(engine.left_len(size, time)),
            gathered_queries: Head::query_buffer(shape, blocks),
            gathered_gradients: Head::query_buffer(shape, blocks),
            queries: columns(),
            gradients: columns(),
            query_rows: rows(),
            gradient_rows: rows(),
            weights: scores(),
            dscores: scores(),
            left_weights: scratch(engine.left_len(time, queries)),
            left_dscores: scratch(engine.left_len(time, queries)),
            right_dscores: scratch(engine.right_operands_len(time)),
            dqueries: scratch(blocks * NarrowEngine::output_len(size)),
            dkeys: Sums::new(time, size),
            dvalues: Sums::new(time, size),
        }
    }
}

impl Head<'_> {
    /// Writes the gradients of queries, keys and values of the head of all tokens; 0 for queries that do
    /// not attend. Where the head has factors, writes the gradients of those that are not 0 to `dfactors`,
    /// in the order of the factors.
    ///
    /// Operands are packed long before they are multiplied where possible: the tile unit waits long for
    /// values that were written just before.
    pub(super) fn backward(
        &self,
        gradient: &[f32],
        dpacked: Shared<'_, Uninit>,
        dfactors: Shared<'_>,
        buffers: &mut Buffers,
    ) {
        let Shape { time, size, .. } = self.shape;
        let (engine, at_once) = (self.engine, self.engine.matrices_at_once());
        let keys = self.gathered(Part::Keys, &mut buffers.keys);
        let values = self.gathered(Part::Values, &mut buffers.values);
        let transposed_keys = engine.left_operand(keys.transposed(), &mut buffers.transposed_keys);
        let keys = engine.left_operand(keys, &mut buffers.left_keys);
        let values = engine.left_operand(values, &mut buffers.left_values);
        let stride = NarrowEngine::output_len(time);
        let dqueries_stride = NarrowEngine::output_len(size);
        let dqueries_layout = Output::Packed(Part::Queries);
        buffers.dkeys.clear();
        buffers.dvalues.clear();
        self.clear_others(dpacked, dqueries_layout);
        for group in query_blocks(self.queries, at_once) {
            let next = group.next(at_once);
            self.prefetch_queries(next.clone());
            self.prefetch_gradients(gradient, next);
            let tokens = group.blocks().flat_map(|block| block.tokens());
            self.prefetch_places(dpacked, dqueries_layout, tokens);
            let visible = group.visible();
            let range = group.queries.clone();
            let queries = self.query_rows(range.clone(), &mut buffers.gathered_queries);
            let gradients = self.gradient_rows(gradient, range, &mut buffers.gathered_gradients);
            let query_columns = engine.split_columns(queries.transposed(), &mut buffers.queries);
            let gradient_columns =
                engine.split_columns(gradients.transposed(), &mut buffers.gradients);
            let query_rows = engine.split_columns(queries, &mut buffers.query_rows);
            let gradient_rows = engine.split_columns(gradients, &mut buffers.gradient_rows);
            let weights = (&mut buffers.weights[..], stride);
            engine.multiply(weights, &keys, visible, (query_columns, size), false);
            let dscores = (&mut buffers.dscores[..], stride);
            engine.multiply(dscores, &values, visible, (gradient_columns, size), false);
            let scores = (&mut buffers.dscores[..], &mut buffers.weights[..]);
            self.score_gradients(scores, stride, &group, dfactors);
            let [weights, dscores] = [&buffers.weights, &buffers.dscores]
                .map(|values| group.visible_rows(values, stride));
            let right_dscores =
                engine.right_operands(&dscores, visible, &mut buffers.right_dscores);
            let terms = group.len();
            let left_dscores = engine.left_side_by_side(&dscores, terms, &mut buffers.left_dscores);
            let left_weights = engine.left_side_by_side(&weights, terms, &mut buffers.left_weights);
            let dqueries = (&mut buffers.dqueries[..], dqueries_stride);
            let right_dscores = (right_dscores, visible);
            engine.multiply(dqueries, &transposed_keys, size, right_dscores, false);
            let (query_rows, gradient_rows) = ((query_rows, terms), (gradient_rows, terms));
            buffers
                .dkeys
                .add(&left_dscores, visible, query_rows, engine);
            buffers
                .dvalues
                .add(&left_weights, visible, gradient_rows, engine);
            let dqueries = buffers.dqueries.chunks_mut(dqueries_stride);
            for (block, dqueries) in group.blocks().zip(dqueries) {
                let tokens = block.tokens();
                // SAFETY: this task is the only one of the head, and writes one row after the other.
                let rows =
                    tokens.map(|token| unsafe { self.place(dpacked, dqueries_layout, token) });
                columns_to_rows(rows, dqueries, &[1.0; QUERIES]);
            }
        }
        self.write_sums(dpacked, Part::Keys, &buffers.dkeys);
        self.write_sums(dpacked, Part::Values, &buffers.dvalues);
    }

    /// Writes the gradients of all keys or values to their places.
    fn write_sums(&self, dpacked: Shared<'_, Uninit>, part: Part, sums: &Sums) {
        let (time, layout) = (self.shape.time, Output::Packed(part));
        self.prefetch_places(dpacked, layout, 0..time);
        for token in 0..time {
            // SAFETY: this task is the only one of the head, and writes one row after the other.
            sums.read_row(token, unsafe { self.place(dpacked, layout, token) });
        }
    }

    /// Replaces the scores of query blocks by probabilities, after dropout, and the gradients of
    /// probabilities by gradients of scores, each times the factor of its query.
    ///
    /// The gradients that come in are those of the output behind the factors, `g`. So the mean of the
    /// gradients of the probabilities, `Σ P dP`, is the sum of the head's output times `g`: the gradient
    /// of the factor.
    fn score_gradients(
        &self,
        (dscores, weights): (&mut [f32], &mut [f32]),
        stride: usize,
        group: &QueryBlocks<'_>,
        dfactors: Shared<'_>,
    ) {
        let dscores = dscores.chunks_mut(stride);
        let blocks = group.blocks().zip(weights.chunks_mut(stride));
        for ((block, weights), dscores) in blocks.zip(dscores) {
            let [weights, dscores] =
                [weights, dscores].map(|rows| &mut rows[..block.visible() * QUERIES]);
            let reciprocals = self.exponentials(weights, &block);
            let dropped = self.dropout_factors(&block);
            if let Some(dropped) = &dropped {
                multiply_chunk(dscores, dropped);
            }
            let means = softmax_backward(dscores, weights, &reciprocals, self.shape.scale());
            if let Some(dropped) = &dropped {
                multiply_chunk(weights, dropped);
            }
            let Some(factors) = self.factors(&block) else {
                continue;
            };
            scale_columns(dscores, &factors);
            scale_columns(weights, &factors);
            let kept = block.tokens().zip(means).zip(factors);
            for ((token, mean), _) in kept.filter(|(_, factor)| *factor != 0.0) {
                // SAFETY: each head has its own factors, and this task is the only one of the head.
                let place = unsafe { dfactors.slice(self.factor_place(token), 1) };
                place[0] = mean;
            }
        }
    }
}

/// Sums `[rows, size]`, split into narrow matrices.
struct Sums {
    values: Scratch,
    /// Values of a narrow matrix, with room for whole tiles.
    stride: usize,
}

impl Sums {
    fn new(rows: usize, size: usize) -> Self {
        let stride = NarrowEngine::output_len(rows);
        Self {
            values: scratch(stride * size.div_ceil(NARROW_COLUMNS)),
            stride,
        }
    }

    fn clear(&mut self) {
        self.values.fill(0.0);
    }

    /// Adds the product of the first `rows` rows of a left operand and a right one, which is split
    /// into narrow matrices: its values and terms.
    fn add(
        &mut self,
        left: &LeftOperand<'_>,
        rows: usize,
        right: (&[f32], usize),
        engine: NarrowEngine,
    ) {
        engine.multiply((&mut self.values, self.stride), left, rows, right, true);
    }

    fn read_row(&self, row: usize, output: &mut [Uninit]) {
        let matrices = self.values.chunks_exact(self.stride);
        for (output, matrix) in output.chunks_mut(NARROW_COLUMNS).zip(matrices) {
            copy_short(
                output,
                as_init(&matrix[row * NARROW_COLUMNS..][..output.len()]),
            );
        }
    }
}
