//! Causal multi-head attention on packed queries, keys and values, forward and backward.
//!
//! One head of one sequence at a time: its scores stay in the cache and are never stored.

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::exp;
use crate::matrix::{View, product};
use crate::random::{Philox, unit};

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

    fn check(&self, packed: &[f32], others: &[&[f32]]) {
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
            others.iter().all(|other| other.len() == elements),
            "one output per channel"
        );
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// Ordinary dropout on attention probabilities: each is 0 with probability `rate` and else divided
/// by `1 - rate`. The one at `[sequence, head, row, column]` is decided by its position among all
/// `[batch, heads, time, time]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// In [0, 1).
    pub rate: f64,
    /// Where the decisions come from.
    pub generator: Philox,
}

impl Dropout {
    /// Multiplies values of one head, `[time, time]`, where they can be seen.
    fn apply(&self, values: &mut [f32], time: usize, head_of_all: usize) {
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        let first = (head_of_all * time * time) as u64;
        let (mut index, mut numbers) = (u64::MAX, [0; 4]);
        for (row, values) in values.chunks_exact_mut(time).enumerate() {
            for (column, value) in values[..=row].iter_mut().enumerate() {
                let position = first + (row * time + column) as u64;
                if position / 4 != index {
                    index = position / 4;
                    numbers = self.generator.block(index);
                }
                let number = numbers[(position % 4) as usize];
                *value *= if f64::from(unit(number)) >= self.rate {
                    scale
                } else {
                    0.0
                };
            }
        }
    }
}

/// Queries, keys and values of one head within one packed sequence.
struct Head<'a> {
    queries: View<'a>,
    keys: View<'a>,
    values: View<'a>,
}

impl<'a> Head<'a> {
    fn new(packed: &'a [f32], shape: Shape, head: usize) -> Self {
        let width = shape.width();
        let part = |index: usize| {
            let start = index * width + head * shape.size;
            View::new(&packed[start..], shape.time, shape.size, 3 * width)
        };
        Self {
            queries: part(0),
            keys: part(1),
            values: part(2),
        }
    }

    /// The attention probabilities, `[time, time]`.
    fn probabilities(&self, scores: &mut [f32], shape: Shape) {
        let time = shape.time;
        product(
            scores,
            time,
            self.queries,
            self.keys.transposed(),
            shape.scale(),
            false,
            false,
        );
        for (row, scores) in scores.chunks_exact_mut(time).enumerate() {
            softmax(scores, row + 1);
        }
    }
}

levelled! {
    /// The softmax of the first `visible` scores of a row; the others become 0.
    fn softmax(scores: &mut [f32], visible: usize) {
        let (seen, hidden) = scores.split_at_mut(visible);
        let mut largest = [f32::NEG_INFINITY; 16];
        let mut chunks = seen.chunks_exact(16);
        for chunk in &mut chunks {
            for (largest, &score) in largest.iter_mut().zip(chunk) {
                *largest = if score > *largest { score } else { *largest };
            }
        }
        let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let largest = largest.iter().copied().fold(rest, f32::max);
        let mut sums = [0.0f32; 16];
        let mut chunks = seen.chunks_exact_mut(16);
        for chunk in &mut chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = exp(*score - largest);
                *sum += *score;
            }
        }
        let mut sum = 0.0;
        for score in chunks.into_remainder() {
            *score = exp(*score - largest);
            sum += *score;
        }
        let factor = 1.0 / (sums.iter().sum::<f32>() + sum);
        for score in seen {
            *score *= factor;
        }
        hidden.fill(0.0);
    }
}

