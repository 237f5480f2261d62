//! Generators: from a mask's input to `z`, which the mask function takes.

use serde::{Deserialize, Serialize};

/// What computes the values that a mask function takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// Causal attention over the mask's input, as in the original write-up. With a rank, a linear layer
    /// projects its output to the mask's values.
    #[default]
    Attention,
    /// One linear layer: `z = W x`. A token's mask then depends on this token alone.
    Linear,
}

impl Generator {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Linear => "linear",
        }
    }
}
