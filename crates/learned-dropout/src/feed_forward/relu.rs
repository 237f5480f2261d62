//! The feed-forward with ReLU, whose hidden units a penalty makes sparse.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Activity;
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::{Precision, duplicated, mean, relu, used_share};

/// `down(relu(up(x)))`. The auxiliary loss is the mean of the hidden units, which are not negative,
/// over units, tokens and layers: their L1 norm. Units that are 0 need no row of `down`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Hidden units; four times the width where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// What the auxiliary loss is multiplied by; at least 0.
    pub penalty: f64,
}

impl Default for Config {
    /// A penalty of 0.1.
    fn default() -> Self {
        Self {
            hidden: None,
            penalty: 0.1,
        }
    }
}

/// The module of [`Config`].
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
