//! The mixture of experts with token choice.

use serde::{Deserialize, Serialize};

use crate::problem::{Checks, LARGEST_DIMENSION, MOST_EXPERTS, above};

/// A mixture of experts of which each token takes the best few; no token is ever dropped.
///
/// The gates are the softmax of the router's scores over the chosen experts, times `scaling`. The auxiliary loss is
/// that of Fedus et al., "Switch Transformers" (2021), summed over the layers: `experts · Σ f P`
/// over the experts, with `f` the share of all choices that fell on an expert and `P` its mean
/// probability. It is 1 where the load is even.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureOfExperts {
    /// Number of experts.
    pub experts: usize,
    /// Experts that each token takes.
    pub active: usize,
    /// Hidden units of each expert; four times the width where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Hidden units of a further expert that every token takes, with gate 1; 0 for none.
    pub shared: usize,
    /// What the gates are multiplied by; above 0. Gates whose sum is 1 make the output of several
    /// experts smaller than that of a dense layer of as many units: with `active` both are as large
    /// as each other in a new model.
    pub scaling: f64,
    /// What the auxiliary loss is multiplied by; at least 0.
    pub balance: f64,
}

impl Default for MixtureOfExperts {
    /// Two of eight experts.
    fn default() -> Self {
        Self {
            experts: 8,
            active: 2,
            hidden: None,
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
