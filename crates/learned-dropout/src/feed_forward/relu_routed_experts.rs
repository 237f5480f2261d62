//! Experts with a ReLU router: a token uses the experts with positive gates.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activity::Activity;
use super::experts::Experts;
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::{Precision, duplicated, mean, relu, used_share};

/// The module of [`model::feed_forward::ReluRoutedExperts`].
#[derive(Module, Debug)]
pub struct ReluRoutedExperts {
    /// Computes the gates before the ReLU, `[experts, width]`; always in f32.
    pub router: Linear,
    /// The experts.
    pub experts: Experts,
}

impl ReluRoutedExperts {
    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.experts.precision = precision;
    }

    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Activity) {
        let x = norm.forward(input);
        let [gates, for_loss] = duplicated(relu(self.router.forward(x.clone())));
        let experts = gates.dims()[2] as f64;
        let shares = used_share(gates.clone());
        let found = self.experts.forward(x, gates);
        let activity = Activity {
            shares,
            penalty: mean(for_loss) * experts,
            units: found.units,
        };
        (found.output, activity)
    }
}
