//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One head of one sequence is a task. It goes through blocks of queries, whose scores against all
//! keys up to them stay in the cache and are never stored; the backward pass makes them again.

use std::ops::Range;

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::matrix::View;
use crate::prefetch::prefetch_values;
use crate::product::{PANEL, multiply_panel};
use crate::scratch::{Scratch, Shared, scratch, uninitialized};
use crate::update::multiply_chunk;

pub(crate) mod panel;

use panel::{PerQuery, QUERIES, exponentials, hide, put_columns, read_column, softmax_backward};

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
fn request<'a>(rows: impl Iterator<Item = &'a [f32]>) {
    for row in rows {
        // One more line where they do not begin at one.
        prefetch_values(row.as_ptr(), row.len() + 15);
    }
}

/// Rows `[time, size]` one after the other.
fn gathered<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone, shape: Shape) -> Scratch {
    request(rows.clone());
    let mut gathered = scratch(shape.time * shape.size);
    for (gathered, row) in gathered.chunks_exact_mut(shape.size).zip(rows) {
        gathered.copy_from_slice(row);
    }
    gathered
}

impl<'a> Head<'a> {
    /// The channels of queries (0), keys (1) or values (2) of some tokens.
    fn part(
        &self,
        part: usize,
        tokens: Block,
    ) -> impl ExactSizeIterator<Item = &'a [f32]> + Clone + use<'a> {
        let (size, heads) = (self.shape.size, self.shape.heads);
        let (packed, width, number) = (self.packed, self.shape.width(), self.number);
        let first = number / heads * self.shape.time;
        tokens.map(move |token| {
            let row = (first + token) * 3 + part;
            &packed[row * width + number % heads * size..][..size]
        })
    }

    /// This head's part of some tokens of a gradient.
    fn gradient<'b>(
        &self,
        gradient: &'b [f32],
        tokens: Block,
    ) -> impl ExactSizeIterator<Item = &'b [f32]> + Clone {
        let Shape {
            time, heads, size, ..
        } = self.shape;
        let (first, head) = (self.number / heads * time, self.number % heads);
        let width = self.shape.width();
        tokens.map(move |token| &gradient[(first + token) * width + head * size..][..size])
    }

    /// The exponentials of the scores of a block of queries, `[keys up to them, QUERIES]`, and the
    /// reciprocals of their sums.
    fn exponentials(&self, block: Block, keys: View<'_>, room: &mut Room) -> PerQuery {
        let queries = self.part(0, block.clone());
        put_columns(&mut room.columns, queries, self.shape.scale());
        let seen = keys.rows_from(0, block.end);
        multiply_panel(&mut room.weights, seen, &room.columns, false);
        let weights = &mut room.weights[..block.end * QUERIES];
        for (column, query) in block.enumerate() {
            hide(weights, column, query + 1);
        }
        exponentials(weights).map(|sum| 1.0 / sum)
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
        let [keys, values] = [1, 2].map(|part| gathered(self.part(part, 0..time), self.shape));
        let [keys, values] = [&keys, &values].map(|part| View::new(part, time, size, size));
        let mut room = Room::new(self.shape);
        for block in blocks(time) {
            request(self.part(0, next(&block, time)));
            self.request_places(output, block.clone(), 1, 0);
            let reciprocals = self.exponentials(block.clone(), keys, &mut room);
            if let Some(factors) = self.dropped(block.clone()) {
                multiply_chunk(&mut room.weights, &factors);
            }
            let values = values.rows_from(0, block.end).transposed();
            multiply_panel(&mut room.columns, values, &room.weights, false);
            for (column, query) in block.enumerate() {
                let output = self.place(output, query, 1, 0);
                read_column(output, &room.columns, column, reciprocals[column]);
            }
        }
    }

    fn backward(&self, gradient: &[f32], dpacked: Shared<'_>) {
        let Shape { time, size, .. } = self.shape;
        let [keys, values] = [1, 2].map(|part| gathered(self.part(part, 0..time), self.shape));
        let [keys, values] = [&keys, &values].map(|part| View::new(part, time, size, size));
        let mut room = Room::new(self.shape);
        let mut dscores = scratch(time * QUERIES);
        let [mut dkeys, mut dvalues] = [(); 2].map(|()| Panels::zero(time, size));
        let mut right = Panels::zero(QUERIES, size);
        for block in blocks(time) {
            request(self.part(0, next(&block, time)));
            request(self.gradient(gradient, next(&block, time)));
            self.request_places(dpacked, block.clone(), 3, 0);
            let reciprocals = self.exponentials(block.clone(), keys, &mut room);
            put_columns(
                &mut room.columns,
                self.gradient(gradient, block.clone()),
                1.0,
            );
            let seen = values.rows_from(0, block.end);
            multiply_panel(&mut dscores, seen, &room.columns, false);
            let factors = self.dropped(block.clone());
            let (weights, dscores) = (
                &mut room.weights[..block.end * QUERIES],
                &mut dscores[..block.end * QUERIES],
            );
            if let Some(factors) = &factors {
                multiply_chunk(dscores, factors);
            }
            softmax_backward(dscores, weights, &reciprocals, self.shape.scale());
            if let Some(factors) = &factors {
                multiply_chunk(weights, factors);
            }
            let turned = keys.rows_from(0, block.end).transposed();
            multiply_panel(&mut room.columns, turned, dscores, false);
            for (column, query) in block.clone().enumerate() {
                let output = self.place(dpacked, query, 3, 0);
                read_column(output, &room.columns, column, 1.0);
            }
            let left = |values| View::new(values, block.end, block.len(), QUERIES);
            right.put(self.part(0, block.clone()), &[1.0; QUERIES]);
            dkeys.add_products(left(dscores), &right);
            right.put(self.gradient(gradient, block.clone()), &reciprocals);
            dvalues.add_products(left(weights), &right);
        }
        for (part, sums) in [(1, &dkeys), (2, &dvalues)] {
            self.request_places(dpacked, 0..time, 3, part);
            for token in 0..time {
                sums.read_row(token, self.place(dpacked, token, 3, part));
            }
        }
    }

    fn request_places(&self, output: Shared<'_>, tokens: Block, parts: usize, part: usize) {
        request(tokens.map(|token| &*self.place(output, token, parts, part)));
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
}

