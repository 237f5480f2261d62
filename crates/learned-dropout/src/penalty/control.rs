//! The coefficient that adapts until a share of mask values is kept.

use serde::{Deserialize, Serialize};

use super::Penalty;

/// How much the logarithm of the coefficient gains per step and unit of error, lastingly.
const LASTING: f64 = 0.02;
/// How much it gains per unit of error, for as long as the error is there.
const PASSING: f64 = 4.0;
/// The bound of the lasting part: factors of a thousand.
const BOUND: f64 = 6.9;

/// Adapts the coefficient of a [`Penalty`] with a target: a proportional-integral controller of
/// its logarithm.
///
/// ```text
/// error        = kept − target
/// pressure    += 0.02 · error
/// coefficient  = scheduled coefficient · exp(pressure + 4 · error)
/// ```
///
/// What is compared with the target is the share of mask values of at least 0.5: what is kept at
/// inference. The state is a part of a checkpoint, so a resumed run goes on with the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The lasting part of the logarithm of what the scheduled coefficient is multiplied by.
    pub pressure: f64,
    /// The error of the last step: kept share less its target.
    pub error: f64,
}

impl Control {
    /// The coefficient at an optimizer step (the first is 0).
    pub fn coefficient(&self, penalty: &Penalty, step: u64) -> f64 {
        penalty.coefficient_at(step) * (self.pressure + PASSING * self.error).exp()
    }

    /// Takes in the share that was kept in a step. Nothing adapts in the warm-up: while the penalty
    /// is held back, what it reaches says nothing about it.
    pub fn observe(&mut self, penalty: &Penalty, step: u64, kept: f64) {
        let Some(target) = penalty.target_at(step) else {
            return;
        };
        if step < penalty.warmup.unwrap_or(0) {
            return;
        }
        self.error = kept - target;
        self.pressure = (self.pressure + LASTING * self.error).clamp(-BOUND, BOUND);
    }
}
