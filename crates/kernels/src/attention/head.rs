//! One head of one sequence: where its rows lie, and the softmax of its scores.

use std::ops::Range;

use super::query_blocks::{Queries, QueryBlock};
use super::scores::{PerQuery, QUERIES, exponentials, mask_later_keys};
use super::shape::Shape;
use crate::dropout::Dropout;
use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::product::{NarrowEngine, copy_short};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::Uninit;

/// What the packed channels of a token hold, in this order.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Queries,
    Keys,
    Values,
}

/// How an output of all heads is laid out.
#[derive(Clone, Copy)]
pub(super) enum Output {
    /// `[batch, time, heads · size]`.
    Heads,
    /// `[batch, time, 3 · heads · size]`, of which one part is meant.
    Packed(Part),
}

/// One head of one sequence.
pub(super) struct Head<'a> {
    pub(super) shape: Shape,
    /// Its number among the heads of all sequences.
    pub(super) number: usize,
    pub(super) packed: &'a [f32],
    pub(super) dropout: Option<Dropout>,
    pub(super) engine: NarrowEngine,
    /// The queries that attend.
    pub(super) queries: Queries<'a>,
    /// What the output of the head is multiplied by, `[batch, time, heads]`; nothing without it.
    pub(super) factors: Option<&'a [f32]>,
}

/// Prefetches rows. They lie far apart: without this, each row is a cache miss of its own.
pub(super) fn prefetch_rows(rows: View<'_>) {
    for row in 0..rows.rows() {
        prefetch_row(rows.row(row).as_ptr(), rows.columns());
    }
}

fn prefetch_row(row: *const f32, count: usize) {
    // A row that does not begin with a cache line ends in one more.
    prefetch_values(row, count + 15);
}

