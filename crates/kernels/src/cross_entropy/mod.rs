//! Output layer and cross-entropy together: no logits tensor, gradients in the same sweep.
//!
//! The vocabulary is gone through in blocks. A tile of tokens keeps for each of them the sum of
//! exponentials relative to a logit of the first block; when a block brings a far larger one, it takes
//! its place, and what was summed before is scaled down (after Milakov and Gimelshein, "Online
//! normalizer calculation for softmax", 2018). The exponentials of a chunk of tokens stay until the
//! gradient of the weight is made.

mod held;

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::exp;
use crate::matrix::View;
use crate::product::{Engine, LeftOperand, Output, Packed, Precision, multiply_operand};
use crate::scratch::scratch;
use crate::softmax_row::{exponentials, largest_of};
use crate::uninitialized::{Uninit, from_chunks, initialized, uninitialized};
use held::{Held, Places};

/// Rows of the weight in a block.
const BLOCK: usize = 512;

/// Distance of the rows of logits: not a power of two, so that a column's values lie in many
/// different sets of the cache.
const STRIDE: usize = BLOCK + 16;

/// Tokens that a thread takes through the vocabulary at a time, at most: what it makes of them stays in
/// the second-level cache. Fewer would read the weight, which is in no cache, more often.
fn most_tokens(precision: Precision) -> usize {
    // Processors with a tile unit have 2 MiB of that cache, and little time to wait for the weight.
    if Engine::of(precision).is_amx() {
        192
    } else {
        96
    }
}

/// Tiles of a chunk, whose exponentials are held at a time: four threads share them out evenly, and the
/// chunk's part in the gradient of the weight stays in the second-level cache.
const TILES: usize = 4;

/// Tokens whose exponentials are made, and packed while they lie in a near cache, before those of the
/// next: in pairs, a whole line of them for each word. Operands take whole tiles: it is a multiple of 32.
const GROUP: usize = 32;

/// How far above its reference a logit may be: exponentials up to e⁴⁰, and sums of them, are far from
/// the largest f32, and a reference that hardly ever changes is one that most blocks have in common.
const HEADROOM: f32 = 40.0;

/// The shape of an output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of tokens.
    pub tokens: usize,
    /// Channels of a token.
    pub width: usize,
    /// Rows of the weight.
    pub vocabulary: usize,
}

impl Shape {
    fn check(&self, hidden: &[f32], weight: &[f32], targets: &[u32]) {
        assert!(
            self.tokens > 0 && self.width > 0 && self.vocabulary > 0,
            "an empty output layer"
        );
        assert_eq!(hidden.len(), self.tokens * self.width, "hidden state");
        assert_eq!(weight.len(), self.vocabulary * self.width, "weight");
        assert_eq!(targets.len(), self.tokens, "one target per token");
        let known = targets
            .iter()
            .all(|&target| (target as usize) < self.vocabulary);
        assert!(known, "targets below the vocabulary");
    }

    fn blocks(&self) -> usize {
        self.vocabulary.div_ceil(BLOCK)
    }

    /// Tokens of a chunk: all but the last are as large as each other, and of whole tiles.
    fn chunk(&self, precision: Precision) -> usize {
        let most = TILES * most_tokens(precision);
        TILES * tile(self.tokens.div_ceil(self.tokens.div_ceil(most)), precision)
    }
}

/// Tokens of a tile of a chunk: an even number, in whole tiles of the engine.
fn tile(chunk: usize, precision: Precision) -> usize {
    let rows = Engine::of(precision).rows();
    chunk.div_ceil(TILES).next_multiple_of(rows)
}

/// The gradients of a mean cross-entropy.
pub struct Gradients {
    /// With respect to the hidden state, `[tokens, width]`.
    pub hidden: Vec<f32>,
    /// With respect to the weight, `[vocabulary, width]`.
    pub weight: Vec<f32>,
}

/// What the softmax of one token is made of so far.
#[derive(Clone, Copy)]
struct Softmax {
    /// What logits are taken relative to: the largest is at most [`HEADROOM`] above it.
    reference: f32,
    /// The sum of the exponentials of logits relative to the reference.
    sum: f32,
    /// The logit of the target.
    at_target: f32,
}

