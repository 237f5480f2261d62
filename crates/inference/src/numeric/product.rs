//! Matrix products with weights that are stored as `[outputs, inputs]`.
//!
//! Every element of a product is one dot product that is summed in one fixed order. So a product
//! has the same bits for one token and for many, and for any number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of `weight` that one tile of many tokens reads; with [`TILE_TOKENS`] its accumulators
/// fill the 16 vector registers of AVX2.
const TILE_OUTPUTS: usize = 3;
/// Tokens of one tile.
const TILE_TOKENS: usize = 4;
/// Tokens that are multiplied with one pass over the weights: their inputs (up to 4 × 768
/// values each) stay in the second-level cache.
const BLOCK_TOKENS: usize = 32;
/// Fewest multiplications that are worth handing to another thread: some microseconds of work.
const PARALLEL_PRODUCTS: usize = 1 << 16;

/// `out[t][o] = Σ_i x[t][i] · weight[o][i]`.
///
/// `x: [tokens, inputs]`, `weight: [outputs, inputs]`, `out: [tokens, outputs]`; all are row by
/// row, and `out` is overwritten. With `threads` above 1 it must run inside a rayon pool.
///
/// # Panics
/// If the lengths do not fit together.
pub fn project(threads: usize, x: &[f32], inputs: usize, weight: &[f32], out: &mut [f32]) {
    assert!(inputs > 0, "a product without inputs");
    let (tokens, outputs) = (x.len() / inputs, weight.len() / inputs);
    assert_eq!(x.len(), tokens * inputs, "x is not a whole number of rows");
    assert_eq!(
        weight.len(),
        outputs * inputs,
        "weight is not a whole number of rows"
    );
    assert_eq!(out.len(), tokens * outputs, "out has another shape");
    if out.is_empty() {
        return;
    }
    let parts = threads.min(tokens * outputs * inputs / PARALLEL_PRODUCTS);
    if parts < 2 {
        block(x, inputs, weight, out, outputs);
    } else if tokens < threads {
        for (x, out) in x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
            let rows = outputs.div_ceil(parts);
            out.par_chunks_mut(rows)
                .zip(weight.par_chunks(rows * inputs))
                .for_each(|(out, weight)| block(x, inputs, weight, out, out.len()));
        }
    } else {
        let rows = tokens.div_ceil(parts).next_multiple_of(TILE_TOKENS);
        out.par_chunks_mut(rows * outputs)
            .zip(x.par_chunks(rows * inputs))
            .for_each(|(out, x)| block(x, inputs, weight, out, outputs));
    }
}

fn block(x: &[f32], inputs: usize, weight: &[f32], out: &mut [f32], outputs: usize) {
    let arch = Arch::new();
    let rows = x
        .chunks(BLOCK_TOKENS * inputs)
        .zip(out.chunks_mut(BLOCK_TOKENS * outputs));
    for (x, out) in rows {
        arch.dispatch(Product {
            x,
            inputs,
            weight,
            out,
            outputs,
        });
    }
}

struct Product<'a> {
    x: &'a [f32],
    inputs: usize,
    weight: &'a [f32],
    out: &'a mut [f32],
    outputs: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let tokens = self.x.len() / self.inputs;
        let (tiled, mut row) = (tokens - tokens % TILE_TOKENS, 0);
        if tiled > 0 {
            while row + TILE_OUTPUTS <= self.outputs {
                self.sweep::<S, TILE_TOKENS, TILE_OUTPUTS>(simd, 0..tiled, row);
                row += TILE_OUTPUTS;
            }
            for row in row..self.outputs {
                self.sweep::<S, TILE_TOKENS, 1>(simd, 0..tiled, row);
            }
        }
        // A single token reads each weight once: one row after the other, memory can keep up.
        for row in 0..self.outputs {
            self.sweep::<S, 1, 1>(simd, tiled..tokens, row);
        }
    }
}

impl Product<'_> {
    /// `ROWS` columns of the output, from output `row` on, for a range of tokens.
    #[inline(always)]
    #[expect(clippy::needless_range_loop)]
    fn sweep<S: Simd, const TOKENS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        tokens: std::ops::Range<usize>,
        row: usize,
    ) {
        let inputs = self.inputs;
        let mut weight = [&[][..]; ROWS];
        for r in 0..ROWS {
            weight[r] = &self.weight[(row + r) * inputs..][..inputs];
        }
        for token in tokens.step_by(TOKENS) {
            let mut x = [&[][..]; TOKENS];
            for t in 0..TOKENS {
                x[t] = &self.x[(token + t) * inputs..][..inputs];
            }
            let sums = tile(simd, x, weight);
            for (t, sums) in sums.iter().enumerate() {
                self.out[(token + t) * self.outputs + row..][..ROWS].copy_from_slice(sums);
            }
        }
    }
}

