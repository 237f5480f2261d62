//! Scores of a query block, `[keys, QUERIES]`: causal mask, softmax and its gradient.
//!
//! Each query is a column, so that no sum goes across the lanes of a register.

use std::hint::black_box;

use crate::level::levelled;
use crate::math::exp;
use crate::product::NARROW_COLUMNS;
use crate::square::{SIDE, transpose};
use crate::uninitialized::Uninit;

/// Queries of a block.
pub(crate) const QUERIES: usize = NARROW_COLUMNS;

/// One number for each query of a block.
pub(crate) type PerQuery = [f32; QUERIES];

/// Writes the columns of `[size, QUERIES]` to rows, each times its scale. `values` has room for whole
/// squares, and is overwritten.
pub(crate) fn columns_to_rows<'a>(
    rows: impl Iterator<Item = &'a mut [Uninit]>,
    values: &mut [f32],
    scales: &PerQuery,
) {
    let (lines, _) = values.as_chunks_mut::<QUERIES>();
    let (squares, _) = lines.as_chunks_mut::<SIDE>();
    for square in squares.iter_mut() {
        for line in square.iter_mut() {
            for (value, scale) in line.iter_mut().zip(scales) {
                *value *= scale;
            }
        }
        transpose(square);
    }
    for (index, row) in rows.enumerate() {
        for (row, square) in row.chunks_mut(SIDE).zip(squares.iter()) {
            match row.first_chunk_mut::<SIDE>() {
                Some(row) => row.write_copy_of_slice(&square[index]),
                None => row.write_copy_of_slice(&square[index][..row.len()]),
            };
        }
    }
}

/// Causal mask of one query: sets the scores of a column from the key `visible` on to −∞.
pub(crate) fn mask_column(scores: &mut [f32], column: usize, visible: usize) {
    let (lines, _) = scores.as_chunks_mut::<QUERIES>();
    for line in lines.iter_mut().skip(visible) {
        line[column] = f32::NEG_INFINITY;
    }
}

/// Causal mask: sets the scores of later keys to −∞. `tokens` are those of the queries of the block, in
/// ascending order; the scores go up to the key of the last one.
pub(super) fn mask_later_keys(scores: &mut [f32], tokens: impl Iterator<Item = usize>) {
    let (lines, _) = scores.as_chunks_mut::<QUERIES>();
    let mut tokens = tokens.peekable();
    let mut queries = 0;
    let first = tokens.peek().copied().unwrap_or(lines.len());
    for (key, line) in lines.iter_mut().enumerate().skip(first) {
        line[..queries].fill(f32::NEG_INFINITY);
        queries += usize::from(tokens.next_if_eq(&key).is_some());
    }
}

/// Multiplies the column of each query by its factor.
pub(super) fn scale_columns(values: &mut [f32], factors: &PerQuery) {
    let (lines, _) = values.as_chunks_mut::<QUERIES>();
    for line in lines {
        for (value, factor) in line.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

levelled! {
    /// Replaces scores by `exp(scale · (score − largest score of the query))`. Gives the sum of each
    /// query.
    pub(crate) fn exponentials(scores: &mut [f32], scale: f32) -> PerQuery {
        let (lines, _) = scores.as_chunks_mut::<QUERIES>();
        let mut largest = [f32::NEG_INFINITY; QUERIES];
        for line in lines.iter() {
            for (largest, &score) in largest.iter_mut().zip(line) {
                *largest = if score > *largest { score } else { *largest };
            }
        }
        let mut sums = [0.0; QUERIES];
        for line in lines {
            for ((sum, score), largest) in sums.iter_mut().zip(line).zip(largest) {
                *score = exp::<FUSED>((*score - largest) * scale);
                *sum += *score;
            }
        }
        sums
    }
}

levelled! {
    /// Replaces exponentials by probabilities `P = reciprocal · exponential`, and gradients `dP` of
    /// probabilities by gradients of unscaled scores, `dS = scale · P · (dP − Σ P dP)`. Gives `Σ P dP`
    /// of each query.
    pub(crate) fn softmax_backward(
        gradients: &mut [f32],
        exponentials: &mut [f32],
        reciprocals: &PerQuery,
        scale: f32,
    ) -> PerQuery {
        let (gradients, _) = gradients.as_chunks_mut::<QUERIES>();
        let (exponentials, _) = exponentials.as_chunks_mut::<QUERIES>();
        let mut means = [0.0; QUERIES];
        for (gradients, weights) in gradients.iter().zip(exponentials.iter()) {
            for ((mean, gradient), weight) in means.iter_mut().zip(gradients).zip(weights) {
                *mean += gradient * weight;
            }
        }
        for (mean, reciprocal) in means.iter_mut().zip(reciprocals) {
            *mean *= reciprocal;
        }
        let reciprocals = *reciprocals;
        for (gradients, weights) in gradients.iter_mut().zip(exponentials) {
            // Without this, compilers vectorize across several lines, whose columns lie far apart.
            let gradients = black_box(gradients);
            let mut shares = *weights;
            for (share, reciprocal) in shares.iter_mut().zip(&reciprocals) {
                *share *= reciprocal;
            }
            *weights = shares;
            let mut dscores = *gradients;
            for ((dscore, share), mean) in dscores.iter_mut().zip(&shares).zip(&means) {
                *dscore = scale * share * (*dscore - mean);
            }
            *gradients = dscores;
        }
        means
    }
}
