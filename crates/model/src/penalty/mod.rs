//! Penalties: what the training loss pays for activations that the masks keep.
//!
//! A penalty is a mean over the elements of the unrounded mask `M`, averaged over the modules and
//! multiplied by a coefficient. A new one is a line in [`PenaltyKind`].

mod control;
mod settings;

pub use control::Control;
pub use settings::{Penalty, PenaltyKind, check_floor};
