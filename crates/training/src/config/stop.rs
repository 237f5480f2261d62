//! The table `[train.stop]`: when a run ends before its last step.

use model::problem::{Checks, above};
use serde::{Deserialize, Serialize};

use super::train::MOST_STEPS;

/// When a run ends before its last step; see [`crate::early_stop`]. By default it does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopConfig {
    /// The run ends after so many evaluations in a row without a new lowest validation loss; never if
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// How much lower than the lowest so far a validation loss must be to count, in nats per token.
    pub threshold: f64,
    /// The run ends after so many minutes of training, summed over all times that it was resumed; never
    /// if left out. Time before the run had this bound does not count, nor does what a killed process did
    /// after its last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
}

impl StopConfig {
    /// Whether the run goes on to its last step.
    pub fn is_never(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("patience", self.patience, 1..=MOST_STEPS);
        checks.range("threshold", self.threshold, 0.0..);
        checks.ensure(
            self.patience.is_some() || self.threshold == 0.0 || self.threshold.is_nan(),
            "threshold",
            self.threshold,
            "only train.stop.patience uses it; set that too, or leave it out",
        );
        let minutes = above(0.0).advice("leave it out for no bound");
        checks.range("minutes", self.minutes, minutes);
    }
}