impl Room {
    fn new(shape: Shape) -> Self {
        Self {
            columns: scratch(shape.size * QUERIES),
            weights: scratch(shape.time * QUERIES),
        }
    }
}

/// A matrix of `size` columns, as panels `[rows, PANEL]` of its columns, the last filled up with 0.
struct Panels {
    values: Scratch,
    rows: usize,
}

impl Panels {
    fn zero(rows: usize, size: usize) -> Self {
        let mut values = scratch(rows * size.next_multiple_of(PANEL));
        values.fill(0.0);
        Self { values, rows }
    }

    /// Takes the place of the first rows, each times its scale.
    fn put<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]>, scales: &[f32]) {
        let stride = self.rows * PANEL;
        for (index, (row, scale)) in rows.zip(scales).enumerate() {
            for (panel, values) in self.values.chunks_exact_mut(stride).zip(row.chunks(PANEL)) {
                let places = &mut panel[index * PANEL..];
                for (place, value) in places.iter_mut().zip(values) {
                    *place = value * scale;
                }
            }
        }
    }

    /// Adds `left · right` to the first rows.
    fn add_products(&mut self, left: View<'_>, right: &Self) {
        let panels = self.values.chunks_exact_mut(self.rows * PANEL);
        for (sums, right) in panels.zip(right.values.chunks_exact(right.rows * PANEL)) {
            multiply_panel(sums, left, right, true);
        }
    }

    fn read_row(&self, row: usize, output: &mut [f32]) {
        let panels = self.values.chunks_exact(self.rows * PANEL);
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
///
/// # Panics
/// If the length does not fit the shape.
pub fn forward(packed: &[f32], shape: Shape, dropout: Option<Dropout>) -> Vec<f32> {
    shape.check(packed, None);
    // SAFETY: every head of every token is written.
    let mut output = unsafe { uninitialized(packed.len() / 3) };
    let shared = Shared::new(&mut output);
    (0..shape.batch * shape.heads)
        .into_par_iter()
        .for_each(|number| {
            let head = Head {
                shape,
                number,
                packed,
                dropout,
            };
            head.forward(shared);
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
) -> Vec<f32> {
    shape.check(packed, Some(gradient));
    // SAFETY: every head of every token of all three parts is written.
    let mut dpacked = unsafe { uninitialized(packed.len()) };
    let shared = Shared::new(&mut dpacked);
    (0..shape.batch * shape.heads)
        .into_par_iter()
        .for_each(|number| {
            let head = Head {
                shape,
                number,
                packed,
                dropout,
            };
            head.backward(gradient, shared);
        });
    dpacked
}
