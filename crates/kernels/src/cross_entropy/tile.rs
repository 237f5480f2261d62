//! The pass of a tile of tokens through the vocabulary.

use rayon::prelude::*;

use super::saved_exponentials::Places;
use super::shape::{BLOCK, GROUP, STRIDE, Shape};
use crate::math::exp;
use crate::matrix::View;
use crate::product::{LeftOperand, Output, Packed, Precision, multiply_operand};
use crate::softmax_row::{exponentials, largest_of};

/// How far above its reference a logit may be. Exponentials up to e⁴⁰, and sums of them, are far
/// below the largest f32. A reference that hardly ever changes is the same in most blocks.
const HEADROOM: f32 = 40.0;

/// The softmax of one token over the blocks so far.
#[derive(Clone, Copy)]
pub(super) struct Softmax {
    /// Logits are taken relative to it. The largest is at most [`HEADROOM`] above it.
    pub(super) reference: f32,
    /// The sum of the exponentials relative to the reference.
    pub(super) sum: f32,
    /// The logit of the target.
    at_target: f32,
}

impl Softmax {
    pub(super) const NOTHING: Self = Self {
        reference: f32::NEG_INFINITY,
        sum: 0.0,
        at_target: f32::NAN,
    };

    pub(super) fn loss(&self) -> f64 {
        f64::from(self.sum).ln() + f64::from(self.reference) - f64::from(self.at_target)
    }
}

/// The weight, packed for both products of a tile.
pub(super) struct Weight {
    /// `[width, block]` for each block.
    forward: Vec<Packed>,
    /// `[block, width]` for each block.
    backward: Vec<Packed>,
}

impl Weight {
    pub(super) fn new(
        weight: &[f32],
        shape: Shape,
        with_gradients: bool,
        precision: Precision,
    ) -> Self {
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

/// A tile of tokens that goes through the vocabulary.
pub(super) struct Tile<'a> {
    /// Its first token in the chunk.
    pub(super) first: usize,
    pub(super) hidden: &'a [f32],
    pub(super) targets: &'a [u32],
    pub(super) states: &'a mut [Softmax],
    /// The reference of the exponentials of each token and block.
    pub(super) references: &'a mut [f32],
}

impl Tile<'_> {
    /// Goes through the vocabulary. If gradients are wanted, it saves all exponentials in `places`
    /// and sums weighted rows of the weight in `dhidden`. Else the exponentials of a block
    /// overwrite those of the last one.
    pub(super) fn sweep(
        &mut self,
        weight: &Weight,
        shape: Shape,
        places: Places<'_>,
        mut dhidden: Option<&mut Output<'_>>,
    ) {
        let (tokens, width) = (self.targets.len(), shape.width);
        let left = View::new(self.hidden, tokens, width, width);
        let left = LeftOperand::for_product(left, &weight.forward[0]);
        let saves = dhidden.is_some();
        let ours = (self.first, tokens);
        let (mut buffer, mut left_exponentials) =
            (None, saves.then(|| places.left_operands(tokens)));
        for (block, forward) in weight.forward.iter().enumerate() {
            let (rows, place) = (forward.columns(), if saves { block } else { 0 });
            // SAFETY: this block of these tokens belongs to this tile alone.
            let logits = unsafe { places.logits(place, ours, &mut buffer) };
            multiply_operand(logits, STRIDE, &left, tokens, forward, rows, false);
            let mut first = 0;
            for logits in logits.chunks_mut(GROUP * STRIDE) {
                let group = logits.len() / STRIDE;
                for (token, logits) in (first..).zip(logits.chunks_exact_mut(STRIDE)) {
                    let logits = &mut logits[..rows];
                    let reference = self.softmax(token, logits, block, dhidden.as_deref_mut());
                    if saves {
                        self.references[token * shape.blocks() + block] = reference;
                    }
                }
                if let Some(left_exponentials) = &mut left_exponentials {
                    left_exponentials.pack(first, rows, logits);
                    // SAFETY: as above.
                    unsafe { places.save(block, (self.first + first, group), rows, logits) };
                }
                first += group;
            }
            if let Some((left_exponentials, dhidden)) =
                left_exponentials.as_ref().zip(dhidden.as_deref_mut())
            {
                let (left, right) = (
                    left_exponentials.operand(rows, logits),
                    &weight.backward[block],
                );
                dhidden.add_operand(&left, tokens, right);
            }
        }
    }

    /// Replaces the logits of a token in a block by exponentials relative to its reference. Gives
    /// the reference. Scales the sums of earlier blocks when the reference changes.
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

    /// Turns the sums of weighted rows into the gradient of the hidden state.
    pub(super) fn finish(&self, dhidden: &mut [f32], weight: &[f32], shape: Shape, scale: f32) {
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
