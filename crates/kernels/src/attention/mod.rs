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

    /// The exponentials of the scores of a block of queries, `[keys up to them, QUERIES]`, and the
    /// reciprocals of their sums.
    fn exponentials(&self, block: Block, keys: &LeftOperand<'_>, room: &mut Room) -> PerQuery {
        let queries = self.part(0, block.clone());
        self.scores(
            &mut room.weights,
            (keys, block.end),
            queries,
            &mut room.operands,
        );
        let weights = &mut room.weights[..block.end * QUERIES];
        for (column, query) in block.enumerate() {
            hide(weights, column, query + 1);
        }
        exponentials(weights, self.shape.scale()).map(|sum| 1.0 / sum)
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

    /// Products of the first `seen` rows of an operand with up to 16 other rows, `[seen, QUERIES]`.
    fn scores(
        &self,
        scores: &mut [f32],
        (left, seen): (&LeftOperand<'_>, usize),
        right: View<'_>,
        operands: &mut Operands,
    ) {
        let panel = self.engine.panel(right.transposed(), &mut operands.panel);
        let panel = (panel, self.shape.size);
        self.engine.multiply(scores, left, seen, panel, false);
    }

    /// Sums of the first `seen` rows of what `turned` holds as columns, weighted by the columns of a
    /// panel `[seen, QUERIES]`: `[size, QUERIES]`.
    fn weighted(
        &self,
        columns: &mut [f32],
        turned: &LeftOperand<'_>,
        (weights, seen): (&[f32], usize),
        operands: &mut Operands,
    ) {
        let weights = View::new(weights, seen, QUERIES, QUERIES);
        let panel = (self.engine.panel(weights, &mut operands.panel), seen);
        let size = self.shape.size;
        self.engine.multiply(columns, turned, size, panel, false);
    }

    fn forward(&self, output: Shared<'_>) {
        let Shape { time, size, .. } = self.shape;
        let [keys, values] = [1, 2].map(|part| gathered(self.part(part, 0..time)));
        let keys = self.engine.left(View::new(&keys, time, size, size));
        let values = View::new(&values, time, size, size).transposed();
        let values = self.engine.left(values);
        let mut room = Room::new(self.shape, self.engine);
        for block in blocks(time) {
            request(self.part(0, next(&block, time)));
            self.request_places(output, block.clone(), 1, 0);
            let reciprocals = self.exponentials(block.clone(), &keys, &mut room);
            if let Some(factors) = self.dropped(block.clone()) {
                multiply_chunk(&mut room.weights, &factors);
            }
            let weights = (&room.weights[..], block.end);
            self.weighted(&mut room.columns, &values, weights, &mut room.operands);
            let outputs = block.map(|query| self.place(output, query, 1, 0));
            read_columns(outputs, &mut room.columns, &reciprocals);
        }
    }

    fn backward(&self, gradient: &[f32], dpacked: Shared<'_>) {
        let Shape { time, size, .. } = self.shape;
        let [keys, values] = [1, 2].map(|part| gathered(self.part(part, 0..time)));
        let [keys, values] = [&keys, &values].map(|part| View::new(part, time, size, size));
        let turned_keys = self.engine.left(keys.transposed());
        let [keys, values] = [keys, values].map(|rows| self.engine.left(rows));
        let mut room = Room::new(self.shape, self.engine);
        let mut dscores = scratch(PanelEngine::output(time));
        let [mut dkeys, mut dvalues] = [(); 2].map(|()| Panels::zero(time, size));
        for block in blocks(time) {
            request(self.part(0, next(&block, time)));
            request(self.gradient(gradient, next(&block, time)));
            self.request_places(dpacked, block.clone(), 3, 0);
            let reciprocals = self.exponentials(block.clone(), &keys, &mut room);
            let [queries, gradient] = [
                self.part(0, block.clone()),
                self.gradient(gradient, block.clone()),
            ];
            let operands = &mut room.operands;
            self.scores(&mut dscores, (&values, block.end), gradient, operands);
            let factors = self.dropped(block.clone());
            let [weights, dscores] =
                [&mut room.weights, &mut dscores].map(|lines| &mut lines[..block.end * QUERIES]);
            if let Some(factors) = &factors {
                multiply_chunk(dscores, factors);
            }
            softmax_backward(dscores, weights, &reciprocals, self.shape.scale());
            if let Some(factors) = &factors {
                multiply_chunk(weights, factors);
            }
            let sums = (&dscores[..], block.end);
            self.weighted(&mut room.columns, &turned_keys, sums, operands);
            let outputs = block.clone().map(|query| self.place(dpacked, query, 3, 0));
            read_columns(outputs, &mut room.columns, &[1.0; QUERIES]);
            let left = |values| View::new(values, block.end, block.len(), QUERIES);
            dkeys.add_products(left(dscores), queries, self.engine, operands);
            dvalues.add_products(left(weights), gradient, self.engine, operands);
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

/// Buffers of a head.
struct Room {
    /// What goes into a product or comes out of it, `[size, QUERIES]`.
    columns: Scratch,
    /// Scores, then their exponentials, `[keys, QUERIES]`.
    weights: Scratch,
    operands: Operands,
}

/// Buffers for operands in the units of the engine.
struct Operands {
    panel: Scratch,
    /// `[keys, QUERIES]` as a left operand.
    rows: Scratch,
}

impl Room {
    fn new(shape: Shape, engine: PanelEngine) -> Self {
        let panel = engine.room(shape.time.max(shape.size).max(QUERIES));
        Self {
            columns: scratch(PanelEngine::output(shape.size)),
            weights: scratch(PanelEngine::output(shape.time)),
            operands: Operands {
                panel: scratch(panel),
                rows: scratch(engine.left_room(shape.time, QUERIES)),
            },
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

    /// Adds `left · right` to the first rows.
    fn add_products(
        &mut self,
        left: View<'_>,
        right: View<'_>,
        engine: PanelEngine,
        Operands { panel, rows: room }: &mut Operands,
    ) {
        let (rows, terms) = (left.rows(), left.columns());
        let left = engine.left_in(left, room);
        for (index, sums) in self.values.chunks_exact_mut(self.stride).enumerate() {
            let first = index * PANEL;
            let right = right.part(first, PANEL.min(right.columns() - first));
            let panel = engine.panel(right, panel);
            engine.multiply(sums, &left, rows, (panel, terms), true);
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
