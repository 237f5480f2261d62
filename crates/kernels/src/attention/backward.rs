//! The backward pass of one head.

use super::Shape;
use super::block::{Block, blocks};
use super::head::{Head, request};
use super::panel::{QUERIES, read_columns, softmax_backward};
use crate::product::{LeftOperand, PANEL, PanelEngine, copy_short};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::{Uninit, as_init};
use crate::update::multiply_chunk;

/// Buffers of a head. Operands are in the units of the engine.
pub(super) struct Room {
    /// Keys and values one after the other, where they are gathered.
    keys: Scratch,
    values: Scratch,
    /// The same as left operands.
    left_keys: Scratch,
    left_values: Scratch,
    turned_keys: Scratch,
    /// Queries and gradients of the output as the columns of panels, and `[queries, size]` in panels.
    queries: Scratch,
    gradients: Scratch,
    query_rows: Scratch,
    gradient_rows: Scratch,
    /// Scores, then probabilities, and the gradients of both, `[panel, keys, QUERIES]`.
    weights: Scratch,
    dscores: Scratch,
    /// The same as left operands, and gradients of scores as right ones.
    left_weights: Scratch,
    left_dscores: Scratch,
    panels: Scratch,
    /// Gradients of queries, `[panel, size, QUERIES]`, of keys and of values.
    columns: Scratch,
    dkeys: Panels,
    dvalues: Panels,
}

impl Room {
    pub(super) fn new(shape: Shape, engine: PanelEngine) -> Self {
        let Shape { time, size, .. } = shape;
        let panels = engine.together();
        let queries = panels * QUERIES;
        let columns = || scratch(panels * engine.room(size));
        let rows = || scratch(engine.room(queries) * size.div_ceil(PANEL));
        let lines = || scratch(panels * PanelEngine::output(time));
        Self {
            keys: Head::gathered_room(shape, engine),
            values: Head::gathered_room(shape, engine),
            left_keys: scratch(engine.left_room(time, size)),
            left_values: scratch(engine.left_room(time, size)),
            turned_keys: scratch(engine.left_room(size, time)),
            queries: columns(),
            gradients: columns(),
            query_rows: rows(),
            gradient_rows: rows(),
            weights: lines(),
            dscores: lines(),
            left_weights: scratch(engine.left_room(time, queries)),
            left_dscores: scratch(engine.left_room(time, queries)),
            panels: scratch(engine.operands_room(time)),
            columns: scratch(panels * PanelEngine::output(size)),
            dkeys: Panels::new(time, size),
            dvalues: Panels::new(time, size),
        }
    }
}

