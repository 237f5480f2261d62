//! Mask functions: from the output of the mask's attention to [0, 1].
//!
//! To add a function, add a file and a variant of [`MaskFunction`].

mod cosine;
pub mod fourier;
mod parameter;

pub use cosine::Cosine;
pub use fourier::Fourier;
pub use parameter::{FunctionParameter, SHIFT};

use serde::{Deserialize, Serialize};

use crate::problem::Checks;

/// The choice of mask function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MaskFunction {
    /// `M = 0.5 cos(z + B) + 0.5`.
    Cosine(Cosine),
    /// `M = 0.5 + 0.5 Σ w_k cos(k (z + B) + φ_k)`.
    Fourier(Fourier),
}

impl Default for MaskFunction {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

impl MaskFunction {
    /// Records every problem with the settings.
    pub fn check(&self, checks: &mut Checks) {
        match self {
            Self::Cosine(cosine) => cosine.check(checks),
            Self::Fourier(fourier) => fourier.check(checks),
        }
    }

    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cosine(_) => "cosine",
            Self::Fourier(_) => "fourier",
        }
    }

    /// The value that every element of the learned shift `B` starts with, in radians.
    pub fn shift_init(&self) -> f64 {
        match self {
            Self::Cosine(cosine) => cosine.shift_init,
            Self::Fourier(fourier) => fourier.shift_init,
        }
    }

    /// The number of cosines in the sum.
    pub fn terms(&self) -> usize {
        match self {
            Self::Cosine(_) => 1,
            Self::Fourier(fourier) => fourier.terms,
        }
    }

    /// The learned parameters of a mask with this many values.
    pub fn parameters(&self, values: usize) -> Vec<FunctionParameter> {
        let mut parameters = vec![FunctionParameter {
            name: SHIFT,
            count: values,
            initial: self.shift_init(),
        }];
        if let Self::Fourier(fourier) = self {
            parameters.extend(fourier.parameters(values));
        }
        parameters
    }
}
