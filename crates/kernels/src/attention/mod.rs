//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One head of one sequence is a task. It goes through blocks of queries, whose scores against all
//! keys up to them stay in the cache and are never stored; the backward pass makes them again.

use std::ops::Range;

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::product::{LeftOperand, PANEL, PanelEngine, Precision};
use crate::scratch::{Scratch, Shared, scratch, uninitialized};
use crate::update::multiply_chunk;

pub(crate) mod panel;

use panel::{PerQuery, QUERIES, exponentials, hide, read_columns, softmax_backward};

/// The shape of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: usize,
    /// Tokens of a sequence.
    pub time: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub size: usize,
}

impl Shape {
    fn width(&self) -> usize {
        self.heads * self.size
    }

    fn check(&self, packed: &[f32], gradient: Option<&[f32]>) {
        assert!(
            self.time > 0 && self.heads > 0 && self.size > 0,
            "an empty attention"
        );
        let elements = self.batch * self.time * self.width();
        assert_eq!(
            packed.len(),
            3 * elements,
            "packed queries, keys and values"
        );
        assert!(
            gradient.is_none_or(|gradient| gradient.len() == elements),
            "one gradient per channel"
        );
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// One head of one sequence.
struct Head<'a> {
    shape: Shape,
    /// Of all heads of all sequences.
    number: usize,
    packed: &'a [f32],
    dropout: Option<Dropout>,
    engine: PanelEngine,
}

/// Queries that go through the keys together.
type Block = Range<usize>;

fn blocks(time: usize) -> impl Iterator<Item = Block> {
    (0..time)
        .step_by(QUERIES)
        .map(move |first| first..time.min(first + QUERIES))
}

/// The block after another.
fn next(block: &Block, time: usize) -> Block {
    block.end..time.min(block.end + QUERIES)
}

/// Asks for rows all at once: they lie far apart, so each is a wait of its own where it is read or
/// written without.
fn request(rows: View<'_>) {
    for row in 0..rows.rows() {
        request_row(&rows.row(row)[..rows.columns()]);
    }
}

fn request_row(row: &[f32]) {
    // One more line where they do not begin at one.
    prefetch_values(row.as_ptr(), row.len() + 15);
}

/// Rows one after the other.
fn gathered(rows: View<'_>) -> Scratch {
    request(rows);
    let size = rows.columns();
    let mut gathered = scratch(rows.rows() * size);
    for (row, gathered) in gathered.chunks_exact_mut(size).enumerate() {
        gathered.copy_from_slice(&rows.row(row)[..size]);
    }
    gathered
}

impl<'a> Head<'a> {
    /// The channels of queries (0), keys (1) or values (2) of some tokens, `[tokens, size]`.
    fn part(&self, part: usize, tokens: Block) -> View<'a> {
        let (head, width) = (self.number % self.shape.heads, self.shape.width());
        let first = self.number / self.shape.heads * self.shape.time + tokens.start;
        let start = (3 * first + part) * width + head * self.shape.size;
        let values = self.packed.get(start..).unwrap_or_default();
        View::new(values, tokens.len(), self.shape.size, 3 * width)
    }

