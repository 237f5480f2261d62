//! A controller that adapts the penalty's coefficient to keep a target share of mask values.

use serde::{Deserialize, Serialize};

use super::settings::Penalty;

/// Gain of the integral part: added to the pressure per step and unit of error.
const INTEGRAL_GAIN: f64 = 0.1;
/// Gain of the proportional part: per unit of the last error.
const PROPORTIONAL_GAIN: f64 = 10.0;
/// Largest magnitude of the integral part.
const PRESSURE_LIMIT: f64 = 50.0;

/// Adapts the coefficient of a [`Penalty`] with a target: a proportional-integral controller.
///
/// ```text
/// error        = kept − target
/// pressure    += 0.1 · error
/// coefficient  = scheduled coefficient · (1 + pressure + 10 · error)
/// ```
///
/// `kept` is the share that inference keeps: mask values of at least 0.5. If masks drop more than the
/// target without any penalty, the coefficient becomes negative and raises them. Checkpoints hold the
/// state, so a resumed run continues with the same bits.
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
    /// The integral part of the coefficient's factor.
    pub pressure: f64,
    /// The error of the last step: the kept share minus its target.
    pub error: f64,
}

impl Control {
    /// The coefficient at an optimizer step (the first is 0).
    pub fn coefficient(&self, penalty: &Penalty, step: u64) -> f64 {
        penalty.coefficient_at(step) * (1.0 + self.pressure + PROPORTIONAL_GAIN * self.error)
    }

    /// Updates the state with the share that was kept in a step. During the warm-up the state does not
    /// change, since the kept share does not show the effect of the full penalty.
    pub fn observe(&mut self, penalty: &Penalty, step: u64, kept: f64) {
        let Some(target) = penalty.target_at(step) else {
            return;
        };
        if step < penalty.warmup.unwrap_or(0) {
            return;
        }
        self.error = kept - target;
        self.pressure =
            (self.pressure + INTEGRAL_GAIN * self.error).clamp(-PRESSURE_LIMIT, PRESSURE_LIMIT);
    }
}