impl Softmax {
    const NOTHING: Self = Self {
        reference: f32::NEG_INFINITY,
        sum: 0.0,
        at_target: f32::NAN,
    };

    fn loss(&self) -> f64 {
        f64::from(self.sum).ln() + f64::from(self.reference) - f64::from(self.at_target)
    }
}

levelled! {
    /// Rows of `width` values, each times its factor.
    fn scale_rows(output: &mut [f32], values: &[f32], factors: &[f32], width: usize) {
        let rows = output.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((output, values), factor) in rows.zip(factors) {
            for (output, value) in output.iter_mut().zip(values) {
                *output = value * factor;
            }
        }
    }
}

/// The weight, packed for both products of a tile.
struct Weight {
    /// For each block `[width, block]`.
    forward: Vec<Packed>,
    /// For each block `[block, width]`.
    backward: Vec<Packed>,
}

impl Weight {
    fn new(weight: &[f32], shape: Shape, with_gradients: bool, precision: Precision) -> Self {
        let views = |block: usize| {
            let rows = BLOCK.min(shape.vocabulary - block * BLOCK);
            View::new(
                &weight[block * BLOCK * shape.width..],
                rows,
                shape.width,
                shape.width,
            )
        };
        let blocks = 0..shape.blocks();
        let forward = |block| Packed::new(views(block).transposed(), precision);
        let backward = |block| Packed::new(views(block), precision);
        let count = if with_gradients { shape.blocks() } else { 0 };
        Self {
            forward: blocks.into_par_iter().map(forward).collect(),
            backward: (0..count).into_par_iter().map(backward).collect(),
        }
    }
}

/// A tile of tokens on its way through the vocabulary.
struct Tile<'a> {
    /// Its first token in the chunk.
    first: usize,
    hidden: &'a [f32],
    targets: &'a [u32],
    states: &'a mut [Softmax],
    /// For each token and block, the reference of the block's exponentials.
    references: &'a mut [f32],
}

impl Tile<'_> {
    /// Goes through the vocabulary. Exponentials go to their places among those of all tokens of the
    /// chunk; without gradients, where there is one block only, those of a block replace those of the
    /// last. Sums weighted rows of the weight in `dhidden`, if the gradients are wanted.
    fn sweep(
        &mut self,
        weight: &Weight,
        shape: Shape,
        places: Places<'_>,
        mut dhidden: Option<&mut Output<'_>>,
    ) {
        let (tokens, width) = (self.targets.len(), shape.width);
        let left = View::new(self.hidden, tokens, width, width);
        let left = LeftOperand::of(left, &weight.forward[0]);
        let holds = dhidden.is_some();
        let ours = (self.first, tokens);
        let (mut buffer, mut lefts) = (None, holds.then(|| places.lefts(tokens)));
        for (block, forward) in weight.forward.iter().enumerate() {
            let (rows, held) = (forward.columns(), if holds { block } else { 0 });
            // SAFETY: this block of these tokens is this tile's alone.
            let logits = unsafe { places.logits(held, ours, &mut buffer) };
            multiply_operand(logits, STRIDE, &left, tokens, forward, rows, false);
            let mut first = 0;
            for logits in logits.chunks_mut(GROUP * STRIDE) {
                let group = logits.len() / STRIDE;
                for (token, logits) in (first..).zip(logits.chunks_exact_mut(STRIDE)) {
                    let logits = &mut logits[..rows];
                    let reference = self.softmax(token, logits, block, dhidden.as_deref_mut());
                    if holds {
                        self.references[token * shape.blocks() + block] = reference;
                    }
                }
                if let Some(lefts) = &mut lefts {
                    lefts.put(first, rows, logits);
                    // SAFETY: as above.
                    unsafe { places.keep(block, (self.first + first, group), rows, logits) };
                }
                first += group;
            }
            if let Some((lefts, dhidden)) = lefts.as_ref().zip(dhidden.as_deref_mut()) {
                let (left, right) = (lefts.operand(rows, logits), &weight.backward[block]);
                dhidden.add_operand(&left, tokens, right);
            }
        }
    }

    /// Replaces the logits of a token in a block by exponentials relative to its reference, which it
    /// gives. Scales what was summed before when the reference changes.
    fn softmax(
        &mut self,
        token: usize,
        logits: &mut [f32],
        block: usize,
        dhidden: Option<&mut Output<'_>>,
    ) -> f32 {
        let state = &mut self.states[token];
        let target = (self.targets[token] as usize).wrapping_sub(block * BLOCK);
        if target < logits.len() {
            state.at_target = logits[target];
        }
        let largest = largest_of(logits);
        if largest > state.reference + HEADROOM {
            let factor = exp::<false>(state.reference - largest);
            state.sum *= factor;
            if let Some(Output::Sum(sums)) = dhidden {
                let width = sums.len() / self.targets.len();
                let sums = &mut sums[token * width..][..width];
                sums.iter_mut().for_each(|value| *value *= factor);
            }
            state.reference = largest;
        }
        state.sum += exponentials(logits, state.reference, 1.0);
        state.reference
    }

    /// Turns sums of weighted rows into the gradient of the hidden state.
    fn finish(&self, dhidden: &mut [f32], weight: &[f32], shape: Shape, scale: f32) {
        let rows = dhidden.chunks_exact_mut(shape.width);
        for ((row, state), &target) in rows.zip(self.states.iter()).zip(self.targets) {
            let factor = scale / state.sum;
            let target = &weight[target as usize * shape.width..][..shape.width];
            for (value, target) in row.iter_mut().zip(target) {
                *value = *value * factor - target * scale;
            }
        }
    }
}