    /// This head's part of some tokens of a gradient, `[tokens, size]`.
    fn gradient<'b>(&self, gradient: &'b [f32], tokens: Block) -> View<'b> {
        let (head, width) = (self.number % self.shape.heads, self.shape.width());
        let first = self.number / self.shape.heads * self.shape.time + tokens.start;
        let start = first * width + head * self.shape.size;
        let values = gradient.get(start..).unwrap_or_default();
        View::new(values, tokens.len(), self.shape.size, width)
    }

    /// Turns the scores of a block of queries, `[keys up to them, QUERIES]`, into exponentials; gives the
    /// reciprocals of their sums.
    fn exponentials(&self, scores: &mut [f32], block: Block) -> PerQuery {
        for (column, query) in block.enumerate() {
            hide(scores, column, query + 1);
        }
        exponentials(scores, self.shape.scale()).map(|sum| 1.0 / sum)
    }

    /// What dropout multiplies the probabilities of a block by, `[keys up to them, QUERIES]`.
    fn dropped(&self, block: Block) -> Option<Scratch> {
        let dropout = self.dropout?;
        let time = self.shape.time;
        let mut factors = scratch(block.end * QUERIES);
        factors.fill(0.0);
        let mut row = scratch(block.end);
        for (column, query) in block.enumerate() {
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

    fn forward(&self, output: Shared<'_>) {
        let Shape { time, size, .. } = self.shape;
        let engine = self.engine;
        let [keys, values] = [1, 2].map(|part| gathered(self.part(part, 0..time)));
        let keys = engine.left(View::new(&keys, time, size, size));
        let values = View::new(&values, time, size, size).transposed();
        let values = engine.left(values);
        let mut room = Room::new(self.shape, engine);
        for block in blocks(time) {
            request(self.part(0, next(&block, time)));
            self.request_places(output, block.clone(), 1, 0);
            let (seen, weights) = (block.end, &mut room.weights);
            let queries = self.part(0, block.clone()).transposed();
            let queries = engine.panel(queries, &mut room.queries);
            engine.multiply(weights, &keys, seen, (queries, size), false);
            let lines = &mut weights[..seen * QUERIES];
            let reciprocals = self.exponentials(lines, block.clone());
            if let Some(factors) = self.dropped(block.clone()) {
                multiply_chunk(lines, &factors);
            }
            let lines = View::new(lines, seen, QUERIES, QUERIES);
            let panel = (engine.panel(lines, &mut room.panel), seen);
            engine.multiply(&mut room.columns, &values, size, panel, false);
            let outputs = block.map(|query| self.place(output, query, 1, 0));
            read_columns(outputs, &mut room.columns, &reciprocals);
        }
    }

    /// Operands are made before the first of several products, as far as they can be: a tile unit waits
    /// long for what was written just before.
    fn backward(&self, gradient: &[f32], dpacked: Shared<'_>) {
        let Shape { time, size, .. } = self.shape;
        let engine = self.engine;
        let [keys, values] = [1, 2].map(|part| gathered(self.part(part, 0..time)));
        let [keys, values] = [&keys, &values].map(|part| View::new(part, time, size, size));
        let turned_keys = engine.left(keys.transposed());
        let [keys, values] = [keys, values].map(|rows| engine.left(rows));
        let mut room = Room::new(self.shape, engine);
        let mut more = BackwardRoom::new(self.shape, engine);
        let [mut dkeys, mut dvalues] = [(); 2].map(|()| Panels::zero(time, size));
        for block in blocks(time) {
            request(self.part(0, next(&block, time)));
            request(self.gradient(gradient, next(&block, time)));
            self.request_places(dpacked, block.clone(), 3, 0);
            let seen = block.end;
            let [queries, gradient] = [
                self.part(0, block.clone()),
                self.gradient(gradient, block.clone()),
            ];
            let query_panel = engine.panel(queries.transposed(), &mut room.queries);
            let gradient_panel = engine.panel(gradient.transposed(), &mut more.gradients);
            engine.fill_panels(&mut more.query_rows, queries);
            engine.fill_panels(&mut more.gradient_rows, gradient);
            engine.multiply(&mut room.weights, &keys, seen, (query_panel, size), false);
            engine.multiply(
                &mut more.dscores,
                &values,
                seen,
                (gradient_panel, size),
                false,
            );
            let [weights, dscores] =
                [&mut room.weights, &mut more.dscores].map(|lines| &mut lines[..seen * QUERIES]);
            let reciprocals = self.exponentials(weights, block.clone());
            let factors = self.dropped(block.clone());
            if let Some(factors) = &factors {
                multiply_chunk(dscores, factors);
            }
            softmax_backward(dscores, weights, &reciprocals, self.shape.scale());
            if let Some(factors) = &factors {
                multiply_chunk(weights, factors);
            }
            let lines = |values| View::new(values, seen, QUERIES, QUERIES);
            let [weights, dscores] = [weights, dscores].map(|values| lines(values));
            let panel = (engine.panel(dscores, &mut room.panel), seen);
            let [dscores, weights] = [dscores, weights].map(|lines| lines.part(0, block.len()));
            let dscores = engine.left_in(dscores, &mut more.left_dscores);
            let weights = engine.left_in(weights, &mut more.left_weights);
            engine.multiply(&mut room.columns, &turned_keys, size, panel, false);
            let of_block = (seen, block.len(), engine);
            dkeys.add_products(&dscores, &more.query_rows, of_block);
            dvalues.add_products(&weights, &more.gradient_rows, of_block);
            let outputs = block.map(|query| self.place(dpacked, query, 3, 0));
            read_columns(outputs, &mut room.columns, &[1.0; QUERIES]);
        }
        for (part, sums) in [(1, &dkeys), (2, &dvalues)] {
            self.request_places(dpacked, 0..time, 3, part);
            for token in 0..time {
                sums.read_row(token, self.place(dpacked, token, 3, part));
            }
        }
    }

    fn request_places(&self, output: Shared<'_>, tokens: Block, parts: usize, part: usize) {
        for token in tokens {
            request_row(self.place(output, token, parts, part));
        }
    }

    /// The channels of this head and a token in part `part` of `parts`.
    fn place<'b>(
        &self,
        output: Shared<'b>,
        token: usize,
        parts: usize,
        part: usize,
    ) -> &'b mut [f32] {
        let Shape {
            time, size, heads, ..
        } = self.shape;
        let (sequence, head) = (self.number / heads, self.number % heads);
        let row = (sequence * time + token) * parts + part;
        // SAFETY: these channels of this token belong to this head alone, whose one task has them only
        // while it writes them.
        unsafe { output.part(row * self.shape.width() + head * size, size) }
    }
}

