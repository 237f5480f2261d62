//! Whether the shift of a mask function is learned.

use serde::{Deserialize, Serialize};

/// Whether the shift `B` of a mask function is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// It is a parameter like any other.
    #[default]
    Learned,
    /// It keeps its initial value. With a moving threshold a learned shift has nothing to add, and works against
    /// it.
    Fixed,
}

pub(super) fn is_learned(shift: &Shift) -> bool {
    *shift == Shift::Learned
}
