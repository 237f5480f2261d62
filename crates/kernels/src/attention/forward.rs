//! The forward pass of one head.

use super::Shape;
use super::block::{Block, MOST, blocks};
use super::head::{Head, request};
use super::panel::{PerQuery, QUERIES, read_columns};
use crate::product::PanelEngine;
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::Uninit;
use crate::update::multiply_chunk;

/// Buffers of a head. Operands are in the units of the engine.
pub(super) struct Room {
    /// Keys and values one after the other, where they are gathered.
    keys: Scratch,
    values: Scratch,
    /// The same as left operands.
    left_keys: Scratch,
    turned_values: Scratch,
    /// Queries as the columns of panels.
    queries: Scratch,
    /// Scores, then their exponentials, `[panel, keys, QUERIES]`.
    weights: Scratch,
    /// The same as operands.
    panels: Scratch,
    /// Sums of values, `[panel, size, QUERIES]`.
    columns: Scratch,
}

impl Room {
    pub(super) fn new(shape: Shape, engine: PanelEngine) -> Self {
        let Shape { time, size, .. } = shape;
        let panels = engine.together();
        Self {
            keys: Head::gathered_room(shape, engine),
            values: Head::gathered_room(shape, engine),
            left_keys: scratch(engine.left_room(time, size)),
            turned_values: scratch(engine.left_room(size, time)),
            queries: scratch(panels * engine.room(size)),
            weights: scratch(panels * PanelEngine::output(time)),
            panels: scratch(engine.operands_room(time)),
            columns: scratch(panels * PanelEngine::output(size)),
        }
    }
}

impl Head<'_> {
    pub(super) fn forward(&self, output: Shared<'_, Uninit>, room: &mut Room) {
        let (time, engine) = (self.shape.time, self.engine);
        let keys = self.gathered(1, &mut room.keys);
        let values = self.gathered(2, &mut room.values);
        let keys = engine.left_in(keys, &mut room.left_keys);
        let values = engine.left_in(values.transposed(), &mut room.turned_values);
        let size = self.shape.size;
        let (stride, of_columns) = (PanelEngine::output(time), PanelEngine::output(size));
        for block in blocks(time, engine.together()) {
            request(self.part(0, block.next(time, engine.together())));
            self.request_places(output, block.queries.clone(), 1, 0);
            let seen = block.seen();
            let queries = self.part(0, block.queries.clone()).transposed();
            let queries = engine.panels(queries, &mut room.queries);
            let weights = (&mut room.weights[..], stride);
            engine.multiply(weights, &keys, seen, (queries, size), false);
            let reciprocals = self.probabilities(&mut room.weights, stride, &block);
            let lines = block.lines(&room.weights, stride);
            let panels = (engine.operands(&lines, seen, &mut room.panels), seen);
            let columns = (&mut room.columns[..], of_columns);
            engine.multiply(columns, &values, size, panels, false);
            let columns = room.columns.chunks_mut(of_columns);
            for ((queries, columns), scales) in block.panels().zip(columns).zip(reciprocals) {
                // SAFETY: this task is the only one of the head, and writes one row after the other.
                let outputs = queries.map(|query| unsafe { self.place(output, query, 1, 0) });
                read_columns(outputs, columns, &scales);
            }
        }
    }

    /// Turns the scores of a block into the exponentials that weigh values, after dropout; gives the
    /// reciprocals of their sums for each panel.
    fn probabilities(&self, weights: &mut [f32], stride: usize, block: &Block) -> [PerQuery; MOST] {
        let mut reciprocals = [[0.0; QUERIES]; MOST];
        let panels = block.panels().zip(weights.chunks_mut(stride));
        for ((queries, weights), reciprocals) in panels.zip(&mut reciprocals) {
            let lines = &mut weights[..queries.end * QUERIES];
            *reciprocals = self.exponentials(lines, queries.clone());
            if let Some(factors) = self.dropped(queries) {
                multiply_chunk(lines, &factors);
            }
        }
        reciprocals
    }
}
