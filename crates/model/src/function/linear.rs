//! The linear mask function.

use serde::{Deserialize, Serialize};

use super::shift::{Shift, is_learned};
use crate::problem::Checks;

/// `M = 0.5 (z + B) + 0.5`, so that `2 M − 1 = z + B`.
///
/// `M` can lie outside [0, 1]. Therefore only the roundings that compare it with a threshold go with it. With
/// the rounding [`Carried`](crate::Rounding::Carried) the gate is `max(0, z + B − θ)`, a ReLU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// Initial value of every element of `B`.
    pub shift_init: f64,
    /// Whether `B` is learned.
    #[serde(skip_serializing_if = "is_learned")]
    pub shift: Shift,
}

impl Linear {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("shift_init", self.shift_init, -100.0..=100.0);
    }
}
