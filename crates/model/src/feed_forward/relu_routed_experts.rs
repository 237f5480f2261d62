//! Experts with a ReLU router.

use serde::{Deserialize, Serialize};

use super::auxiliary::AdaptiveCoefficient;
use super::expert_activation::ExpertActivation;
use crate::problem::{Checks, MOST_EXPERTS, above};

/// Experts with the gates `relu(router · x)`. A token uses the experts with a positive gate; their number
/// is learned. The auxiliary loss is the mean over tokens and layers of the sum of the gates. Its
/// coefficient adapts to bring the share of positive gates to a target.
///
/// From Wang et al., "ReMoE: fully differentiable mixture-of-experts with ReLU routing" (2024),
/// without its optional load balancing.
///
/// Where the experts have ReLU, a second term of the loss can make their hidden units sparse: the mean over the
/// units of all experts, tokens and layers. Units of an expert that a token does not use count as 0, and the gates
/// do not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReluRoutedExperts {
    /// Number of experts.
    pub experts: usize,
    /// Hidden units of each expert; four times the width if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// What the experts apply to their up projection.
    #[serde(skip_serializing_if = "ExpertActivation::is_gelu")]
    pub activation: ExpertActivation,
    /// The coefficient of the mean over the hidden units; at least 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub penalty: f64,
    /// The target of the share of positive gates; above 0, at most 1.
    pub target_density: f64,
    /// The coefficient of the first step; above 0.
    pub initial_coefficient: f64,
    /// The factor by which a step multiplies or divides the coefficient; above 1.
    pub coefficient_factor: f64,
}

fn is_zero(penalty: &f64) -> bool {
    *penalty == 0.0
}

impl Default for ReluRoutedExperts {
    /// Eight experts with a target of a quarter, and the coefficients of the paper.
    fn default() -> Self {
        Self {
            experts: 8,
            hidden: None,
            activation: ExpertActivation::Gelu,
            penalty: 0.0,
            target_density: 0.25,
            initial_coefficient: 1e-8,
            coefficient_factor: 1.2,
        }
    }
}

impl ReluRoutedExperts {
    pub(super) fn coefficient(&self) -> AdaptiveCoefficient {
        AdaptiveCoefficient {
            initial: self.initial_coefficient,
            factor: self.coefficient_factor,
            target_density: self.target_density,
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("experts", self.experts, 1..=MOST_EXPERTS);
        let shares = above(0.0).up_to(1.0).called("a share");
        checks.range("target_density", self.target_density, shares);
        checks.range("initial_coefficient", self.initial_coefficient, above(0.0));
        let factors = above(1.0).advice("the paper's is 1.2");
        checks.range("coefficient_factor", self.coefficient_factor, factors);
        checks.range("penalty", self.penalty, 0.0..);
        let sparse = self.activation == ExpertActivation::Relu;
        let expected =
            "only units with activation = \"relu\" become 0; choose it, or leave the penalty out";
        checks.ensure(
            sparse || is_zero(&self.penalty),
            "penalty",
            self.penalty,
            expected,
        );
    }
}
