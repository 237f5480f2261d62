//! The dense feed-forward with GELU.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::linear::Linear;
use crate::mask::Mask;
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::{
    Activation, FeedForwardSettings, MaskedSettings, Precision, gelu, masked_feed_forward,
    norm_feed_forward,
};

/// `down(gelu(up(norm(x))))`.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[hidden, width]`.
    pub up: Linear,
    /// `[width, hidden]`.
    pub down: Linear,
}

impl Dense {
    /// A layer with the given weights, `[hidden, width]` and `[width, hidden]`.
    pub(crate) fn new(up: Tensor<2>, down: Tensor<2>) -> Self {
        Self {
            up: Linear::new(up),
            down: Linear::new(down),
        }
    }

    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
    }

    /// The hidden units, `[batch, time, hidden]`.
    pub(super) fn units(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        gelu(self.up.forward_normalized(norm, input))
    }

    /// Applies the norm and the layer, with a mask on the hidden units that is computed before them.
    pub(super) fn forward_masked(
        &self,
        norm: &LayerNorm,
        input: Tensor<3>,
        mask: &Mask,
    ) -> Tensor<3> {
        let settings = MaskedSettings {
            epsilon: EPSILON,
            activation: Activation::Gelu,
            kept_only: mask.kept_only(),
            precision: self.up.precision,
        };
        let weights = [&self.up, &self.down].map(|layer| layer.weight.val());
        let gain = norm.weight.val();
        masked_feed_forward(input, gain, weights, mask.multiplier(), settings)
    }

    /// Applies the norm and the layer to `[batch, time, width]`.
    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        if self.up.cut.is_active() || self.down.cut.is_active() {
            return self.down.forward(self.units(norm, input));
        }
        let weights = [&self.up, &self.down].map(|layer| layer.weight.val());
        let gain = norm.weight.val();
        let settings = FeedForwardSettings {
            epsilon: EPSILON,
            activation: Activation::Gelu,
            precision: self.up.precision,
        };
        norm_feed_forward(input, gain, weights, settings)
    }
}
