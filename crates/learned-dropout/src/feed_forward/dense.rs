//! The dense feed-forward with GELU, and the expert that every token uses, which may have ReLU.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activated;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::{
    Activation, FeedForwardSettings, MaskedSettings, Precision, masked_feed_forward,
    norm_feed_forward,
};

/// `down(gelu(up(norm(x))))`, or with ReLU where it is an expert.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[hidden, width]`.
    pub up: Linear,
    /// `[width, hidden]`.
    pub down: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Dense {
    /// A layer with the given weights, `[hidden, width]` and `[width, hidden]`.
    pub(crate) fn new(up: Tensor<2>, down: Tensor<2>) -> Self {
        Self {
            up: Linear::new(up),
            down: Linear::new(down),
            activation: Activation::Gelu,
        }
    }

    /// The same layer with another activation function.
    pub(crate) fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
    }

    /// The hidden units, `[batch, time, hidden]`.
    pub(super) fn units(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        activated(self.up.forward_normalized(norm, input), self.activation)
    }

    /// Applies the norm, if one is given, and the layer, with a mask on the hidden units that is computed before them.
    pub(super) fn forward_masked(
        &self,
        norm: Option<&LayerNorm>,
        input: Tensor<3>,
        mask: &Mask,
    ) -> Tensor<3> {
        let settings = MaskedSettings {
            epsilon: EPSILON,
            activation: self.activation,
            kept_only: mask.kept_only(),
            precision: self.up.precision,
        };
        let weights = [&self.up, &self.down].map(|layer| layer.weight.val());
        let gain = norm.map(|norm| norm.weight.val());
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
            activation: self.activation,
            precision: self.up.precision,
        };
        norm_feed_forward(input, gain, weights, settings)
    }
}