/// Buffers of a head. Operands are in the units of the engine.
struct Room {
    /// Queries as the columns of a panel.
    queries: Scratch,
    /// Scores, then their exponentials, `[keys, QUERIES]`.
    weights: Scratch,
    /// The same or their gradients as an operand.
    panel: Scratch,
    /// Sums of values or keys, `[size, QUERIES]`.
    columns: Scratch,
}

impl Room {
    fn new(shape: Shape, engine: PanelEngine) -> Self {
        Self {
            queries: scratch(engine.room(shape.size)),
            weights: scratch(PanelEngine::output(shape.time)),
            panel: scratch(engine.room(shape.time)),
            columns: scratch(PanelEngine::output(shape.size)),
        }
    }
}

/// What the backward pass needs beside it.
struct BackwardRoom {
    /// Gradients of a head's output as the columns of a panel.
    gradients: Scratch,
    /// Gradients of probabilities, then of scores, `[keys, QUERIES]`.
    dscores: Scratch,
    /// `[keys, QUERIES]` as left operands.
    left_dscores: Scratch,
    left_weights: Scratch,
    /// `[QUERIES, size]` in panels.
    query_rows: Scratch,
    gradient_rows: Scratch,
}

impl BackwardRoom {
    fn new(shape: Shape, engine: PanelEngine) -> Self {
        let left = || scratch(engine.left_room(shape.time, QUERIES));
        let rows = || scratch(engine.room(QUERIES) * shape.size.div_ceil(PANEL));
        Self {
            gradients: scratch(engine.room(shape.size)),
            dscores: scratch(PanelEngine::output(shape.time)),
            left_dscores: left(),
            left_weights: left(),
            query_rows: rows(),
            gradient_rows: rows(),
        }
    }
}

/// A matrix of `size` columns, as panels `[rows, PANEL]` of its columns, the last filled up with 0.
struct Panels {
    values: Scratch,
    /// Values of a panel: there is room for whole tiles.
    stride: usize,
}

impl Panels {
    fn zero(rows: usize, size: usize) -> Self {
        let stride = PanelEngine::output(rows);
        let mut values = scratch(stride * size.div_ceil(PANEL));
        values.fill(0.0);
        Self { values, stride }
    }

    /// Adds the products of a left operand of so many rows and terms and panels that lie one after the
    /// other to the first rows.
    fn add_products(
        &mut self,
        left: &LeftOperand<'_>,
        right: &[f32],
        (rows, terms, engine): (usize, usize, PanelEngine),
    ) {
        let panels = right.chunks_exact(engine.room(terms));
        for (sums, panel) in self.values.chunks_exact_mut(self.stride).zip(panels) {
            engine.multiply(sums, left, rows, (panel, terms), true);
        }
    }

    fn read_row(&self, row: usize, output: &mut [f32]) {
        let panels = self.values.chunks_exact(self.stride);
        for (output, panel) in output.chunks_mut(PANEL).zip(panels) {
            output.copy_from_slice(&panel[row * PANEL..][..output.len()]);
        }
    }
}

/// Attention of every head of every sequence: `[batch, time, heads · size]`.
///
/// - `packed`: `[batch, time, 3 · heads · size]`
/// - `dropout` is on the probabilities; the one at `[sequence, head, row, column]` is decided by its
///   position among all `[batch, heads, time, time]`.
/// - `precision` is that of the operands of all products, probabilities and their gradients among
///   them; exponentials and sums are f32.
///
/// # Panics
/// If the length does not fit the shape.
pub fn forward(
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
) -> Vec<f32> {
    shape.check(packed, None);
    // SAFETY: every head of every token is written.
    let mut output = unsafe { uninitialized(packed.len() / 3) };
    let shared = Shared::new(&mut output);
    for_each_head(packed, shape, dropout, precision, |head| {
        head.forward(shared)
    });
    output
}

/// The gradient of [`forward`] with respect to `packed`, in its shape.
///
/// - `gradient`: `[batch, time, heads · size]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    gradient: &[f32],
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
) -> Vec<f32> {
    shape.check(packed, Some(gradient));
    // SAFETY: every head of every token of all three parts is written.
    let mut dpacked = unsafe { uninitialized(packed.len()) };
    let shared = Shared::new(&mut dpacked);
    for_each_head(packed, shape, dropout, precision, |head| {
        head.backward(gradient, shared);
    });
    dpacked
}

/// Goes through the heads of all sequences on all threads.
fn for_each_head(
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
    precision: Precision,
    work: impl Fn(Head<'_>) + Sync,
) {
    let engine = PanelEngine::of(precision);
    (0..shape.batch * shape.heads)
        .into_par_iter()
        .for_each(|number| {
            work(Head {
                shape,
                number,
                packed,
                dropout,
                engine,
            });
        });
}
