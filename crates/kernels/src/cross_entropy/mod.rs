//! The output layer with its cross-entropy. The logits of all tokens are never stored, and the
//! gradients come from the same pass.
//!
//! A tile of tokens goes through the vocabulary in blocks. It sums, for each token, the
//! exponentials of its logits relative to a reference logit of the first block. When a block has a
//! far larger logit, that one becomes the reference, and the earlier sums are scaled down (after
//! Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). The exponentials of
//! a chunk of tokens are saved until they are multiplied for the gradient of the weight.

mod saved_exponentials;
mod shape;
mod tile;

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::exp;
use crate::matrix::View;
use crate::product::{Output, Packed, Precision};
use crate::scratch::scratch;
use crate::uninitialized::{Uninit, from_chunks, initialized, uninitialized};
use saved_exponentials::SavedExponentials;
pub use shape::Shape;
use shape::{BLOCK, tile_of_chunk};
use tile::{Softmax, Tile, Weight};

/// The gradients of a mean cross-entropy.
pub struct Gradients {
    /// With respect to the hidden state, `[tokens, width]`.
    pub hidden: Vec<f32>,
    /// With respect to the weight, `[vocabulary, width]`.
    pub weight: Vec<f32>,
}

levelled! {
    /// Multiplies each row of `width` values by its factor.
    fn scale_rows(output: &mut [f32], values: &[f32], factors: &[f32], width: usize) {
        let rows = output.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((output, values), factor) in rows.zip(factors) {
            for (output, value) in output.iter_mut().zip(values) {
                *output = value * factor;
            }
        }
    }
}

/// The mean cross-entropy of `softmax(hidden · weightᵀ)` in nats, and if wanted its gradients.
///
/// - `hidden`: `[tokens, width]`
/// - `weight`: `[vocabulary, width]`
///
/// # Panics
/// If the lengths do not fit the shape, or a target is not below the vocabulary.
pub fn linear_cross_entropy(
    hidden: &[f32],
    weight: &[f32],
    targets: &[u32],
    shape: Shape,
    with_gradients: bool,
    precision: Precision,
) -> (f32, Option<Gradients>) {
    shape.check(hidden, weight, targets);
    let packed = Weight::new(weight, shape, with_gradients, precision);
    let counted = |count: usize| if with_gradients { count } else { 0 };
    let mut dhidden = uninitialized(counted(hidden.len()));
    let mut dweight = Vec::new();
    let (width, chunk) = (shape.width, shape.chunk(precision));
    let mut sum = 0.0;
    for start in (0..shape.tokens).step_by(chunk) {
        let count = chunk.min(shape.tokens - start);
        let rows = start * width..(start + count) * width;
        let chunk = Chunk {
            shape,
            hidden: &hidden[rows.clone()],
            targets: &targets[start..start + count],
            scale: 1.0 / shape.tokens as f32,
        };
        if !with_gradients {
            sum += chunk.loss(&packed, precision);
            continue;
        }
        let dhidden = &mut dhidden[rows];
        sum += chunk.loss_and_gradients(&packed, weight, dhidden, &mut dweight, precision);
    }
    let gradients = with_gradients.then(|| Gradients {
        // SAFETY: the chunks are all tokens, and each has written its rows.
        hidden: unsafe { initialized(dhidden) },
        weight: dweight,
    });
    ((sum / shape.tokens as f64) as f32, gradients)
}

/// The cross-entropy of each token, in nats: that of `softmax(hidden · weightᵀ)`, whose mean
/// [`linear_cross_entropy`] gives.
///
/// # Panics
/// If the lengths do not fit the shape, or a target is not below the vocabulary.
pub fn token_losses(
    hidden: &[f32],
    weight: &[f32],
    targets: &[u32],
    shape: Shape,
    precision: Precision,
) -> Vec<f32> {
    shape.check(hidden, weight, targets);
    let packed = Weight::new(weight, shape, false, precision);
    let chunk = shape.chunk(precision);
    let hidden = hidden.chunks(chunk * shape.width);
    let losses = hidden
        .zip(targets.chunks(chunk))
        .flat_map(|(hidden, targets)| {
            let chunk = Chunk {
                shape,
                hidden,
                targets,
                scale: 1.0,
            };
            chunk.states(&packed, precision)
        });
    losses.map(|state| state.loss() as f32).collect()
}

/// Tokens whose exponentials are saved at the same time.
struct Chunk<'a> {
    shape: Shape,
    hidden: &'a [f32],
    targets: &'a [u32],
    scale: f32,
}

