//! The feed-forward of [`feed_forward`](crate::feed_forward) whose hidden units come in groups, each
//! computed only for the tokens that keep it.
//!
//! The rows of the tokens of a group are gathered and multiplied by the group's weights. Its hidden
//! units then go through the weights that lead back to the channels, and what comes out is added to
//! the rows of its tokens: a block of channels after the other, which stays in the cache while all
//! groups are added to it in their order.

mod backward;
mod forward;

use std::ops::Range;

use rayon::prelude::*;

pub use backward::{Gradients, backward};
pub(crate) use forward::forward_packed;
pub use forward::{Prepared, forward};

use crate::feed_forward::{Shape, Weights};
use crate::kept_groups::KeptGroups;
use crate::matrix::View;
use crate::product::{Block, Engine, Packed, Precision, multiply_scattered};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::{initialized, uninitialized};

/// Whether the kept share of all pairs of tokens and groups is so small that these kernels are faster
/// than the dense ones, for groups of `group` hidden units.
///
/// The bounds are rounded down from measurements with AVX2, at widths of 256 and 768, of the forward
/// and the backward pass together. Small groups fill no register and gather much for little. The
/// dense kernels of the tile unit are so fast that gathering does not keep up with them; there the
/// bounds are halved, which is an estimate.
pub fn worth_it(group: usize, share: f64, precision: Precision) -> bool {
    let bound = match group {
        32.. => 0.65,
        16.. => 0.55,
        8.. => 0.4,
        4.. => 0.12,
        _ => 0.03,
    };
    let takes_pairs = Engine::of(precision).takes_pairs();
    share <= if takes_pairs { 0.5 * bound } else { bound }
}

/// Tokens of a group that are multiplied together: their rows and the group's weights share the
/// second-level cache.
const CHUNK: usize = 96;

/// The most tokens of a block of the output.
const BLOCK_TOKENS: usize = 512;

/// The most channels of a block of the output.
const BLOCK_CHANNELS: usize = 4 * Block::COLUMNS;

/// Pieces of about the same length, none longer than [`CHUNK`].
fn chunks(tokens: &[u32]) -> std::slice::Chunks<'_, u32> {
    let pieces = tokens.len().div_ceil(CHUNK).max(1);
    // A multiple of what every engine computes together, or of most of it.
    let length = tokens.len().div_ceil(pieces).next_multiple_of(8);
    tokens.chunks(length.max(8))
}

/// The rows of some tokens, one after the other: where they lie, if they do so there.
fn gather<'a>(
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

/// Hidden units of a group.
///
/// # Panics
/// If the lengths or the groups do not fit the shape.
fn units_of_group(x: &[f32], weights: &Weights<'_>, shape: Shape, kept: &KeptGroups) -> usize {
    shape.check(x, weights);
    assert_eq!(kept.tokens(), shape.tokens, "tokens of the kept groups");
    assert!(
        kept.groups() > 0 && shape.hidden.is_multiple_of(kept.groups()),
        "groups do not divide the hidden units"
    );
    shape.hidden / kept.groups()
}

/// The weights of a group, as matrices.
#[derive(Clone, Copy)]
struct GroupWeights<'a> {
    /// `[group, width]`.
    up: View<'a>,
    /// `[width, group]`.
    down: View<'a>,
}

impl<'a> GroupWeights<'a> {
    fn new(weights: &Weights<'a>, shape: Shape, group: usize, index: usize) -> Self {
        let Shape { width, hidden, .. } = shape;
        Self {
            up: View::new(weights.up, hidden, width, width).rows_from(index * group, group),
            down: View::new(weights.down, width, hidden, hidden).part(index * group, group),
        }
    }
}

/// What the groups add up to, `[tokens, width]`: for each token the sum over its groups of its
/// `group` values times the group's matrix `[group, width]`.
///
/// `values` has `group` values for each pair of `kept`, in its order. Groups that no token keeps may
/// have no matrix.
pub(crate) fn add_up<'a>(
    values: &[f32],
    group: usize,
    matrix: impl Fn(usize) -> Option<&'a Packed> + Sync,
    kept: &KeptGroups,
    width: usize,
) -> Vec<f32> {
    let mut sums = uninitialized(kept.tokens() * width);
    let shared = Shared::new(&mut sums);
    let blocks = blocks(kept.tokens(), width);
    blocks
        .into_par_iter()
        .with_max_len(1)
        .for_each(|(tokens, channels)| {
            let columns = channels.len();
            let mut block = scratch(tokens.len() * columns);
            block.fill(0.0);
            for index in 0..kept.groups() {
                let all = kept.of(index);
                let first = all.partition_point(|&token| (token as usize) < tokens.start);
                let count = all[first..].partition_point(|&token| (token as usize) < tokens.end);
                let Some(matrix) = matrix(index).filter(|_| count > 0) else {
                    continue;
                };
                let start = (kept.pairs_before(index) + first) * group;
                let left = View::new(&values[start..], count, group, group);
                let target = Block {
                    values: &mut block,
                    first_row: tokens.start,
                    columns: channels.clone(),
                };
                multiply_scattered(target, &all[first..][..count], left, matrix);
            }
            for (token, row) in tokens.zip(block.chunks_exact(columns)) {
                // SAFETY: each block has its own channels of its own tokens.
                let sums = unsafe { shared.part(token * width + channels.start, columns) };
                sums.write_copy_of_slice(row);
            }
        });
    // SAFETY: the blocks make up all sums, and each was written.
    unsafe { initialized(sums) }
}

/// Blocks of tokens and channels. Sums do not depend on them, so that there may be as many as keep
/// all threads busy.
fn blocks(tokens: usize, width: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let wanted = match rayon::current_num_threads() {
        1 => 1,
        threads => 4 * threads,
    };
    let mut rows = tokens.clamp(1, BLOCK_TOKENS);
    let mut columns = BLOCK_CHANNELS;
    while tokens.div_ceil(rows) * width.div_ceil(columns) < wanted {
        if columns > Block::COLUMNS {
            columns /= 2;
        } else if rows > CHUNK {
            rows /= 2;
        } else {
            break;
        }
    }
    let parts = |all: usize, length: usize| {
        (0..all)
            .step_by(length)
            .map(move |first| first..(first + length).min(all))
    };
    parts(tokens, rows)
        .flat_map(|tokens| parts(width, columns).map(move |channels| (tokens.clone(), channels)))
        .collect()
}