impl Head<'_> {
    /// Operands are made before the first of several products, as far as they can be: a tile unit waits
    /// long for what was written just before.
    pub(super) fn backward(&self, gradient: &[f32], dpacked: Shared<'_, Uninit>, room: &mut Room) {
        let Shape { time, size, .. } = self.shape;
        let engine = self.engine;
        let keys = self.gathered(1, &mut room.keys);
        let values = self.gathered(2, &mut room.values);
        let turned_keys = engine.left_in(keys.transposed(), &mut room.turned_keys);
        let keys = engine.left_in(keys, &mut room.left_keys);
        let values = engine.left_in(values, &mut room.left_values);
        let (stride, of_columns) = (PanelEngine::output(time), PanelEngine::output(size));
        room.dkeys.clear();
        room.dvalues.clear();
        for block in blocks(time, engine.together()) {
            let next = block.next(time, engine.together());
            request(self.part(0, next.clone()));
            request(self.gradient(gradient, next));
            self.request_places(dpacked, block.queries.clone(), 3, 0);
            let seen = block.seen();
            let queries = self.part(0, block.queries.clone());
            let gradients = self.gradient(gradient, block.queries.clone());
            let query_panels = engine.panels(queries.transposed(), &mut room.queries);
            let gradient_panels = engine.panels(gradients.transposed(), &mut room.gradients);
            let query_rows = engine.panels(queries, &mut room.query_rows);
            let gradient_rows = engine.panels(gradients, &mut room.gradient_rows);
            let weights = (&mut room.weights[..], stride);
            engine.multiply(weights, &keys, seen, (query_panels, size), false);
            let dscores = (&mut room.dscores[..], stride);
            engine.multiply(dscores, &values, seen, (gradient_panels, size), false);
            self.dscores(&mut room.dscores, &mut room.weights, stride, &block);
            let [weights, dscores] =
                [&room.weights, &room.dscores].map(|values| block.lines(values, stride));
            let panels = (engine.operands(&dscores, seen, &mut room.panels), seen);
            let terms = block.len();
            let dscores = engine.left_of_panels(&dscores, terms, &mut room.left_dscores);
            let weights = engine.left_of_panels(&weights, terms, &mut room.left_weights);
            let columns = (&mut room.columns[..], of_columns);
            engine.multiply(columns, &turned_keys, size, panels, false);
            room.dkeys.add(&dscores, seen, (query_rows, terms), engine);
            let gradient_rows = (gradient_rows, terms);
            room.dvalues.add(&weights, seen, gradient_rows, engine);
            let columns = room.columns.chunks_mut(of_columns);
            for (queries, columns) in block.panels().zip(columns) {
                // SAFETY: this task is the only one of the head, and writes one row after the other.
                let outputs = queries.map(|query| unsafe { self.place(dpacked, query, 3, 0) });
                read_columns(outputs, columns, &[1.0; QUERIES]);
            }
        }
        self.put_sums(dpacked, 1, &room.dkeys);
        self.put_sums(dpacked, 2, &room.dvalues);
    }

    /// Writes the gradients of all keys (1) or values (2) to their places.
    fn put_sums(&self, dpacked: Shared<'_, Uninit>, part: usize, sums: &Panels) {
        let time = self.shape.time;
        self.request_places(dpacked, 0..time, 3, part);
        for token in 0..time {
            // SAFETY: as above.
            sums.read_row(token, unsafe { self.place(dpacked, token, 3, part) });
        }
    }

    /// Turns the scores of a block into probabilities, after dropout, and the gradients of those into the
    /// gradients of scores.
    fn dscores(&self, dscores: &mut [f32], weights: &mut [f32], stride: usize, block: &Block) {
        let dscores = dscores.chunks_mut(stride);
        let panels = block.panels().zip(weights.chunks_mut(stride));
        for ((queries, weights), dscores) in panels.zip(dscores) {
            let [weights, dscores] =
                [weights, dscores].map(|lines| &mut lines[..queries.end * QUERIES]);
            let reciprocals = self.exponentials(weights, queries.clone());
            let factors = self.dropped(queries);
            if let Some(factors) = &factors {
                multiply_chunk(dscores, factors);
            }
            softmax_backward(dscores, weights, &reciprocals, self.shape.scale());
            if let Some(factors) = &factors {
                multiply_chunk(weights, factors);
            }
        }
    }
}

/// A matrix of `size` columns, as panels `[rows, PANEL]` of its columns.
struct Panels {
    values: Scratch,
    /// Values of a panel: there is room for whole tiles.
    stride: usize,
}

impl Panels {
    fn new(rows: usize, size: usize) -> Self {
        let stride = PanelEngine::output(rows);
        Self {
            values: scratch(stride * size.div_ceil(PANEL)),
            stride,
        }
    }

    fn clear(&mut self) {
        self.values.fill(0.0);
    }

    /// Adds the products of the first rows of a left operand and panels, of so many terms, that lie one
    /// after the other.
    fn add(
        &mut self,
        left: &LeftOperand<'_>,
        rows: usize,
        panels: (&[f32], usize),
        engine: PanelEngine,
    ) {
        engine.multiply((&mut self.values, self.stride), left, rows, panels, true);
    }

    fn read_row(&self, row: usize, output: &mut [Uninit]) {
        let panels = self.values.chunks_exact(self.stride);
        for (output, panel) in output.chunks_mut(PANEL).zip(panels) {
            copy_short(output, as_init(&panel[row * PANEL..][..output.len()]));
        }
    }
}
