//! Penalties: what the training loss pays for activations that the masks keep.
//!
//! A penalty is a mean over the elements of the unrounded mask `M`, averaged over the modules
//! and multiplied by a coefficient. A new one is a file of its own and a line in
//! [`PenaltyKind`].

mod entropy;
mod linear;
mod squared;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::config::ConfigProblem;
use crate::ops::tensor::Moment;

/// What is averaged over the elements of a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyKind {
    /// `M² / 2`, the seed's.
    #[default]
    Squared,
    /// `M`.
    Linear,
    /// `−M log₂(M + 1e-9)`: pushes to both sides instead of towards 0.
    Entropy,
}

impl PenaltyKind {
    /// The kernel's name for the same mean, where it has one.
    pub(crate) fn moment(&self) -> Option<Moment> {
        match self {
            Self::Squared => Some(Moment::Squared),
            Self::Linear => Some(Moment::Linear),
            Self::Entropy => Some(Moment::Entropy),
        }
    }

    /// The mean over the elements of a mask `[batch, time, channels]`; the result is `[1]`.
    pub fn mean(&self, mask: Tensor<3>) -> Tensor<1> {
        match self {
            Self::Squared => squared::mean(mask),
            Self::Linear => linear::mean(mask),
            Self::Entropy => entropy::mean(mask),
        }
    }
}

/// A penalty and the course of its coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Penalty {
    /// What is averaged over the elements of a mask.
    pub kind: PenaltyKind,
    /// The coefficient, or its upper bound where `exponential_rate` is given; at least 0.
    pub coefficient: f64,
    /// Lets the coefficient grow with the steps:
    /// `min(exp(rate · step) + minimum − 1, coefficient)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_rate: Option<f64>,
    /// The coefficient at step 0 on the exponential schedule; 0 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
}

impl Default for Penalty {
    /// The seed's: squared, with the constant coefficient 0.1.
    fn default() -> Self {
        Self {
            kind: PenaltyKind::Squared,
            coefficient: 0.1,
            exponential_rate: None,
            minimum: None,
        }
    }
}

impl Penalty {
    /// The coefficient at an optimizer step (the first is 0).
    ///
    /// ```
    /// use learned_dropout::penalty::Penalty;
    /// let constant = Penalty::default();
    /// assert_eq!(constant.coefficient_at(12), 0.1);
    /// let growing = Penalty { exponential_rate: Some(1e-3), ..Penalty::default() };
    /// assert_eq!(growing.coefficient_at(0), 0.0);
    /// assert_eq!(growing.coefficient_at(1), 1e-3_f64.exp() - 1.0);
    /// assert_eq!(growing.coefficient_at(1_000_000), 0.1);
    /// ```
    pub fn coefficient_at(&self, step: u64) -> f64 {
        match self.exponential_rate {
            None => self.coefficient,
            Some(rate) => ((rate * step as f64).exp() + self.minimum.unwrap_or(0.0) - 1.0)
                .min(self.coefficient),
        }
    }

    /// Records what no training can be done with.
    pub fn validate(&self, key: &str, problems: &mut Vec<ConfigProblem>) {
        let mut check = |name: &str, value: Option<f64>| {
            if let Some(value) = value
                && !(value >= 0.0 && value.is_finite())
            {
                problems.push(ConfigProblem::new(
                    format!("{key}.{name}"),
                    value,
                    "expected a finite number of at least 0",
                ));
            }
        };
        check("coefficient", Some(self.coefficient));
        check("exponential_rate", self.exponential_rate);
        check("minimum", self.minimum);
        if self.minimum.is_some() && self.exponential_rate.is_none() {
            problems.push(ConfigProblem::new(
                format!("{key}.minimum"),
                self.minimum.unwrap_or_default(),
                "only the exponential schedule has one; add exponential_rate or leave it out",
            ));
        }
    }
}
