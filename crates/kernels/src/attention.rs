//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One head of one sequence is a task. It goes through blocks of queries, whose scores against all
//! keys up to them stay in the cache and are never stored; the backward pass makes them again.

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::level::levelled;
use crate::math::{exp, multiply_add};
use crate::matrix::View;
use crate::product::{Packed, Precision, multiply, multiply_columns};
use crate::scratch::{Scratch, Shared, scratch, uninitialized};

/// Queries of a block: a multiple of the rows of a tile at every level.
pub(crate) const QUERIES: usize = 48;

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

levelled! {
    /// Replaces the first `visible` scores by their exponentials times `scale`, relative to the
    /// largest, and the others by 0; gives the reciprocal of the sum.
    pub(crate) fn exponentials(scores: &mut [f32], visible: usize, scale: f32) -> f32 {
        let (seen, hidden) = scores.split_at_mut(visible);
        hidden.fill(0.0);
        let mut largest = [f32::NEG_INFINITY; 16];
        let (chunks, rest) = seen.as_chunks::<16>();
        for chunk in chunks {
            for (largest, &score) in largest.iter_mut().zip(chunk) {
                *largest = if score > *largest { score } else { *largest };
            }
        }
        let largest = largest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0f32; 16];
        let (chunks, rest) = seen.as_chunks_mut::<16>();
        for chunk in chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = exp::<FUSED>((*score - largest) * scale);
                *sum += *score;
            }
        }
        let mut sum = sums.iter().sum::<f32>();
        for score in rest {
            *score = exp::<FUSED>((*score - largest) * scale);
            sum += *score;
        }
        1.0 / sum
    }
}

levelled! {
    /// Turns gradients of probabilities into gradients of scores, in place, for probabilities
    /// `P = reciprocal · exponentials`: `dS = scale · P · (dP − Σ P dP)`.
    fn softmax_backward(gradients: &mut [f32], exponentials: &[f32], reciprocal: f32, scale: f32) {
        let mut sums = [0.0f32; 16];
        let (chunks, rest) = gradients.as_chunks::<16>();
        let (weights, weights_rest) = exponentials.as_chunks::<16>();
        for (gradients, weights) in chunks.iter().zip(weights) {
            for ((sum, &gradient), &weight) in sums.iter_mut().zip(gradients).zip(weights) {
                *sum = multiply_add::<FUSED>(gradient, weight, *sum);
            }
        }
        let rest: f32 = rest.iter().zip(weights_rest).map(|(g, w)| g * w).sum();
        let mean = (sums.iter().sum::<f32>() + rest) * reciprocal;
        let factor = reciprocal * scale;
        for (gradient, weight) in gradients.iter_mut().zip(exponentials) {
            *gradient = weight * factor * (*gradient - mean);
        }
    }
}

/// One head of one sequence.
struct Head<'a> {
    shape: Shape,
    /// Of all heads of all sequences.
    number: usize,
    queries: View<'a>,
    keys: View<'a>,
    values: View<'a>,
    dropout: Option<Dropout>,
}

impl<'a> Head<'a> {
    fn new(packed: &'a [f32], shape: Shape, number: usize, dropout: Option<Dropout>) -> Self {
        let width = shape.width();
        let (sequence, head) = (number / shape.heads, number % shape.heads);
        let packed = &packed[sequence * shape.time * 3 * width..];
        let part = |index: usize| {
            let start = index * width + head * shape.size;
            View::new(&packed[start..], shape.time, shape.size, 3 * width)
        };
        Self {
            shape,
            number,
            queries: part(0),
            keys: part(1),
            values: part(2),
            dropout,
        }
    }

    /// The exponentials of the scores of a block of queries, rows of `stride`, for the keys up to
    /// them, and what makes each row probabilities.
    fn exponentials(&self, block: Block, keys: &Packed, scores: &mut [f32]) -> Reciprocals {
        let queries = self.queries.rows_from(block.first, block.count);
        multiply_columns(scores, block.stride, queries, keys, block.seen(), false);
        let rows = scores.chunks_exact_mut(block.stride).take(block.count);
        let mut reciprocals = [0.0; QUERIES];
        for (row, (scores, reciprocal)) in rows.zip(&mut reciprocals).enumerate() {
            let visible = block.first + row + 1;
            let scores = &mut scores[..block.seen()];
            *reciprocal = exponentials(scores, visible, self.shape.scale());
        }
        reciprocals
    }

    /// Applies dropout to a block of probabilities or their gradients.
    fn drop(&self, block: Block, values: &mut [f32]) {
        let Some(dropout) = self.dropout else { return };
        let time = self.shape.time;
        for (row, values) in values
            .chunks_exact_mut(block.stride)
            .take(block.count)
            .enumerate()
        {
            let query = block.first + row;
            let first = ((self.number * time + query) * time) as u64;
            dropout.apply(&mut values[..=query], first);
        }
    }

