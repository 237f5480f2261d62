//! The feed-forward with ReLU and a penalty that makes its hidden units sparse.

use kernels::activation::Activation;
use serde::{Deserialize, Serialize};

use super::hidden::Hidden;
use crate::problem::Checks;

/// `down(relu(up(x)))`, or `down(relu(up(x))²)`. The auxiliary loss is the mean of the hidden units, which are
/// not negative, over units, tokens and layers: their L1 norm. Units that are 0 need no column of `down`. Units
/// that a learned mask drops count as 0, and the mask's factors do not count.
///
/// The square is from So et al., "Primer: searching for efficient transformers for language modeling" (2021).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relu {
    /// Hidden units; four times the width if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
    /// The power of ReLU: 1, or 2 for its square.
    #[serde(skip_serializing_if = "is_one")]
    pub power: usize,
    /// Coefficient of the auxiliary loss; at least 0.
    pub penalty: f64,
}

fn is_one(power: &usize) -> bool {
    *power == 1
}

impl Default for Relu {
    /// A penalty of 0.1.
    fn default() -> Self {
        Self {
            hidden: None,
            power: 1,
            penalty: 0.1,
        }
    }
}

impl Relu {
    /// The activation function of the hidden units.
    pub fn activation(&self) -> Activation {
        match self.power {
            1 => Activation::Relu,
            _ => Activation::SquaredRelu,
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("penalty", self.penalty, 0.0..);
        checks.range("power", self.power, 1..=2);
    }
}
