//! A panel of queries side by side: whatever belongs to one of them is a column, so that nothing is ever
//! summed across the lanes of a register.

use std::hint::black_box;

use crate::level::levelled;
use crate::math::exp;
use crate::product::PANEL;
use crate::square::{SIDE, transpose};
use crate::uninitialized::Uninit;

/// Queries of a panel.
pub(crate) const QUERIES: usize = PANEL;

/// One number for each query of a panel.
pub(crate) type PerQuery = [f32; QUERIES];

/// Reads the columns of a panel `[size, QUERIES]` as rows, each times its scale. There is room for
/// whole squares in the panel, which holds something else afterwards.
pub(crate) fn read_columns<'a>(
    rows: impl Iterator<Item = &'a mut [Uninit]>,
    panel: &mut [f32],
    scales: &PerQuery,
) {
    let (lines, _) = panel.as_chunks_mut::<QUERIES>();
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

/// Takes the keys from `visible` on from the query of a column: their scores are minus infinity.
pub(crate) fn hide(scores: &mut [f32], column: usize, visible: usize) {
    let (lines, _) = scores.as_chunks_mut::<QUERIES>();
    for line in lines.iter_mut().skip(visible) {
        line[column] = f32::NEG_INFINITY;
    }
}

/// Takes the keys behind it from each query of a panel, whose first query is `first`: of scores,
/// `[keys, QUERIES]`, up to the last query's key.
pub(super) fn hide_later(scores: &mut [f32], first: usize) {
    let (lines, _) = scores.as_chunks_mut::<QUERIES>();
    for (queries, line) in lines.iter_mut().skip(first).enumerate() {
        line[..queries].fill(f32::NEG_INFINITY);
    }
}

levelled! {
    /// Replaces scores, `[keys, QUERIES]`, by exponentials of `scale` times what they are relative to the
    /// largest of the query; gives their sums.
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
    /// Turns exponentials into probabilities `P = reciprocal · exponentials`, and gradients of them into
    /// gradients of scores before their scale: `dS = scale · P · (dP − Σ P dP)`.
    pub(crate) fn softmax_backward(
        gradients: &mut [f32],
        exponentials: &mut [f32],
        reciprocals: &PerQuery,
        scale: f32,
    ) {
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
            // Else compilers take the same column of several lines together, which are far apart.
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
    }
}
