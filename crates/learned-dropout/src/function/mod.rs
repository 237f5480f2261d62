//! Mask functions: from the output of the mask's attention to [0, 1].
//!
//! A new one is a file of its own and a line in [`MaskFunction`].

mod cosine;

pub use cosine::Cosine;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::config::ConfigProblem;

/// The choice of mask function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MaskFunction {
    /// `M = 0.5 cos(z + B) + 0.5`.
    Cosine(Cosine),
}

impl Default for MaskFunction {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

impl MaskFunction {
    /// Records what no module can be made from.
    pub fn validate(&self, key: &str, problems: &mut Vec<ConfigProblem>) {
        match self {
            Self::Cosine(cosine) => cosine.validate(key, problems),
        }
    }

    /// The value that every element of the learned shift `B` starts with, in radians.
    pub fn shift_init(&self) -> f64 {
        match self {
            Self::Cosine(cosine) => cosine.shift_init,
        }
    }

    /// The mask `M` in [0, 1].
    ///
    /// # Shapes
    /// - `attended`: `[batch, time, channels]`, the output of the mask's attention
    /// - `shift`: `[channels]`, the learned shift `B`
    /// - result: `[batch, time, channels]`
    pub fn mask(&self, attended: Tensor<3>, shift: Tensor<1>) -> Tensor<3> {
        match self {
            Self::Cosine(_) => Cosine::mask(attended, shift),
        }
    }
}
