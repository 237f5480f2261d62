//! Some neighbouring channels of every token, and their place among the others.

use std::ops::Range;

use crate::uninitialized::{Uninit, as_init, from_chunks};

/// Elements of one task, about.
const CHUNK: usize = 1 << 14;

/// The channels in `range` of `x`, `[tokens, channels]`: `[tokens, range]`.
///
/// # Panics
/// If `x` is not whole rows, or the range is empty or not among the channels.
pub fn select(x: &[f32], channels: usize, range: Range<usize>) -> Vec<f32> {
    check(channels, &range);
    assert!(x.len().is_multiple_of(channels), "whole rows");
    let (tokens, count) = (x.len() / channels, range.len());
    let rows = (CHUNK / channels).max(1);
    from_chunks(tokens * count, rows * count, |index, output| {
        let x = x[index * rows * channels..].chunks_exact(channels);
        for (output, x) in output.chunks_exact_mut(count).zip(x) {
            output.copy_from_slice(as_init(&x[range.clone()]));
        }
        // SAFETY: the chunk is whole rows, and there is a row of `x` for each.
        unsafe { output.assume_init_mut() }
    })
}

/// `selected`, `[tokens, range]`, in its place among `channels`, of which the others are 0. This is the gradient
/// of [`select`].
///
/// # Panics
/// If `selected` is not whole rows, or the range is empty or not among the channels.
pub fn place(selected: &[f32], channels: usize, range: Range<usize>) -> Vec<f32> {
    check(channels, &range);
    assert!(selected.len().is_multiple_of(range.len()), "whole rows");
    let (tokens, count) = (selected.len() / range.len(), range.len());
    let rows = (CHUNK / channels).max(1);
    from_chunks(tokens * channels, rows * channels, |index, output| {
        let selected = selected[index * rows * count..].chunks_exact(count);
        for (output, selected) in output.chunks_exact_mut(channels).zip(selected) {
            output[..range.start].fill(Uninit::new(0.0));
            output[range.clone()].copy_from_slice(as_init(selected));
            output[range.end..].fill(Uninit::new(0.0));
        }
        // SAFETY: the chunk is whole rows, and there is a row of `selected` for each.
        unsafe { output.assume_init_mut() }
    })
}

fn check(channels: usize, range: &Range<usize>) {
    assert!(
        !range.is_empty() && range.end <= channels,
        "{range:?} of {channels} channels"
    );
}