levelled! {
    /// Turns gradients of probabilities into gradients of scores, in place:
    /// `dS = P · (dP − Σ P dP)`.
    fn softmax_backward(gradients: &mut [f32], probabilities: &[f32]) {
        let mut sums = [0.0f32; 16];
        let mut pairs = gradients.chunks_exact(16).zip(probabilities.chunks_exact(16));
        for (gradients, probabilities) in &mut pairs {
            for ((sum, gradient), probability) in sums.iter_mut().zip(gradients).zip(probabilities) {
                *sum += gradient * probability;
            }
        }
        let done = gradients.len() / 16 * 16;
        let rest: f32 =
            gradients[done..].iter().zip(&probabilities[done..]).map(|(g, p)| g * p).sum();
        let sum = sums.iter().sum::<f32>() + rest;
        for (gradient, probability) in gradients.iter_mut().zip(probabilities) {
            *gradient = probability * (*gradient - sum);
        }
    }
}

/// Attention of every head of every sequence.
///
/// - `packed`: `[batch, time, 3 · heads · size]`
/// - `output`: `[batch, time, heads · size]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn forward(output: &mut [f32], packed: &[f32], shape: Shape, dropout: Option<Dropout>) {
    shape.check(packed, &[output]);
    let (time, width) = (shape.time, shape.width());
    let sequences = packed
        .par_chunks(time * 3 * width)
        .zip(output.par_chunks_mut(time * width));
    sequences.enumerate().for_each_init(
        || vec![0.0; time * time],
        |scores, (sequence, (packed, output))| {
            for index in 0..shape.heads {
                let head = Head::new(packed, shape, index);
                head.probabilities(scores, shape);
                if let Some(dropout) = dropout {
                    dropout.apply(scores, time, sequence * shape.heads + index);
                }
                let probabilities = View::new(scores, time, time, time);
                let output = &mut output[index * shape.size..];
                product(output, width, probabilities, head.values, 1.0, false, false);
            }
        },
    );
}

/// The gradient of [`forward`] with respect to `packed`.
///
/// - `dpacked`, `packed`: `[batch, time, 3 · heads · size]`
/// - `gradient`: `[batch, time, heads · size]`
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn backward(
    dpacked: &mut [f32],
    gradient: &[f32],
    packed: &[f32],
    shape: Shape,
    dropout: Option<Dropout>,
) {
    shape.check(packed, &[gradient]);
    assert_eq!(dpacked.len(), packed.len());
    let (time, width) = (shape.time, shape.width());
    let sequences = dpacked
        .par_chunks_mut(time * 3 * width)
        .zip(packed.par_chunks(time * 3 * width))
        .zip(gradient.par_chunks(time * width));
    sequences.enumerate().for_each_init(
        || (vec![0.0; time * time], vec![0.0; time * time]),
        |(probabilities, scores), (sequence, ((dpacked, packed), gradient))| {
            for index in 0..shape.heads {
                let head = Head::new(packed, shape, index);
                head.probabilities(probabilities, shape);
                let start = index * shape.size;
                let gradient = View::new(&gradient[start..], time, shape.size, width);
                let all = sequence * shape.heads + index;
                scores.copy_from_slice(probabilities);
                if let Some(dropout) = dropout {
                    dropout.apply(scores, time, all);
                }
                let weights = View::new(scores, time, time, time).transposed();
                let dvalues = &mut dpacked[2 * width + start..];
                product(dvalues, 3 * width, weights, gradient, 1.0, false, false);
                let values = head.values.transposed();
                product(scores, time, gradient, values, 1.0, false, false);
                if let Some(dropout) = dropout {
                    dropout.apply(scores, time, all);
                }
                let rows = scores
                    .chunks_exact_mut(time)
                    .zip(probabilities.chunks_exact(time));
                for (row, (scores, probabilities)) in rows.enumerate() {
                    softmax_backward(&mut scores[..row + 1], &probabilities[..row + 1]);
                    scores[row + 1..].fill(0.0);
                }
                let scores = View::new(scores, time, time, time);
                let scale = shape.scale();
                let dqueries = &mut dpacked[start..];
                product(dqueries, 3 * width, scores, head.keys, scale, false, false);
                let dkeys = &mut dpacked[width + start..];
                let scores = scores.transposed();
                product(dkeys, 3 * width, scores, head.queries, scale, false, false);
            }
        },
    );
}
