//! Feed-forwards: what stands in the second half of a block.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::dropout;
use crate::learned_dropout::{LearnedDropout, Masked};
use crate::linear::Linear;
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::tensor::{Precision, duplicated, norm_feed_forward};
use crate::pass::{Pass, Purpose};

/// `down(gelu(up(x)))`, then a learned mask or ordinary dropout.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[4 · width, width]`.
    pub up: Linear,
    /// `[width, 4 · width]`.
    pub down: Linear,
    /// The learned mask on the output, where there is one.
    pub learned_dropout: Option<LearnedDropout>,
    /// Rate of the ordinary dropout on the output, where there is no learned mask.
    pub rate: f64,
    /// Number of the block.
    pub layer: usize,
}

impl FeedForward {
    /// Sets what the linear layers round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
        if let Some(module) = &mut self.learned_dropout {
            module.query_key_value.precision = precision;
        }
    }

    /// Applies a norm and the feed-forward to `[batch, time, width]`.
    ///
    /// Masks are computed from `mask_input`, or from the output where none is given.
    pub fn forward(
        &self,
        norm: &LayerNorm,
        input: Tensor<3>,
        mask_input: Option<&Tensor<3>>,
        pass: &Pass,
    ) -> (Tensor<3>, Option<Masked>) {
        let weights = [&self.up, &self.down].map(|layer| layer.weight.val());
        let gain = norm.weight.val();
        let output = norm_feed_forward(input, gain, weights, EPSILON, self.up.precision);
        match &self.learned_dropout {
            Some(module) => {
                let (output, mask_input) = match mask_input {
                    Some(input) => (output, input.clone()),
                    None if module.detaches_input() => (output.clone(), output),
                    None => duplicated(output).into(),
                };
                let masked = module.apply(output, mask_input, pass);
                (masked.output.clone(), Some(masked))
            }
            None => {
                let purpose = Purpose::FeedForwardDropout;
                (dropout(output, self.rate, pass, purpose, self.layer), None)
            }
        }
    }
}
