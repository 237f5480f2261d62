//! The mixture of experts with token choice.

use serde::{Deserialize, Serialize};

use super::expert_activation::ExpertActivation;
use crate::problem::{Checks, LARGEST_DIMENSION, MOST_EXPERTS, above};

/// A mixture of experts: each token chooses the experts with the best scores. No token is dropped.
///
/// The gates are the softmax of the router's scores over the chosen experts, times `scaling`. The
/// auxiliary loss is that of Fedus et al., "Switch Transformers" (2021), summed over the layers:
/// `experts · Σ f P` over the experts, where `f` is the share of all choices that fell on an expert and
/// `P` its mean probability. It is 1 for an even load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureOfExperts {
    /// Number of experts.
    pub experts: usize,
    /// Number of experts that each token chooses.
    pub active: usize,
    /// Hidden units of each expert; four times the width if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// What all experts apply to their up projection.
    #[serde(skip_serializing_if = "ExpertActivation::is_gelu")]
    pub activation: ExpertActivation,
    /// Hidden units of an additional expert that every token uses, with gate 1; 0 for none.
    pub shared: usize,
    /// Factor of the gates; above 0. The gates of a token sum to 1, so the output of several experts is
    /// smaller than that of a dense layer with as many units. With `scaling` equal to `active`, both are
    /// equally large in a new model.
    pub scaling: f64,
    /// Coefficient of the auxiliary loss; at least 0.
    pub balance: f64,
}

impl Default for MixtureOfExperts {
    /// Two of eight experts.
    fn default() -> Self {
        Self {
            experts: 8,
            active: 2,
            hidden: None,
            activation: ExpertActivation::Gelu,
            shared: 0,
            scaling: 1.0,
            balance: 0.01,
        }
    }
}

impl MixtureOfExperts {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("experts", self.experts, 1..=MOST_EXPERTS);
        checks.range("active", self.active, 1..=self.experts.max(1));
        checks.range("shared", self.shared, 0..=LARGEST_DIMENSION);
        checks.range("scaling", self.scaling, above(0.0));
        checks.range("balance", self.balance, 0.0..);
    }
}
