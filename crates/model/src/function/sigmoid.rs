//! The sigmoid mask function.

use serde::{Deserialize, Serialize};

use super::shift::{Shift, is_learned};
use crate::problem::Checks;

/// `M = sigmoid(z + B)`.
///
/// With the rounding [`None`](crate::Rounding::None) it is a gate that drops nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sigmoid {
    /// Initial value of every element of `B`.
    pub shift_init: f64,
    /// Whether `B` is learned.
    #[serde(skip_serializing_if = "is_learned")]
    pub shift: Shift,
}

impl Sigmoid {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("shift_init", self.shift_init, -100.0..=100.0);
    }
}
