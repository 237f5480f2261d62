//! Products of one or a few tokens with weights that are read from memory once.
//!
//! Reading the weights bounds the time of such a product. Rows are contiguous, 16-bit weights are
//! widened in registers, and tasks of fixed sizes go to the threads of a [`Team`].

mod by_input;
mod columns;
mod feed_forward;
mod format;
mod kernel;
mod lanes;
mod many;
mod matrix;
mod padded;
mod sum_parts;
mod widen;

pub use by_input::ByInput;
pub use columns::Columns;
pub use feed_forward::FeedForward;
pub use format::Format;
pub use matrix::Matrix;

#[cfg(doc)]
use crate::team::Team;
