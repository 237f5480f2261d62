//! The rows of the tokens of a group.

use crate::matrix::View;
use crate::scratch::{Scratch, scratch};

/// The most tokens of a group that are multiplied at once. Their rows and the group's weights share
/// the second-level cache.
pub(super) const CHUNK: usize = 96;

/// Chunks of similar lengths of at most [`CHUNK`] tokens.
pub(crate) fn chunks(tokens: &[u32]) -> std::slice::Chunks<'_, u32> {
    let pieces = tokens.len().div_ceil(CHUNK).max(1);
    // Engines compute multiples of 8 rows at a time, or multiples of 6 or 4.
    let length = tokens.len().div_ceil(pieces).next_multiple_of(8);
    tokens.chunks(length.max(8))
}

/// The rows of some tokens, copied to `buffer` one after the other unless they are contiguous already.
pub(crate) fn gather<'a>(
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