impl<'a> Head<'a> {
    /// The queries, keys or values of some tokens, `[tokens, size]`.
    pub(super) fn rows(&self, part: Part, tokens: Range<usize>) -> View<'a> {
        let first = self.first_channel(Output::Packed(part), tokens.start);
        let values = self.packed.get(first..).unwrap_or_default();
        View::new(
            values,
            tokens.len(),
            self.shape.size,
            3 * self.shape.width(),
        )
    }

    /// The gradients of the output of some tokens, `[tokens, size]`.
    fn gradients<'b>(&self, gradient: &'b [f32], tokens: Range<usize>) -> View<'b> {
        let first = self.first_channel(Output::Heads, tokens.start);
        let values = gradient.get(first..).unwrap_or_default();
        View::new(values, tokens.len(), self.shape.size, self.shape.width())
    }

    /// Some of the queries that attend, `[queries, size]`; copied to `buffer` unless all attend.
    pub(super) fn query_rows<'b>(&self, queries: Range<usize>, buffer: &'b mut [f32]) -> View<'b>
    where
        'a: 'b,
    {
        let of = |tokens| self.rows(Part::Queries, tokens);
        self.rows_of_queries(queries, buffer, of)
    }

    /// The gradients of the output of some of the queries that attend, `[queries, size]`; copied to
    /// `buffer` unless all attend.
    pub(super) fn gradient_rows<'b>(
        &self,
        gradient: &'b [f32],
        queries: Range<usize>,
        buffer: &'b mut [f32],
    ) -> View<'b> {
        self.rows_of_queries(queries, buffer, |tokens| self.gradients(gradient, tokens))
    }

    /// The rows of some queries; `of` gives those of neighbouring tokens.
    fn rows_of_queries<'b>(
        &self,
        queries: Range<usize>,
        buffer: &'b mut [f32],
        of: impl Fn(Range<usize>) -> View<'b>,
    ) -> View<'b> {
        if let Queries::All(_) = self.queries {
            return of(queries);
        }
        let (size, count) = (self.shape.size, queries.len());
        let buffer = &mut buffer[..count * size];
        for (row, query) in buffer.chunks_exact_mut(size).zip(queries) {
            let token = self.queries.token(query);
            copy_short(row, &of(token..token + 1).row(0)[..size]);
        }
        View::new(buffer, count, size, size)
    }

    /// A buffer for the rows of the queries of some blocks.
    pub(super) fn query_buffer(shape: Shape, blocks: usize) -> Scratch {
        scratch(blocks * QUERIES * shape.size)
    }

    /// Prefetches the queries of some tokens.
    pub(super) fn prefetch_queries(&self, queries: Range<usize>) {
        for query in queries {
            let token = self.queries.token(query);
            prefetch_rows(self.rows(Part::Queries, token..token + 1));
        }
    }

    /// Prefetches the gradients of the output of some tokens.
    pub(super) fn prefetch_gradients(&self, gradient: &[f32], queries: Range<usize>) {
        for query in queries {
            let token = self.queries.token(query);
            prefetch_rows(self.gradients(gradient, token..token + 1));
        }
    }

    /// The factors of the queries of a block.
    pub(super) fn factors(&self, block: &QueryBlock<'_>) -> Option<PerQuery> {
        let values = self.factors?;
        let mut factors = [0.0; QUERIES];
        for (factor, token) in factors.iter_mut().zip(block.tokens()) {
            *factor = values[self.factor_place(token)];
        }
        Some(factors)
    }

    /// The position of the factor of this head and a token.
    pub(super) fn factor_place(&self, token: usize) -> usize {
        let Shape { time, heads, .. } = self.shape;
        let (sequence, head) = (self.number / heads, self.number % heads);
        (sequence * time + token) * heads + head
    }

    /// Writes 0 to the channels of the tokens whose queries do not attend.
    pub(super) fn clear_others(&self, output: Shared<'_, Uninit>, layout: Output) {
        if let Queries::All(_) = self.queries {
            return;
        }
        let mut query = 0;
        for token in 0..self.shape.time {
            if query < self.queries.len() && self.queries.token(query) == token {
                query += 1;
                continue;
            }
            // SAFETY: this task is the only one of the head, and writes one row after the other.
            unsafe { self.place(output, layout, token) }.fill(Uninit::new(0.0));
        }
    }

    /// All keys or values, `[time, size]`: copied to `buffer` one after the other, unless they are
    /// packed into operands anyway.
    pub(super) fn gathered<'b>(&self, part: Part, buffer: &'b mut [f32]) -> View<'b>
    where
        'a: 'b,
    {
        let Shape { time, size, .. } = self.shape;
        let rows = self.rows(part, 0..time);
        prefetch_rows(rows);
        if self.engine.copies() {
            return rows;
        }
        for (row, gathered) in buffer.chunks_exact_mut(size).enumerate().take(time) {
            copy_short(gathered, &rows.row(row)[..size]);
        }
        View::new(buffer, time, size, size)
    }

    /// A buffer for [`gathered`](Self::gathered).
    pub(super) fn gather_buffer(shape: Shape, engine: NarrowEngine) -> Scratch {
        scratch(if engine.copies() {
            0
        } else {
            shape.time * shape.size
        })
    }

    /// Replaces the scores of a query block, up to the key of its last query, by exponentials. Gives
    /// the reciprocals of their sums.
    pub(super) fn exponentials(&self, scores: &mut [f32], block: &QueryBlock<'_>) -> PerQuery {
        mask_later_keys(scores, block.tokens());
        exponentials(scores, self.shape.scale()).map(|sum| 1.0 / sum)
    }

    /// The factors by which dropout multiplies the probabilities of a query block, up to the key of its
    /// last query.
    pub(super) fn dropout_factors(&self, block: &QueryBlock<'_>) -> Option<Scratch> {
        let dropout = self.dropout?;
        let time = self.shape.time;
        let mut factors = scratch(block.visible() * QUERIES);
        factors.fill(0.0);
        let mut row = scratch(block.visible());
        for (column, token) in block.tokens().enumerate() {
            let row = &mut row[..=token];
            row.fill(1.0);
            dropout.apply(row, ((self.number * time + token) * time) as u64);
            let (lines, _) = factors.as_chunks_mut::<QUERIES>();
            for (line, factor) in lines.iter_mut().zip(row) {
                line[column] = *factor;
            }
        }
        Some(factors)
    }

    /// Prefetches the channels of some tokens that [`place`](Self::place) will give.
    pub(super) fn prefetch_places(
        &self,
        output: Shared<'_, Uninit>,
        layout: Output,
        tokens: impl Iterator<Item = usize>,
    ) {
        for token in tokens {
            let first = self.first_channel(layout, token);
            prefetch_row(output.address(first).cast(), self.shape.size);
        }
    }

    /// The channels of this head and a token in an output of all heads.
    ///
    /// # Safety
    /// Only the task of this head asks for its places, and it holds no other reference to this one.
    pub(super) unsafe fn place<'b>(
        &self,
        output: Shared<'b, Uninit>,
        layout: Output,
        token: usize,
    ) -> &'b mut [Uninit] {
        // SAFETY: these channels of this token belong to this head alone; the caller guarantees the
        // rest.
        unsafe { output.slice(self.first_channel(layout, token), self.shape.size) }
    }

    /// The position of the first channel of this head and a token.
    fn first_channel(&self, layout: Output, token: usize) -> usize {
        let Shape {
            time, size, heads, ..
        } = self.shape;
        let (sequence, head) = (self.number / heads, self.number % heads);
        let row = sequence * time + token;
        let row = match layout {
            Output::Heads => row,
            Output::Packed(part) => 3 * row + part as usize,
        };
        row * self.shape.width() + head * size
    }
}
