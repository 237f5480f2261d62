//! The feed-forward with ReLU and a penalty that makes its hidden units sparse.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activity::Activity;
use crate::linear::Linear;
use crate::mask::Mask;
use crate::norm::LayerNorm;
use crate::ops::{Precision, duplicated, grouped_product, mean, relu, used_share};

/// The module of [`model::feed_forward::Relu`].
#[derive(Module, Debug)]
pub struct Relu {
    /// `[hidden, width]`.
    pub up: Linear,
    /// `[width, hidden]`.
    pub down: Linear,
    /// The power of ReLU: 1 or 2.
    pub power: usize,
}

impl Relu {
    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
    }

    /// The hidden units, `[batch, time, hidden]`.
    pub(super) fn units(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        let units = relu(self.up.forward_normalized(norm, input));
        match self.power {
            1 => units,
            _ => units.clone() * units,
        }
    }

    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Activity) {
        let [units, for_loss] = duplicated(self.units(norm, input));
        let activity = Activity {
            shares: used_share(units.clone()).mean(),
            penalty: mean(for_loss),
            units: None,
        };
        (self.down.forward(units), activity)
    }

    /// The output for units that a mask multiplies. Units that it drops count neither in the auxiliary loss nor
    /// in the share of units that are not 0.
    pub(super) fn masked(&self, units: Tensor<3>, mask: &Mask) -> (Tensor<3>, Activity) {
        let [units, for_loss] = duplicated(units);
        let kept = mask.kept();
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
