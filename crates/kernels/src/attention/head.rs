//! One head of one sequence: where its rows lie, and the softmax of its scores.

use std::ops::Range;

use super::Shape;
use super::panel::{PerQuery, QUERIES, exponentials, hide_later};
use crate::dropout::Dropout;
use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::product::{PanelEngine, copy_short};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::Uninit;

/// One head of one sequence.
pub(super) struct Head<'a> {
    pub(super) shape: Shape,
    /// Of all heads of all sequences.
    pub(super) number: usize,
    pub(super) packed: &'a [f32],
    pub(super) dropout: Option<Dropout>,
    pub(super) engine: PanelEngine,
}

/// Asks for rows all at once: they lie far apart, so each is a wait of its own where it is read or
/// written without.
pub(super) fn request(rows: View<'_>) {
    for row in 0..rows.rows() {
        request_row(rows.row(row).as_ptr(), rows.columns());
    }
}

fn request_row(row: *const f32, count: usize) {
    // One more line where they do not begin at one.
    prefetch_values(row, count + 15);
}

impl<'a> Head<'a> {
    /// The channels of queries (0), keys (1) or values (2) of some tokens, `[tokens, size]`.
    pub(super) fn part(&self, part: usize, tokens: Range<usize>) -> View<'a> {
        let (head, width) = (self.number % self.shape.heads, self.shape.width());
        let first = self.number / self.shape.heads * self.shape.time + tokens.start;
        let start = (3 * first + part) * width + head * self.shape.size;
        let values = self.packed.get(start..).unwrap_or_default();
        View::new(values, tokens.len(), self.shape.size, 3 * width)
    }

    /// This head's part of some tokens of a gradient, `[tokens, size]`.
    pub(super) fn gradient<'b>(&self, gradient: &'b [f32], tokens: Range<usize>) -> View<'b> {
        let (head, width) = (self.number % self.shape.heads, self.shape.width());
        let first = self.number / self.shape.heads * self.shape.time + tokens.start;
        let start = first * width + head * self.shape.size;
        let values = gradient.get(start..).unwrap_or_default();
        View::new(values, tokens.len(), self.shape.size, width)
    }

    /// All keys (1) or values (2), `[time, size]`, one after the other in `room`; where operands are
    /// copied anyway, as they lie.
    pub(super) fn gathered<'b>(&self, part: usize, room: &'b mut [f32]) -> View<'b>
    where
        'a: 'b,
    {
        let Shape { time, size, .. } = self.shape;
        let rows = self.part(part, 0..time);
        request(rows);
        if self.engine.copies() {
            return rows;
        }
        for (row, gathered) in room.chunks_exact_mut(size).enumerate().take(time) {
            copy_short(gathered, &rows.row(row)[..size]);
        }
        View::new(room, time, size, size)
    }

    /// Room for [`gathered`](Self::gathered).
    pub(super) fn gathered_room(shape: Shape, engine: PanelEngine) -> Scratch {
        scratch(if engine.copies() {
            0
        } else {
            shape.time * shape.size
        })
    }

    /// Turns the scores of a panel of queries, `[keys up to them, QUERIES]`, into exponentials; gives the
    /// reciprocals of their sums.
    pub(super) fn exponentials(&self, scores: &mut [f32], queries: Range<usize>) -> PerQuery {
        hide_later(scores, queries.start);
        exponentials(scores, self.shape.scale()).map(|sum| 1.0 / sum)
    }

    /// What dropout multiplies the probabilities of a panel by, `[keys up to them, QUERIES]`.
    pub(super) fn dropped(&self, queries: Range<usize>) -> Option<Scratch> {
        let dropout = self.dropout?;
        let time = self.shape.time;
        let mut factors = scratch(queries.end * QUERIES);
        factors.fill(0.0);
        let mut row = scratch(queries.end);
        for (column, query) in queries.enumerate() {
            let row = &mut row[..=query];
            row.fill(1.0);
            dropout.apply(row, ((self.number * time + query) * time) as u64);
            let (lines, _) = factors.as_chunks_mut::<QUERIES>();
            for (line, factor) in lines.iter_mut().zip(row) {
                line[column] = *factor;
            }
        }
        Some(factors)
    }

    pub(super) fn request_places(
        &self,
        output: Shared<'_, Uninit>,
        tokens: Range<usize>,
        parts: usize,
        part: usize,
    ) {
        for token in tokens {
            let first = self.first_channel(token, parts, part);
            request_row(output.address(first).cast(), self.shape.size);
        }
    }

    /// The channels of this head and a token in part `part` of `parts`.
    ///
    /// # Safety
    /// The task of this head is the only one that asks for its places, and has no other reference to
    /// this one.
    pub(super) unsafe fn place<'b>(
        &self,
        output: Shared<'b, Uninit>,
        token: usize,
        parts: usize,
        part: usize,
    ) -> &'b mut [Uninit] {
        // SAFETY: these channels of this token belong to this head alone; the rest is passed on to the
        // caller.
        unsafe { output.part(self.first_channel(token, parts, part), self.shape.size) }
    }

    /// The first channel of this head and a token in part `part` of `parts`, among all.
    fn first_channel(&self, token: usize, parts: usize, part: usize) -> usize {
        let Shape {
            time, size, heads, ..
        } = self.shape;
        let (sequence, head) = (self.number / heads, self.number % heads);
        let row = (sequence * time + token) * parts + part;
        row * self.shape.width() + head * size
    }
}