/// All dot products of some rows of `x` with some rows of `weight`.
#[inline(always)]
fn tile<S: Simd, const TOKENS: usize, const ROWS: usize>(
    simd: S,
    x: [&[f32]; TOKENS],
    weight: [&[f32]; ROWS],
) -> [[f32; ROWS]; TOKENS] {
    // Loops over constants rather than iterators: closures would not be compiled for the chosen
    // instructions, and sums that they see would be kept in memory.
    let (mut x_heads, mut x_tails) = ([&[][..]; TOKENS], [&[][..]; TOKENS]);
    let steps = S::as_simd_f32s(x[0]).0.len();
    for t in 0..TOKENS {
        (x_heads[t], x_tails[t]) = S::as_simd_f32s(x[t]);
        // One length for all, so that the loop below needs no checks.
        x_heads[t] = &x_heads[t][..steps];
    }
    let (mut weight_heads, mut weight_tails) = ([&[][..]; ROWS], [&[][..]; ROWS]);
    for r in 0..ROWS {
        (weight_heads[r], weight_tails[r]) = S::as_simd_f32s(weight[r]);
        weight_heads[r] = &weight_heads[r][..steps];
    }
    let mut sums = [[simd.splat_f32s(0.0); ROWS]; TOKENS];
    for step in 0..steps {
        let mut w = [simd.splat_f32s(0.0); ROWS];
        for r in 0..ROWS {
            w[r] = weight_heads[r][step];
        }
        for t in 0..TOKENS {
            let x = x_heads[t][step];
            for r in 0..ROWS {
                sums[t][r] = simd.mul_add_e_f32s(x, w[r], sums[t][r]);
            }
        }
    }
    let mut out = [[0.0; ROWS]; TOKENS];
    for t in 0..TOKENS {
        for r in 0..ROWS {
            let mut sum = simd.reduce_sum_f32s(sums[t][r]);
            for (x, w) in x_tails[t].iter().zip(weight_tails[r]) {
                sum += x * w;
            }
            out[t][r] = sum;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u64) -> Vec<f32> {
        let noise = kernels::random::Philox::new(seed, 0);
        (0..count)
            .map(|i| kernels::random::unit(noise.number(i as u64)) - 0.5)
            .collect()
    }

    fn sum_in_f64(x: &[f32], inputs: usize, weight: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        for x in x.chunks(inputs) {
            for w in weight.chunks(inputs) {
                out.push(
                    x.iter()
                        .zip(w)
                        .map(|(a, b)| f64::from(*a) * f64::from(*b))
                        .sum::<f64>() as f32,
                );
            }
        }
        out
    }

    #[test]
    fn agrees_with_sums_in_double_precision() {
        for tokens in [1, 2, 3, 4, 5, 9, 33] {
            for outputs in [1, 2, 3, 7, 8, 17] {
                for inputs in [1, 3, 8, 13, 40] {
                    let x = values(tokens * inputs, 1);
                    let weight = values(outputs * inputs, 2);
                    let mut out = vec![f32::NAN; tokens * outputs];
                    project(1, &x, inputs, &weight, &mut out);
                    for (found, expected) in out.iter().zip(sum_in_f64(&x, inputs, &weight)) {
                        // At most 40 terms of at most 1/4, each sum rounded to 2^-24.
                        assert!((found - expected).abs() < 40.0 * 0.25 * 40.0 * 6e-8);
                    }
                }
            }
        }
    }

    #[test]
    fn has_the_same_bits_for_one_token_and_for_any_number_of_threads() {
        let (inputs, outputs, tokens) = (150, 601, 7);
        let x = values(tokens * inputs, 3);
        let weight = values(outputs * inputs, 4);
        let mut alone = vec![0.0; tokens * outputs];
        for (x, out) in x.chunks(inputs).zip(alone.chunks_mut(outputs)) {
            project(1, x, inputs, &weight, out);
        }
        for threads in [1, 2, 3, 11] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut out = vec![0.0; tokens * outputs];
            pool.install(|| project(threads, &x, inputs, &weight, &mut out));
            assert_eq!(out, alone, "{threads} threads");
        }
    }
}
