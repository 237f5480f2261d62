//! Sums over groups of weights, computed in parts by all threads of a team.

use std::ops::Range;

use crate::scratch::scratch;
use crate::shared::Shared;
use crate::team::Team;

/// The fewest weights of a part of the groups: the sums of each part are written to memory.
const PART: usize = 1 << 17;

/// The most parts.
const PARTS: usize = 16;

/// Adds the products of some groups to sums `[tokens, stride]`, which are 0 at first.
pub(super) type Each<'a> = &'a (dyn Fn(Range<usize>, &mut [f32]) + Sync);

/// Writes the sums over all groups to `y`, `[tokens, width]`. There are `groups` groups with
/// `weights` weights in all. The number and the order of the parts do not depend on the team.
pub(super) fn sum_parts(
    team: &Team,
    y: &mut [f32],
    (width, stride): (usize, usize),
    (groups, weights): (usize, usize),
    each: Each<'_>,
) {
    let tokens = y.len() / width;
    let parts = (weights / PART).clamp(1, PARTS);
    // A power of two, which is a multiple of most numbers of threads.
    let parts = 1 << parts.ilog2();
    let of_part = groups.div_ceil(parts).max(1);
    let mut sums = scratch(parts * tokens * stride);
    let shared = Shared::new(&mut sums);
    team.run(parts, &|part| {
        // SAFETY: each part has its own sums.
        let sums = unsafe { shared.slice(part * tokens * stride, tokens * stride) };
        sums.fill(0.0);
        let first = (part * of_part).min(groups);
        each(first..(first + of_part).min(groups), sums);
    });
    for (token, y) in y.chunks_exact_mut(width).enumerate() {
        let of_token = |part: usize| &sums[(part * tokens + token) * stride..][..width];
        y.copy_from_slice(of_token(0));
        for part in 1..parts {
            for (y, sum) in y.iter_mut().zip(of_token(part)) {
                *y += sum;
            }
        }
    }
}
