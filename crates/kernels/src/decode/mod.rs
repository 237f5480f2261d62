//! Products of one or a few tokens with weights that are read from memory once.
//!
//! Such a product takes as long as reading the weights does. Rows are contiguous, 16-bit weights are
//! widened in registers, and tasks of fixed sizes go to the threads of a [`Team`].

mod by_input;
mod columns;
mod feed_forward;
mod format;
mod kernel;
mod lanes;
mod many;
mod matrix;
mod parts;

pub use by_input::ByInput;
pub use columns::Columns;
pub use feed_forward::FeedForward;
pub use format::Format;
pub use matrix::Matrix;

use crate::scratch::{Scratch, scratch};
use format::LANES;

#[cfg(doc)]
use crate::team::Team;

/// Rows of `width` values, filled up with 0 as rows of weights are.
fn filled_up<'a>(x: &'a [f32], width: usize, buffer: &'a mut Option<Scratch>) -> &'a [f32] {
    let stride = width.next_multiple_of(LANES);
    if stride == width {
        return x;
    }
    let buffer = buffer.insert(scratch(x.len() / width * stride));
    for (row, x) in buffer.chunks_exact_mut(stride).zip(x.chunks_exact(width)) {
        row[..width].copy_from_slice(x);
        row[width..].fill(0.0);
    }
    buffer
}
