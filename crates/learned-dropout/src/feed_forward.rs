//! Feed-forwards: what stands in the second half of a block.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::dropout;
use crate::learned_dropout::LearnedDropout;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::mask_sources::{Elsewhere, reads_layer_input, shared};
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::tensor::{MaskedSettings, Precision, gelu, masked_feed_forward, norm_feed_forward};
use crate::pass::{Pass, Purpose};
use crate::site::MaskInput;

/// `down(gelu(up(x)))`, then a learned mask or ordinary dropout; a learned mask may also stand on the
/// hidden units between.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[4 · width, width]`.
    pub up: Linear,
    /// `[width, 4 · width]`.
    pub down: Linear,
    /// The learned mask on the hidden units, where there is one.
    pub hidden_learned_dropout: Option<LearnedDropout>,
    /// The learned mask on the output, where there is one.
    pub learned_dropout: Option<LearnedDropout>,
    /// Rate of the ordinary dropout on the output, where there is no learned mask.
    pub rate: f64,
    /// Number of the block.
    pub layer: usize,
}

impl FeedForward {
    /// The learned masks, in the order of the forward pass.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &LearnedDropout> {
        [&self.hidden_learned_dropout, &self.learned_dropout]
            .into_iter()
            .flatten()
    }

    /// Sets what the linear layers round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
        let masks = [&mut self.hidden_learned_dropout, &mut self.learned_dropout];
        for module in masks.into_iter().flatten() {
            module.set_precision(precision);
        }
    }

    /// Applies a norm and the feed-forward to `[batch, time, width]`; adds its masks to `masks`.
    pub(crate) fn forward(
        &self,
        norm: &LayerNorm,
        mut input: Tensor<3>,
        elsewhere: &mut Elsewhere<'_>,
        masks: &mut Vec<Mask>,
        pass: &Pass,
    ) -> Tensor<3> {
        let mut layer_input = reads_layer_input(self.masks()).then(|| shared(&mut input));
        let mut mask = |module: &LearnedDropout, hidden: &mut Tensor<3>| {
            let source = elsewhere.source(module, Some(norm), hidden, layer_input.as_mut());
            module.mask(source, pass)
        };
        let weights = || [&self.up, &self.down].map(|layer| layer.weight.val());
        let (gain, precision) = (norm.weight.val(), self.up.precision);
        let mut output = match &self.hidden_learned_dropout {
            None => norm_feed_forward(input, gain, weights(), EPSILON, precision),
            Some(module) if module.reads() == MaskInput::Hidden => {
                let mut units = gelu(self.up.forward_normalized(norm, input));
                let made = mask(module, &mut units);
                let output = self.down.forward(made.product(units));
                masks.push(made);
                output
            }
            Some(module) => {
                let made = mask(module, &mut input);
                let settings = MaskedSettings {
                    epsilon: EPSILON,
                    kept_only: made.kept_only(),
                    precision,
                };
                let factors = made.multiplier();
                masks.push(made);
                masked_feed_forward(input, gain, weights(), factors, settings)
            }
        };
        match &self.learned_dropout {
            Some(module) => {
                let made = mask(module, &mut output);
                output = made.product(output);
                masks.push(made);
                output
            }
            None => {
                let purpose = Purpose::FeedForwardDropout;
                dropout(output, self.rate, pass, purpose, self.layer)
            }
        }
    }
}
