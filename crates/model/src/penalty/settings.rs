//! The kinds of penalty, and the schedule of the coefficient.

use kernels::mask::Moment;
use serde::{Deserialize, Serialize};

use crate::problem::{Checks, above};

/// The function of `M` that is averaged over the elements of a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyKind {
    /// `M² / 2`, as in the original write-up.
    #[default]
    Squared,
    /// `M`.
    Linear,
    /// `−M log₂(M + 1e-9)`: pushes values to 0 or 1 instead of only towards 0.
    Entropy,
}

impl PenaltyKind {
    /// The moment by which a kernel computes this mean; none if no kernel does.
    pub fn moment(&self) -> Option<Moment> {
        match self {
            Self::Squared => Some(Moment::Squared),
            Self::Linear => Some(Moment::Linear),
            Self::Entropy => Some(Moment::Entropy),
        }
    }
}

/// A penalty and the schedule of its coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Penalty {
    /// The function of `M` that is averaged.
    pub kind: PenaltyKind,
    /// The coefficient, or its upper bound if `exponential_rate` is given; at least 0.
    pub coefficient: f64,
    /// Makes the coefficient grow with the steps:
    /// `min(exp(rate · step) + minimum − 1, coefficient)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_rate: Option<f64>,
    /// The coefficient at step 0 of the exponential schedule; 0 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// Steps over which the coefficient rises linearly from 0; no warm-up if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<u64>,
    /// The target share of mask values that inference keeps, in (0, 1). The coefficient adapts to reach
    /// it; see [`Control`](super::Control).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_kept: Option<f64>,
    /// Steps after the warm-up over which the target falls linearly from 1 to `target_kept`. If left out,
    /// it is `target_kept` from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_steps: Option<u64>,
    /// The lowest mean that a mask value should have over the tokens of a batch, in (0, 0.5]. A penalty
    /// raises values with a lower mean, so that no group of channels is dropped for ever. None if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// Coefficient of the mean shortfall below the floor; 1 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_coefficient: Option<f64>,
}

impl Default for Penalty {
    /// The penalty of the original write-up: squared, with the constant coefficient 0.1.
    fn default() -> Self {
        Self {
            kind: PenaltyKind::Squared,
            coefficient: 0.1,
            exponential_rate: None,
            minimum: None,
            warmup: None,
            target_kept: None,
            target_steps: None,
            floor: None,
            floor_coefficient: None,
        }
    }
}

impl Penalty {
    /// The coefficient at an optimizer step (the first is 0), before any adaptation to a target.
    ///
    /// ```
    /// use learned_dropout_model::penalty::Penalty;
    /// let constant = Penalty::default();
    /// assert_eq!(constant.coefficient_at(12), 0.1);
    /// let growing = Penalty { exponential_rate: Some(1e-3), ..Penalty::default() };
    /// assert_eq!(growing.coefficient_at(0), 0.0);
    /// assert_eq!(growing.coefficient_at(1), 1e-3_f64.exp() - 1.0);
    /// assert_eq!(growing.coefficient_at(1_000_000), 0.1);
    /// let warmed_up = Penalty { warmup: Some(4), ..Penalty::default() };
    /// assert_eq!([0, 1, 4, 9].map(|step| warmed_up.coefficient_at(step)), [0.0, 0.025, 0.1, 0.1]);
    /// ```
    pub fn coefficient_at(&self, step: u64) -> f64 {
        let coefficient = match self.exponential_rate {
            None => self.coefficient,
            Some(rate) => ((rate * step as f64).exp() + self.minimum.unwrap_or(0.0) - 1.0)
                .min(self.coefficient),
        };
        match self.warmup {
            Some(warmup) if step < warmup => coefficient * (step as f64 / warmup as f64),
            _ => coefficient,
        }
    }

    /// The target of the kept share at an optimizer step (the first is 0); none without a target.
    ///
    /// ```
    /// use learned_dropout_model::penalty::Penalty;
    /// let penalty = Penalty {
    ///     warmup: Some(10), target_kept: Some(0.5), target_steps: Some(8), ..Penalty::default()
    /// };
    /// let targets = [0, 10, 14, 18, 99].map(|step| penalty.target_at(step));
    /// assert_eq!(targets, [1.0, 1.0, 0.75, 0.5, 0.5].map(Some));
    /// ```
    pub fn target_at(&self, step: u64) -> Option<f64> {
        let target = self.target_kept?;
        let since = step.saturating_sub(self.warmup.unwrap_or(0));
        let left = match self.target_steps {
            Some(steps) if since < steps => 1.0 - since as f64 / steps as f64,
            _ => 0.0,
        };
        Some(target + left * (1.0 - target))
    }

    /// What the mean shortfall below the floor is multiplied by; none without a floor.
    pub fn floor_weight(&self) -> Option<f64> {
        self.floor.map(|_| self.floor_coefficient.unwrap_or(1.0))
    }

    /// Records what no training can be done with.
    pub fn check(&self, checks: &mut Checks) {
        checks.range("coefficient", self.coefficient, 0.0..);
        checks.range("exponential_rate", self.exponential_rate, 0.0..);
        checks.range("minimum", self.minimum, 0.0..);
        if let (Some(minimum), None) = (self.minimum, self.exponential_rate) {
            let expected =
                "only the exponential schedule has one; add exponential_rate or leave it out";
            checks.wrong("minimum", minimum, expected);
        }
        let shares = above(0.0).below(1.0).called("a share");
        let shares = shares.advice("leave it out for no target");
        checks.range("target_kept", self.target_kept, shares);
        if let Some(target) = self.target_kept {
            let directed = self.kind != PenaltyKind::Entropy;
            let expected =
                "the entropy pushes to both sides, not towards a share; choose another kind";
            checks.ensure(directed, "target_kept", target, expected);
            let adaptable = self.coefficient != 0.0;
            let expected = "expected above 0: it is what is adapted to reach target_kept";
            checks.ensure(adaptable, "coefficient", self.coefficient, expected);
        }
        if let (Some(steps), None) = (self.target_steps, self.target_kept) {
            let expected = "there is no target to reach; add target_kept or leave it out";
            checks.wrong("target_steps", steps, expected);
        }
        check_floor(self.floor, checks);
        checks.range("floor_coefficient", self.floor_coefficient, 0.0..);
        if let (Some(coefficient), None) = (self.floor_coefficient, self.floor) {
            let expected = "there is no floor; add floor or leave it out";
            checks.wrong("floor_coefficient", coefficient, expected);
        }
    }
}

/// Checks the lowest mean of a mask value, under the key `floor`.
pub fn check_floor(floor: Option<f64>, checks: &mut Checks) {
    let means = above(0.0).up_to(0.5).called("a mean mask");
    checks.range("floor", floor, means.advice("leave it out for none"));
}