impl Chunk<'_> {
    /// The sum of the losses.
    fn loss(&self, packed: &Weight, precision: Precision) -> f64 {
        let states = self.states(packed, precision);
        states.iter().map(Softmax::loss).sum()
    }

    /// The softmax of each token.
    fn states(&self, packed: &Weight, precision: Precision) -> Vec<Softmax> {
        let (shape, count) = (self.shape, self.targets.len());
        let tile = tile_of_chunk(count, precision);
        let mut states = vec![Softmax::NOTHING; count];
        let mut saved = SavedExponentials::new(count, None, precision);
        let places = saved.places();
        states
            .par_chunks_mut(tile)
            .zip(self.targets.par_chunks(tile))
            .zip(self.hidden.par_chunks(tile * shape.width))
            .enumerate()
            .for_each(|(index, ((states, targets), hidden))| {
                let mut part = Tile {
                    first: index * tile,
                    hidden,
                    targets,
                    states,
                    references: &mut [],
                };
                part.sweep(packed, shape, places, None);
            });
        states
    }

    /// The sum of the losses. Writes the gradient of the hidden state to `dhidden`, and adds that
    /// of the weight to `dweight`, which is empty for the first chunk.
    fn loss_and_gradients(
        &self,
        packed: &Weight,
        weight: &[f32],
        dhidden: &mut [Uninit],
        dweight: &mut Vec<f32>,
        precision: Precision,
    ) -> f64 {
        let (shape, count) = (self.shape, self.targets.len());
        let (tile, blocks) = (tile_of_chunk(count, precision), shape.blocks());
        let mut states = vec![Softmax::NOTHING; count];
        let mut references = scratch(count * blocks);
        let mut saved = SavedExponentials::new(count, Some(blocks), precision);
        let places = saved.places();
        states
            .par_chunks_mut(tile)
            .zip(self.targets.par_chunks(tile))
            .zip(self.hidden.par_chunks(tile * shape.width))
            .zip(references.par_chunks_mut(tile * blocks))
            .zip(dhidden.par_chunks_mut(tile * shape.width))
            .enumerate()
            .for_each(
                |(index, ((((states, targets), hidden), references), dhidden))| {
                    let mut part = Tile {
                        first: index * tile,
                        hidden,
                        targets,
                        states,
                        references,
                    };
                    let mut sums = Output::New(dhidden);
                    part.sweep(packed, shape, places, Some(&mut sums));
                    part.finish(sums.into_sum(), weight, shape, self.scale);
                },
            );
        let exponentials = Exponentials {
            states: &states,
            references: &references,
            saved: &saved,
        };
        self.weight_gradient(&exponentials, dweight, precision);
        states.iter().map(Softmax::loss).sum()
    }

    /// Computes the gradient of the weight for the first chunk, and adds to it for the others.
    fn weight_gradient(
        &self,
        exponentials: &Exponentials<'_>,
        dweight: &mut Vec<f32>,
        precision: Precision,
    ) {
        let Shape {
            width, vocabulary, ..
        } = self.shape;
        let last = self.scaled(exponentials, None, precision);
        if dweight.is_empty() {
            *dweight = from_chunks(vocabulary * width, BLOCK * width, |block, dweight| {
                let output = Output::New(dweight);
                self.weight_gradient_of_block(exponentials, &last, block, output, precision)
            });
            return;
        }
        let parts = dweight.par_chunks_mut(BLOCK * width).enumerate();
        parts.for_each(|(block, dweight)| {
            let output = Output::Sum(dweight);
            self.weight_gradient_of_block(exponentials, &last, block, output, precision);
        });
    }

    /// The gradient of the weight in one block of the vocabulary.
    fn weight_gradient_of_block<'b>(
        &self,
        exponentials: &Exponentials<'_>,
        last: &Packed,
        block: usize,
        output: Output<'b>,
        precision: Precision,
    ) -> &'b mut [f32] {
        let width = self.shape.width;
        let rows = BLOCK.min(self.shape.vocabulary - block * BLOCK);
        let own = (!exponentials.has_last_references(block))
            .then(|| self.scaled(exponentials, Some(block), precision));
        let right = own.as_ref().unwrap_or(last);
        let left = exponentials.saved.block(block, rows);
        let dweight = output.multiply(&left, rows, right);
        for (&target, hidden) in self.targets.iter().zip(self.hidden.chunks_exact(width)) {
            let row = (target as usize).wrapping_sub(block * BLOCK);
            if row < rows {
                for (sum, hidden) in dweight[row * width..][..width].iter_mut().zip(hidden) {
                    *sum -= hidden * self.scale;
                }
            }
        }
        dweight
    }

    /// The hidden states times the factors that turn exponentials into shares of the gradient: for
    /// the exponentials of a block, or without one for those that are relative to the last
    /// references.
    fn scaled(
        &self,
        exponentials: &Exponentials<'_>,
        block: Option<usize>,
        precision: Precision,
    ) -> Packed {
        let (width, count) = (self.shape.width, self.targets.len());
        let mut factors = scratch(count);
        for (token, (factor, state)) in factors.iter_mut().zip(exponentials.states).enumerate() {
            *factor = self.scale / state.sum;
            if let Some(block) = block {
                let reference = exponentials.references(token)[block];
                *factor *= exp::<false>(reference - state.reference);
            }
        }
        let mut scaled = scratch(count * width);
        scale_rows(&mut scaled, self.hidden, &factors, width);
        Packed::new(View::new(&scaled, count, width, width), precision)
    }
}

impl Exponentials<'_> {
    /// The references of a token, one for each block.
    fn references(&self, token: usize) -> &[f32] {
        let blocks = self.references.len() / self.states.len();
        &self.references[token * blocks..][..blocks]
    }

    /// Whether the references of all tokens in a block are their last ones.
    fn has_last_references(&self, block: usize) -> bool {
        let mut states = self.states.iter().enumerate();
        states.all(|(token, state)| self.references(token)[block] == state.reference)
    }
}

/// What the gradient of the weight needs from the tiles.
#[derive(Clone, Copy)]
struct Exponentials<'a> {
    states: &'a [Softmax],
    references: &'a [f32],
    saved: &'a SavedExponentials,
}
