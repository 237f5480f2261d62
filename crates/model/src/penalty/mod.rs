//! Penalties: terms of the training loss that make masks drop activations.
//!
//! A penalty is a mean over the elements of the unrounded mask `M`, averaged over the modules and
//! multiplied by a coefficient. To add one, add a variant of [`PenaltyKind`].

mod control;
mod settings;

pub use control::Control;
pub use settings::{Penalty, PenaltyKind, check_floor};
