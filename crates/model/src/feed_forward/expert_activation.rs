//! The activation of the hidden units of experts.

use kernels::activation::Activation;
use serde::{Deserialize, Serialize};

/// What experts apply to their up projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertActivation {
    /// The exact GELU.
    #[default]
    Gelu,
    /// ReLU. Units that are 0 need no column of `down`.
    Relu,
}

impl ExpertActivation {
    pub(super) fn is_gelu(&self) -> bool {
        *self == Self::Gelu
    }

    /// The same for kernels.
    pub fn kernel(self) -> Activation {
        match self {
            Self::Gelu => Activation::Gelu,
            Self::Relu => Activation::Relu,
        }
    }
}