/// The mean cross-entropy of `softmax(hidden · weightᵀ)` in nats, and where asked its gradients.
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

/// Tokens that are swept together.
struct Chunk<'a> {
    shape: Shape,
    hidden: &'a [f32],
    targets: &'a [u32],
    scale: f32,
}

impl Chunk<'_> {
    /// The sum of the losses.
    fn loss(&self, packed: &Weight, precision: Precision) -> f64 {
        let (shape, count) = (self.shape, self.targets.len());
        let tile = tile(count, precision);
        let mut states = vec![Softmax::NOTHING; count];
        let mut held = Held::new(count, None, precision);
        let places = held.places();
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
        states.iter().map(Softmax::loss).sum()
    }

    /// The sum of the losses. Writes the gradient of the hidden state to `dhidden`, and adds that of the
    /// weight to `dweight`, which is empty at first.
    fn loss_and_gradients(
        &self,
        packed: &Weight,
        weight: &[f32],
        dhidden: &mut [Uninit],
        dweight: &mut Vec<f32>,
        precision: Precision,
    ) -> f64 {
        let (shape, count) = (self.shape, self.targets.len());
        let (tile, blocks) = (tile(count, precision), shape.blocks());
        let mut states = vec![Softmax::NOTHING; count];
        let mut references = scratch(count * blocks);
        let mut held = Held::new(count, Some(blocks), precision);
        let places = held.places();
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
            held: &held,
        };
        self.weight_gradient(&exponentials, dweight, precision);
        states.iter().map(Softmax::loss).sum()
    }

    /// Adds to the gradient of the weight, or makes it where there is none yet.
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

    /// The part of the weight's gradient for one block of the vocabulary.
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
        let left = exponentials.held.block(block, rows);
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

    /// The hidden state of each token times what turns its exponentials in a block into shares of the
    /// gradient: in those whose reference is the last one, if no block is given.
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

    /// Whether each token had its last reference already in this block.
    fn has_last_references(&self, block: usize) -> bool {
        let mut states = self.states.iter().enumerate();
        states.all(|(token, state)| self.references(token)[block] == state.reference)
    }
}

/// What a sweep leaves for the gradient of the weight.
#[derive(Clone, Copy)]
struct Exponentials<'a> {
    states: &'a [Softmax],
    references: &'a [f32],
    held: &'a Held,
}
