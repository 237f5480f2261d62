//! The rows of the tokens of a group.

use crate::matrix::View;
use crate::scratch::{Scratch, scratch};

/// Tokens of a group that are multiplied together: their rows and the group's weights share the
/// second-level cache.
pub(super) const CHUNK: usize = 96;

/// Pieces of about the same length, none longer than [`CHUNK`].
pub(super) fn chunks(tokens: &[u32]) -> std::slice::Chunks<'_, u32> {
    let pieces = tokens.len().div_ceil(CHUNK).max(1);
    // A multiple of what every engine computes together, or of most of it.
    let length = tokens.len().div_ceil(pieces).next_multiple_of(8);
    tokens.chunks(length.max(8))
}

/// The rows of some tokens, one after the other: where they lie, if they do so there.
pub(super) fn gather<'a>(
    x: &'a [f32],
    tokens: &[u32],
    width: usize,
    buffer: &'a mut Option<Scratch>,
) -> View<'a> {
    let row = |token: u32| &x[token as usize * width..];
    if let [first, .., last] = *tokens
        && (last - first) as usize == tokens.len() - 1
    {
        return View::new(row(first), tokens.len(), width, width);
    }
    let buffer = buffer.insert(scratch(tokens.len() * width));
    for (output, &token) in buffer.chunks_exact_mut(width).zip(tokens) {
        output.copy_from_slice(&row(token)[..width]);
    }
    View::new(buffer, tokens.len(), width, width)
}
