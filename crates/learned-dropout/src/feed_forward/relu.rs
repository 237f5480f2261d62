//! The feed-forward with ReLU and a penalty that makes its hidden units sparse.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activity::Activity;
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::{Precision, duplicated, mean, relu, used_share};

/// The module of [`model::feed_forward::Relu`].
#[derive(Module, Debug)]
pub struct Relu {
    /// `[hidden, width]`.
    pub up: Linear,
    /// `[width, hidden]`.
    pub down: Linear,
}

impl Relu {
    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.up.precision = precision;
        self.down.precision = precision;
    }

    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Activity) {
        let units = relu(self.up.forward_normalized(norm, input));
        let [units, for_loss] = duplicated(units);
        let activity = Activity {
            shares: used_share(units.clone()).mean(),
            penalty: mean(for_loss),
        };
        (self.down.forward(units), activity)
    }
}
