//! Causal attention of new tokens to the keys and values of all tokens so far.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::exponential::exp;

/// Fewest multiplications of a query batch that are worth handing to another thread.
const PARALLEL_PRODUCTS: usize = 1 << 16;
/// Queries that a thread takes at a time; later ones see more keys, so small portions balance.
const PORTION: usize = 4;

/// The keys and values of one attention, channel by channel.
///
/// Both are `[width, context]`: the tokens of one channel lie side by side. Scores and sums over
/// tokens then run over whole vectors, whatever the size of a head.
#[derive(Debug)]
pub struct KeyValueCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    width: usize,
    context: usize,
}

impl KeyValueCache {
    /// An empty cache; `None` if the memory for it cannot be had.
    pub fn new(width: usize, context: usize) -> Option<Self> {
        let reserve = || {
            let size = width.checked_mul(context)?;
            let mut values = Vec::new();
            values.try_reserve_exact(size).ok()?;
            values.resize(size, 0.0);
            Some(values)
        };
        Some(Self {
            keys: reserve()?,
            values: reserve()?,
            width,
            context,
        })
    }

    /// Writes the keys and values of the tokens from `start` on.
    ///
    /// `query_key_value: [tokens, 3 · width]`.
    ///
    /// # Panics
    /// If the tokens do not fit into the cache.
    pub fn write(&mut self, start: usize, query_key_value: &[f32]) {
        let width = self.width;
        let tokens = query_key_value.len() / (3 * width);
        assert!(
            start + tokens <= self.context,
            "more tokens than the cache holds"
        );
        for (part, to) in [(1, &mut self.keys), (2, &mut self.values)] {
            for (channel, to) in to.chunks_exact_mut(self.context).enumerate() {
                let rows = query_key_value.chunks_exact(3 * width);
                for (to, row) in to[start..start + tokens].iter_mut().zip(rows) {
                    *to = row[part * width + channel];
                }
            }
        }
    }

    /// Multi-head attention of the tokens from `start` on, each to itself and all before it;
    /// scores are scaled by 1/√(width / heads). Their keys and values must be in the cache.
    ///
    /// `query_key_value: [tokens, 3 · width]`, `out: [tokens, width]`. With `threads` above 1 it
    /// must run inside a rayon pool.
    pub fn attend(
        &self,
        threads: usize,
        heads: usize,
        start: usize,
        query_key_value: &[f32],
        out: &mut [f32],
    ) {
        let width = self.width;
        let tokens = out.len() / width;
        let portion = |first: usize, out: &mut [f32], rows: &[f32]| {
            let arch = Arch::new();
            let mut scores = vec![0.0; start + first + out.len() / width];
            let rows = rows.chunks_exact(3 * width);
            for (token, (out, row)) in out.chunks_exact_mut(width).zip(rows).enumerate() {
                let scores = &mut scores[..=start + first + token];
                arch.dispatch(Attend {
                    cache: self,
                    heads,
                    query: &row[..width],
                    scores,
                    out,
                });
            }
        };
        if threads < 2 || tokens * (start + tokens) * width < PARALLEL_PRODUCTS {
            portion(0, out, query_key_value);
        } else {
            out.par_chunks_mut(PORTION * width)
                .zip(query_key_value.par_chunks(PORTION * 3 * width))
                .enumerate()
                .for_each(|(index, (out, rows))| portion(index * PORTION, out, rows));
        }
    }
}

/// The attention of one query to the first `scores.len()` tokens of a cache.
struct Attend<'a> {
    cache: &'a KeyValueCache,
    heads: usize,
    query: &'a [f32],
    scores: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let size = self.query.len() / self.heads;
        let scale = 1.0 / (size as f32).sqrt();
        let seen = self.scores.len();
        for head in 0..self.heads {
            let channels = head * size..(head + 1) * size;
            self.scores.fill(0.0);
            let row = |channel: usize| &self.cache.keys[channel * self.cache.context..][..seen];
            let query = |channel: usize| self.query[channel] * scale;
            let mut channel = channels.start;
            while channel + 4 <= channels.end {
                let [a, b, c, d] = [channel, channel + 1, channel + 2, channel + 3];
                let queries = [query(a), query(b), query(c), query(d)];
                add_scaled(simd, queries, [row(a), row(b), row(c), row(d)], self.scores);
                channel += 4;
            }
            for channel in channel..channels.end {
                add_scaled(
                    simd,
                    [self.query[channel] * scale],
                    [row(channel)],
                    self.scores,
                );
            }
            let total = exponentials(simd, self.scores);
            let portion = 1.0 / total;
            for channel in channels {
                let values = &self.cache.values[channel * self.cache.context..][..seen];
                self.out[channel] = dot(simd, self.scores, values) * portion;
            }
        }
    }
}

