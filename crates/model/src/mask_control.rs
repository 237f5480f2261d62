//! Controls: what holds the kept share of a mask at a target.
//!
//! A penalty pushes a mask's values down and adapts its coefficient (see [`penalty`](crate::penalty)). A
//! control acts on the rounding instead, and adds nothing to the loss. To add one, add a variant of [`MaskControl`].

use serde::{Deserialize, Serialize};

use crate::problem::{Checks, above};

/// The name of a moving threshold's tensor, after the mask's prefix.
pub const THRESHOLD: &str = "threshold";

/// The choice of control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MaskControl {
    /// A threshold that moves with the kept share.
    Threshold(ThresholdControl),
}

/// A threshold `θ` that is not trained, but moves after each optimizer step:
///
/// ```text
/// a value is kept where 2 M − 1 > θ
/// θ += rate · sign(kept share of the step − target)
/// ```
///
/// The threshold begins at 0, where a value is kept if `M > 0.5`. It is a tensor of the mask, so checkpoints
/// hold it and inference uses it. Balancing the load of experts in this way is from Wang et al.,
/// "Auxiliary-loss-free load balancing strategy for mixture-of-experts" (2024).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdControl {
    /// The kept share to hold, above 0 and below 1.
    pub target: f64,
    /// How far the threshold moves in a step; above 0.
    #[serde(default = "default_rate")]
    pub rate: f64,
    /// Which masks share a threshold.
    #[serde(default)]
    pub over: ControlOver,
}

/// Which masks share a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlOver {
    /// Every mask has its own: every layer keeps the target share.
    #[default]
    Mask,
    /// All masks of a site have the same one, which moves with the mean of their kept shares: layers may keep
    /// different shares.
    Site,
}

/// The rate of the study that the recipe comes from.
fn default_rate() -> f64 {
    3e-3
}

impl ThresholdControl {
    /// A control with this target and the default rate, for each mask.
    pub fn new(target: f64) -> Self {
        Self {
            target,
            rate: default_rate(),
            over: ControlOver::Mask,
        }
    }

    /// The threshold after a step in which the share `kept` was kept.
    ///
    /// ```
    /// use learned_dropout_model::mask_control::ThresholdControl;
    /// let control = ThresholdControl { rate: 0.25, ..ThresholdControl::new(0.5) };
    /// assert_eq!([0.75, 0.5, 0.0].map(|kept| control.next(1.0, kept)), [1.25, 1.0, 0.75]);
    /// ```
    pub fn next(&self, threshold: f32, kept: f64) -> f32 {
        let error = kept - self.target;
        if error == 0.0 {
            threshold
        } else {
            (f64::from(threshold) + self.rate * error.signum()) as f32
        }
    }
}

impl MaskControl {
    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Threshold(_) => "threshold",
        }
    }

    /// Records every problem with the settings.
    pub fn check(&self, checks: &mut Checks) {
        match self {
            Self::Threshold(control) => {
                let shares = above(0.0).below(1.0).called("a share");
                checks.range("target", control.target, shares);
                let rates = above(0.0).up_to(1.0).advice("3e-3 is the default");
                checks.range("rate", control.rate, rates);
            }
        }
    }
}
