//! The sum of the groups of each token.

use std::ops::Range;

use rayon::prelude::*;

use super::gather::CHUNK;
use crate::kept_groups::KeptGroups;
use crate::matrix::View;
use crate::product::{OutputBlock, Packed, multiply_scattered};
use crate::scratch::scratch;
use crate::shared::Shared;
use crate::uninitialized::{initialized, uninitialized};

/// The most tokens of a block of the output.
const BLOCK_TOKENS: usize = 512;

/// The most channels of a block of the output.
const BLOCK_CHANNELS: usize = 4 * OutputBlock::COLUMNS;

/// The sums over the groups of each token, `[tokens, width]`, of the group's `group` values times
/// the group's matrix `[group, width]`.
///
/// - `values`: `group` values for each pair of `kept`, in its order
/// - `matrix`: the matrix of a group; groups that no token keeps need none
pub(crate) fn sum_groups<'a>(
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
                let all = kept.tokens_of(index);
                let first = all.partition_point(|&token| (token as usize) < tokens.start);
                let count = all[first..].partition_point(|&token| (token as usize) < tokens.end);
                let Some(matrix) = matrix(index).filter(|_| count > 0) else {
                    continue;
                };
                let start = (kept.pairs_before(index) + first) * group;
                let left = View::new(&values[start..], count, group, group);
                let target = OutputBlock {
                    values: &mut block,
                    first_row: tokens.start,
                    columns: channels.clone(),
                };
                multiply_scattered(target, &all[first..][..count], left, matrix);
            }
            for (token, row) in tokens.zip(block.chunks_exact(columns)) {
                // SAFETY: each block has its own channels of its own tokens.
                let sums = unsafe { shared.slice(token * width + channels.start, columns) };
                sums.write_copy_of_slice(row);
            }
        });
    // SAFETY: the blocks make up all sums, and each was written.
    unsafe { initialized(sums) }
}

/// Blocks of tokens and channels, as many as keep all threads busy. The sums do not depend on them.
fn blocks(tokens: usize, width: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let wanted = match rayon::current_num_threads() {
        1 => 1,
        threads => 4 * threads,
    };
    let mut rows = tokens.clamp(1, BLOCK_TOKENS);
    let mut columns = BLOCK_CHANNELS;
    while tokens.div_ceil(rows) * width.div_ceil(columns) < wanted {
        if columns > OutputBlock::COLUMNS {
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