/// `to += Σ_r factors[r] · rows[r]`.
///
/// Loops over constants rather than iterators: closures would not be compiled for the chosen
/// instructions.
#[inline(always)]
fn add_scaled<S: Simd, const ROWS: usize>(
    simd: S,
    factors: [f32; ROWS],
    rows: [&[f32]; ROWS],
    to: &mut [f32],
) {
    let (to, to_tail) = S::as_mut_simd_f32s(to);
    let (mut heads, mut tails) = ([&[][..]; ROWS], [&[][..]; ROWS]);
    let mut splats = [simd.splat_f32s(0.0); ROWS];
    for r in 0..ROWS {
        let (head, tail) = S::as_simd_f32s(rows[r]);
        (heads[r], tails[r]) = (&head[..to.len()], &tail[..to_tail.len()]);
        splats[r] = simd.splat_f32s(factors[r]);
    }
    for step in 0..to.len() {
        let mut sum = to[step];
        for r in 0..ROWS {
            sum = simd.mul_add_e_f32s(heads[r][step], splats[r], sum);
        }
        to[step] = sum;
    }
    for step in 0..to_tail.len() {
        for r in 0..ROWS {
            to_tail[step] += tails[r][step] * factors[r];
        }
    }
}

/// Replaces scores by `exp(score − largest score)` and returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let (head, tail) = S::as_simd_f32s(scores);
    let mut most = simd.splat_f32s(f32::NEG_INFINITY);
    for &part in head {
        most = simd.max_f32s(most, part);
    }
    let mut largest = simd.reduce_max_f32s(most);
    for &score in tail {
        largest = largest.max(score);
    }
    for score in &mut *scores {
        *score = exp(*score - largest);
    }
    let (head, tail) = S::as_simd_f32s(scores);
    let mut parts = simd.splat_f32s(0.0);
    for &part in head {
        parts = simd.add_f32s(parts, part);
    }
    let mut sum = simd.reduce_sum_f32s(parts);
    for score in tail {
        sum += score;
    }
    sum
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let zero = simd.splat_f32s(0.0);
    let ((a_pairs, a_last), (b_pairs, b_last)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
    let mut sums = [zero; 2];
    for (a, b) in a_pairs.iter().zip(b_pairs) {
        sums[0] = simd.mul_add_e_f32s(a[0], b[0], sums[0]);
        sums[1] = simd.mul_add_e_f32s(a[1], b[1], sums[1]);
    }
    for (&a, &b) in a_last.iter().zip(b_last) {
        sums[0] = simd.mul_add_e_f32s(a, b, sums[0]);
    }
    let mut sum = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
    for (a, b) in a_tail.iter().zip(b_tail) {
        sum += a * b;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook formula, in double precision, without a cache.
    fn expected(heads: usize, width: usize, rows: &[f32]) -> Vec<f64> {
        let size = width / heads;
        let tokens = rows.len() / (3 * width);
        let at = |token: usize, part: usize, channel: usize| {
            f64::from(rows[token * 3 * width + part * width + channel])
        };
        let mut out = vec![0.0; tokens * width];
        for token in 0..tokens {
            for head in 0..heads {
                let channels = || head * size..(head + 1) * size;
                let scores: Vec<f64> = (0..=token)
                    .map(|other| {
                        let dot: f64 = channels().map(|c| at(token, 0, c) * at(other, 1, c)).sum();
                        (dot / (size as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for c in channels() {
                    out[token * width + c] = scores
                        .iter()
                        .enumerate()
                        .map(|(other, score)| score / total * at(other, 2, c))
                        .sum();
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_formula_in_double_precision() {
        let noise = kernels::random::Philox::new(5, 0);
        for (heads, width, tokens) in [(1, 1, 1), (2, 6, 9), (3, 15, 17), (1, 8, 33), (13, 26, 5)] {
            let rows: Vec<f32> = (0..tokens * 3 * width)
                .map(|i| 4.0 * kernels::random::unit(noise.number(i as u64)) - 2.0)
                .collect();
            let mut cache = KeyValueCache::new(width, tokens + 2).unwrap();
            let mut out = vec![f32::NAN; tokens * width];
            cache.write(0, &rows);
            cache.attend(1, heads, 0, &rows, &mut out);
            for (found, expected) in out.iter().zip(expected(heads, width, &rows)) {
                assert!(
                    (f64::from(*found) - expected).abs() < 3e-6,
                    "{found} {expected}"
                );
            }

            // The same, token by token, has the same bits.
            let mut cache = KeyValueCache::new(width, tokens).unwrap();
            for (token, row) in rows.chunks(3 * width).enumerate() {
                let mut one = vec![f32::NAN; width];
                cache.write(token, row);
                cache.attend(1, heads, token, row, &mut one);
                assert_eq!(one, out[token * width..][..width]);
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (heads, width, tokens) = (4, 32, 60);
        let noise = kernels::random::Philox::new(6, 0);
        let rows: Vec<f32> = (0..tokens * 3 * width)
            .map(|i| kernels::random::unit(noise.number(i as u64)))
            .collect();
        let mut cache = KeyValueCache::new(width, tokens).unwrap();
        cache.write(0, &rows);
        let mut outs = [vec![0.0; tokens * width], vec![0.0; tokens * width]];
        cache.attend(1, heads, 0, &rows, &mut outs[0]);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        pool.install(|| cache.attend(3, heads, 0, &rows, &mut outs[1]));
        assert_eq!(outs[0], outs[1]);
    }
}
