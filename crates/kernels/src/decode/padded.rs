//! Inputs in rows that are as long as those of the weights.

use super::format::LANES;
use crate::scratch::{Scratch, scratch};

/// Rows of `width` values, padded with 0 like rows of weights. Copied to `buffer` if they need
/// padding.
pub(super) fn padded<'a>(x: &'a [f32], width: usize, buffer: &'a mut Option<Scratch>) -> &'a [f32] {
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