    fn forward(&self, output: Shared<'_>) {
        let Shape { time, size, .. } = self.shape;
        let keys = Packed::new(self.keys.transposed(), PRECISION);
        let values = Packed::new(self.values, PRECISION);
        let mut scores = scratch(QUERIES.min(time) * stride(time));
        let mut attended = scratch(QUERIES.min(time) * size);
        for block in blocks(time) {
            let reciprocals = self.exponentials(block, &keys, &mut scores);
            self.drop(block, &mut scores);
            let weights = View::new(&scores, block.count, block.seen(), block.stride);
            multiply_columns(&mut attended, size, weights, &values, size, false);
            let rows = attended.chunks_exact_mut(size).zip(reciprocals);
            for (row, (attended, reciprocal)) in rows.take(block.count).enumerate() {
                attended.iter_mut().for_each(|value| *value *= reciprocal);
                self.put(output, block.first + row, 1, 0, attended);
            }
        }
    }

    fn backward(&self, gradient: &[f32], dpacked: Shared<'_>) {
        let Shape {
            time, size, heads, ..
        } = self.shape;
        let (sequence, head, width) =
            (self.number / heads, self.number % heads, self.shape.width());
        let gradient = &gradient[sequence * time * width + head * size..];
        let gradient = View::new(gradient, time, size, width);
        let operands = Operands {
            keys: Packed::new(self.keys.transposed(), PRECISION),
            values: Packed::new(self.values.transposed(), PRECISION),
            keys_by_row: Packed::new(self.keys, PRECISION),
        };
        let mut sums = Sums {
            keys: scratch(time * size),
            values: scratch(time * size),
        };
        sums.keys.fill(0.0);
        sums.values.fill(0.0);
        let room = || scratch(QUERIES.min(time) * stride(time));
        let (mut exponentials, mut dscores) = (room(), room());
        let rows = || scratch(QUERIES.min(time) * size);
        let (mut dqueries, mut scaled) = (rows(), rows());
        for block in blocks(time) {
            let Block {
                first,
                count,
                stride,
            } = block;
            let seen = block.seen();
            let gradient = gradient.rows_from(first, count);
            let reciprocals = self.exponentials(block, &operands.keys, &mut exponentials);
            multiply_columns(
                &mut dscores,
                stride,
                gradient,
                &operands.values,
                seen,
                false,
            );
            self.drop(block, &mut dscores);
            for (row, dscores) in dscores.chunks_exact_mut(stride).take(count).enumerate() {
                let exponentials = &exponentials[row * stride..][..seen];
                let scale = self.shape.scale();
                softmax_backward(&mut dscores[..seen], exponentials, reciprocals[row], scale);
            }
            self.drop(block, &mut exponentials);
            let dscores = View::new(&dscores, count, seen, stride);
            multiply_columns(
                &mut dqueries,
                size,
                dscores,
                &operands.keys_by_row,
                size,
                false,
            );
            for (row, dqueries) in dqueries.chunks_exact(size).take(count).enumerate() {
                self.put(dpacked, first + row, 3, 0, dqueries);
            }
            let queries = Packed::new(self.queries.rows_from(first, count), PRECISION);
            multiply(&mut sums.keys, size, dscores.transposed(), &queries, true);
            for (row, scaled) in scaled.chunks_exact_mut(size).take(count).enumerate() {
                for (scaled, gradient) in scaled.iter_mut().zip(gradient.row(row)) {
                    *scaled = gradient * reciprocals[row];
                }
            }
            let scaled = Packed::new(View::new(&scaled, count, size, size), PRECISION);
            let weights = View::new(&exponentials, count, seen, stride);
            multiply(&mut sums.values, size, weights.transposed(), &scaled, true);
        }
        for (part, sums) in [(1, &sums.keys), (2, &sums.values)] {
            for (row, sums) in sums.chunks_exact(size).enumerate() {
                self.put(dpacked, row, 3, part, sums);
            }
        }
    }

    /// Writes the channels of this head and a token into part `part` of `parts`.
    fn put(&self, output: Shared<'_>, token: usize, parts: usize, part: usize, values: &[f32]) {
        let Shape {
            time, size, heads, ..
        } = self.shape;
        let (sequence, head) = (self.number / heads, self.number % heads);
        let row = (sequence * time + token) * parts + part;
        // SAFETY: these channels of this token belong to this head alone.
        let output = unsafe { output.part(row * self.shape.width() + head * size, size) };
        output.copy_from_slice(values);
    }
}

/// For each query of a block, what makes its exponentials probabilities.
type Reciprocals = [f32; QUERIES];

/// The right operands of a backward pass.
struct Operands {
    keys: Packed,
    values: Packed,
    keys_by_row: Packed,
}

/// Gradients that every block of queries adds to, `[time, size]`.
struct Sums {
    keys: Scratch,
    values: Scratch,
}

/// Scores and probabilities stay f32 whatever the layers around are rounded to.
pub(crate) const PRECISION: Precision = Precision::F32;

/// A block of queries.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    count: usize,
    stride: usize,
}

impl Block {
    /// Keys that any of the queries sees.
    fn seen(self) -> usize {
        self.first + self.count
    }
}

fn blocks(time: usize) -> impl Iterator<Item = Block> {
    (0..time).step_by(QUERIES).map(move |first| Block {
        first,
        count: QUERIES.min(time - first),
        stride: stride(time),
    })
}

/// Distance of rows of scores: not a power of two, so that a column's values lie in many different
/// sets of the cache.
pub(crate) fn stride(time: usize) -> usize {
    time.next_multiple_of(32) + 16
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
            Head::new(packed, shape, number, dropout).forward(shared);
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
            Head::new(packed, shape, number, dropout).backward(gradient, shared);
        });
    dpacked
}
