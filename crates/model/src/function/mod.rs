//! Mask functions: from the output `z` of the mask's generator to `M`.
//!
//! To add a function, add a file and a variant of [`MaskFunction`].

mod cosine;
pub mod fourier;
mod linear;
mod parameter;
mod shift;
mod sigmoid;

pub use cosine::Cosine;
pub use fourier::Fourier;
pub use linear::Linear;
pub use parameter::{FunctionParameter, SHIFT};
pub use shift::Shift;
pub use sigmoid::Sigmoid;

use std::fmt;

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
    /// `M = 0.5 (z + B) + 0.5`.
    Linear(Linear),
    /// `M = sigmoid(z + B)`.
    Sigmoid(Sigmoid),
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
            Self::Linear(linear) => linear.check(checks),
            Self::Sigmoid(sigmoid) => sigmoid.check(checks),
        }
    }

    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cosine(_) => "cosine",
            Self::Fourier(_) => "fourier",
            Self::Linear(_) => "linear",
            Self::Sigmoid(_) => "sigmoid",
        }
    }

    /// The value that every element of the shift `B` starts with.
    pub fn shift_init(&self) -> f64 {
        match self {
            Self::Cosine(cosine) => cosine.shift_init,
            Self::Fourier(fourier) => fourier.shift_init,
            Self::Linear(linear) => linear.shift_init,
            Self::Sigmoid(sigmoid) => sigmoid.shift_init,
        }
    }

    /// Whether the shift `B` is learned.
    pub fn shift(&self) -> Shift {
        match self {
            Self::Cosine(cosine) => cosine.shift,
            Self::Fourier(fourier) => fourier.shift,
            Self::Linear(linear) => linear.shift,
            Self::Sigmoid(sigmoid) => sigmoid.shift,
        }
    }

    /// The shift with which `M` is near 1 where `z` is near 0.
    fn nearly_open_shift(&self) -> f64 {
        match self {
            Self::Cosine(_) | Self::Fourier(_) => 0.0,
            Self::Linear(_) => 1.0,
            // sigmoid(4) = 0.982
            Self::Sigmoid(_) => 4.0,
        }
    }

    /// Whether `M` is in [0, 1] for every `z`.
    pub fn is_bounded(&self) -> bool {
        !matches!(self, Self::Linear(_))
    }

    /// Whether the function is a single cosine. A series of one term is one.
    pub fn is_cosine(&self) -> bool {
        match self {
            Self::Cosine(_) => true,
            Self::Fourier(fourier) => fourier.terms == 1,
            Self::Linear(_) | Self::Sigmoid(_) => false,
        }
    }

    /// Whether two functions compute the same mask from the same learned tensors. They may differ in
    /// what the tensors begin with.
    pub fn computes_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fourier(one), Self::Fourier(other)) => one.terms == other.terms,
            (Self::Linear(_), Self::Linear(_)) | (Self::Sigmoid(_), Self::Sigmoid(_)) => true,
            _ => self.is_cosine() && other.is_cosine(),
        }
    }

    /// The parameters of a mask with this many values.
    pub fn parameters(&self, values: usize) -> Vec<FunctionParameter> {
        let mut parameters = vec![FunctionParameter {
            name: SHIFT,
            count: values,
            initial: self.shift_init(),
            nearly_open: self.nearly_open_shift(),
        }];
        match self {
            Self::Cosine(_) | Self::Linear(_) | Self::Sigmoid(_) => {}
            Self::Fourier(fourier) => parameters.extend(fourier.parameters(values)),
        }
        parameters
    }
}

impl fmt::Display for MaskFunction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cosine(_) | Self::Linear(_) | Self::Sigmoid(_) => {
                write!(formatter, "\"{}\"", self.name())
            }
            Self::Fourier(fourier) => {
                write!(
                    formatter,
                    "\"{}\" with {} terms",
                    self.name(),
                    fourier.terms
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_compute_the_same() {
        let cosine = |shift_init| {
            MaskFunction::Cosine(Cosine {
                shift_init,
                ..Cosine::default()
            })
        };
        let linear = || MaskFunction::Linear(Linear::default());
        let sigmoid = || MaskFunction::Sigmoid(Sigmoid::default());
        let fourier = |terms| {
            MaskFunction::Fourier(Fourier {
                terms,
                ..Fourier::default()
            })
        };
        let same = [
            (cosine(0.0), cosine(1.0)),
            (cosine(0.0), fourier(1)),
            (fourier(1), cosine(0.0)),
            (fourier(3), fourier(3)),
            (linear(), linear()),
            (sigmoid(), sigmoid()),
        ];
        assert!(same.iter().all(|(one, other)| one.computes_same_as(other)));
        let different = [
            (cosine(0.0), fourier(2)),
            (fourier(2), cosine(0.0)),
            (fourier(2), fourier(3)),
            (linear(), cosine(0.0)),
            (cosine(0.0), sigmoid()),
            (sigmoid(), linear()),
        ];
        let none = |(one, other): &(MaskFunction, MaskFunction)| !one.computes_same_as(other);
        assert!(different.iter().all(none));
    }
}
