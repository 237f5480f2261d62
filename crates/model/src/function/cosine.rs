//! The cosine mask function.

use serde::{Deserialize, Serialize};

use super::parameter::check_shift;
use super::shift::{Shift, is_learned};
use crate::problem::Checks;

/// `M = 0.5 cos(z + B) + 0.5`, with `z` the output of the mask's attention and `B` one
/// shift per channel.
///
/// The function is in [0, 1] for every `z`. It is periodic, so it does not saturate: the mask can
/// still change, however large `z` is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// Initial value of every element of `B`, in [0, π]. Near 0, masks begin close to 1 (nothing
    /// dropped); near π they begin close to 0. It is not clamped afterwards.
    pub shift_init: f64,
    /// Whether `B` is learned.
    #[serde(skip_serializing_if = "is_learned")]
    pub shift: Shift,
}

impl Cosine {
    pub(super) fn check(&self, checks: &mut Checks) {
        check_shift(self.shift_init, checks);
    }
}
