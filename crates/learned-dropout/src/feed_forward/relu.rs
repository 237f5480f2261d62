//! The feed-forward with ReLU and a penalty that makes its hidden units sparse.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activated;
use super::activity::Activity;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::{
    Activation, FeedForwardSettings, HiddenUnits, MaskedSettings, Precision, duplicated,
    grouped_product, masked_feed_forward_with_sum, mean, norm_feed_forward_with_sum, used_share,
};

/// The module of [`model::feed_forward::Relu`].
#[derive(Module, Debug)]
pub struct Relu {
    /// `[hidden, width]`.
    pub up: Linear,
    /// `[width, hidden]`.
    pub down: Linear,
    /// ReLU or its square.
    #[module(skip)]
    pub activation: Activation,
}

impl Relu {
    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
    }

    /// The hidden units, `[batch, time, hidden]`.
    pub(super) fn units(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        activated(self.up.forward_normalized(norm, input), self.activation)
    }

    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Activity) {
        if self.up.cut.is_active() || self.down.cut.is_active() {
            let [units, for_loss] = duplicated(self.units(norm, input));
            let activity = Activity {
                shares: used_share(units.clone()).mean(),
                penalty: mean(for_loss),
                units: None,
            };
            return (self.down.forward(units), activity);
        }
        let settings = FeedForwardSettings {
            epsilon: EPSILON,
            activation: self.activation,
            precision: self.up.precision,
        };
        let tokens = input.dims()[0] * input.dims()[1];
        let gain = norm.weight.val();
        let (output, units) = norm_feed_forward_with_sum(input, gain, self.weights(), settings);
        (output, self.activity(units, tokens))
    }

    /// Applies the norm, if one is given, and the layer, with a mask on the hidden units that is computed before
    /// them. Units that it drops count neither in the auxiliary loss nor in the share of units that are not 0.
    pub(super) fn forward_masked(
        &self,
        norm: Option<&LayerNorm>,
        input: Tensor<3>,
        mask: &Mask,
    ) -> (Tensor<3>, Activity) {
        let settings = MaskedSettings {
            epsilon: EPSILON,
            activation: self.activation,
            kept_only: mask.kept_only(),
            precision: self.up.precision,
        };
        let tokens = input.dims()[0] * input.dims()[1];
        let (gain, factors) = (norm.map(|norm| norm.weight.val()), mask.multiplier());
        let (output, units) =
            masked_feed_forward_with_sum(input, gain, self.weights(), factors, settings);
        (output, self.activity(units, tokens))
    }

    fn weights(&self) -> [Tensor<2>; 2] {
        [&self.up, &self.down].map(|layer| layer.weight.val())
    }

    fn activity(&self, units: HiddenUnits, tokens: usize) -> Activity {
        let hidden = self.up.weight.dims()[0];
        Activity {
            shares: units.not_zero,
            penalty: units.sum / (tokens * hidden) as f64,
            units: None,
        }
    }

    /// The same with a mask that is computed from the hidden units themselves.
    pub(super) fn masked(&self, units: Tensor<3>, mask: &Mask) -> (Tensor<3>, Activity) {
        let [units, for_loss] = duplicated(units);
        let kept = mask.has_factor();
        let kept_share = kept.clone().mean().clamp_min(f32::MIN_POSITIVE);
        let group = units.dims()[2] / kept.dims()[2];
        let kept_units = grouped_product(for_loss, kept, group, true);
        let activity = Activity {
            shares: used_share(kept_units.clone().detach()).mean() / kept_share,
            penalty: mean(kept_units),
            units: None,
        };
        (self.down.forward(mask.product(units)), activity)
    }
}
