//! The feed-forward with ReLU and a penalty that makes its hidden units sparse.

use serde::{Deserialize, Serialize};

use crate::problem::Checks;

/// `down(relu(up(x)))`. The auxiliary loss is the mean of the hidden units, which are not negative,
/// over units, tokens and layers: their L1 norm. Units that are 0 need no column of `down`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relu {
    /// Hidden units; four times the width if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Coefficient of the auxiliary loss; at least 0.
    pub penalty: f64,
}

impl Default for Relu {
    /// A penalty of 0.1.
    fn default() -> Self {
        Self {
            hidden: None,
            penalty: 0.1,
        }
    }
}

impl Relu {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("penalty", self.penalty, 0.0..);
    }
}
