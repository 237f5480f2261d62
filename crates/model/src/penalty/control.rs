//! The coefficient that adapts until a share of mask values is kept.

use serde::{Deserialize, Serialize};

use super::settings::Penalty;

/// How much the factor of the coefficient gains per step and unit of error, lastingly.
const LASTING: f64 = 0.1;
/// How much it gains per unit of error, for as long as the error is there.
const PASSING: f64 = 10.0;
/// The bound of the lasting part.
const BOUND: f64 = 50.0;

/// Adapts the coefficient of a [`Penalty`] with a target: a proportional-integral controller.
///
/// ```text
/// error        = kept − target
/// pressure    += 0.1 · error
/// coefficient  = scheduled coefficient · (1 + pressure + 10 · error)
/// ```
///
/// Where masks would drop more than the target on their own, the coefficient becomes negative and
/// pulls them up. What is compared with the target is the share of mask values of at least 0.5: what
/// is kept at inference. The state is a part of a checkpoint, so a resumed run goes on with the same
/// bits.
///
/// ```
/// use learned_dropout_model::penalty::{Control, Penalty};
/// let penalty = Penalty { target_kept: Some(0.25), ..Penalty::default() };
/// let mut control = Control::default();
/// assert_eq!(control.coefficient(&penalty, 0), 0.1);
/// control.observe(&penalty, 0, 0.75);
/// assert_eq!(control, Control { pressure: 0.05, error: 0.5 });
/// assert_eq!(control.coefficient(&penalty, 1), 0.1 * (1.0 + 0.05 + 5.0));
/// control.observe(&penalty, 1, 0.0);
/// assert!(control.coefficient(&penalty, 2) < 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The lasting part of what the scheduled coefficient is multiplied by, less 1.
    pub pressure: f64,
    /// The error of the last step: kept share less its target.
    pub error: f64,
}

impl Control {
    /// The coefficient at an optimizer step (the first is 0).
    pub fn coefficient(&self, penalty: &Penalty, step: u64) -> f64 {
        penalty.coefficient_at(step) * (1.0 + self.pressure + PASSING * self.error)
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
