//! A block of queries side by side: whatever belongs to one of them is a column of a panel, so that
//! nothing is ever summed across the lanes of a register.

use crate::level::levelled;
use crate::math::exp;
use crate::product::PANEL;

/// Queries of a block.
pub(crate) const QUERIES: usize = PANEL;

/// One number for each query of a block.
pub(crate) type PerQuery = [f32; QUERIES];

/// Writes rows of `size` channels as the columns of a panel `[size, QUERIES]`, times `scale`; columns
/// without a row are 0.
pub(crate) fn put_columns<'a>(
    panel: &mut [f32],
    rows: impl ExactSizeIterator<Item = &'a [f32]>,
    scale: f32,
) {
    let (lines, _) = panel.as_chunks_mut::<QUERIES>();
    if rows.len() < QUERIES {
        lines.iter_mut().for_each(|line| line.fill(0.0));
    }
    for (column, row) in rows.enumerate() {
        for (line, value) in lines.iter_mut().zip(row) {
            line[column] = value * scale;
        }
    }
}

/// Reads a column of a panel, times `scale`.
pub(crate) fn read_column(output: &mut [f32], panel: &[f32], column: usize, scale: f32) {
    let (lines, _) = panel.as_chunks::<QUERIES>();
    for (output, line) in output.iter_mut().zip(lines) {
        *output = line[column] * scale;
    }
}

/// Takes the keys from `visible` on from the query of a column: their scores are minus infinity.
pub(crate) fn hide(scores: &mut [f32], column: usize, visible: usize) {
    let (lines, _) = scores.as_chunks_mut::<QUERIES>();
    for line in lines.iter_mut().skip(visible) {
        line[column] = f32::NEG_INFINITY;
    }
}

levelled! {
    /// Replaces scores, `[keys, QUERIES]`, by their exponentials relative to the largest of the query;
    /// gives their sums.
    pub(crate) fn exponentials(scores: &mut [f32]) -> PerQuery {
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
                *score = exp::<FUSED>(*score - largest);
                *sum += *score;
            }
        }
        sums
    }
}

levelled! {
    /// Turns gradients of probabilities into gradients of scores before their scale, in place, for
    /// probabilities `P = reciprocal · exponentials`: `dS = scale · P · (dP − Σ P dP)`.
    pub(crate) fn softmax_backward(
        gradients: &mut [f32],
        exponentials: &[f32],
        reciprocals: &PerQuery,
        scale: f32,
    ) {
        let (gradients, _) = gradients.as_chunks_mut::<QUERIES>();
        let (exponentials, _) = exponentials.as_chunks::<QUERIES>();
        let mut means = [0.0; QUERIES];
        for (gradients, weights) in gradients.iter().zip(exponentials) {
            for ((mean, gradient), weight) in means.iter_mut().zip(gradients).zip(weights) {
                *mean += gradient * weight;
            }
        }
        let mut factors = [0.0; QUERIES];
        for ((mean, factor), reciprocal) in means.iter_mut().zip(&mut factors).zip(reciprocals) {
            *mean *= reciprocal;
            *factor = reciprocal * scale;
        }
        for (gradients, weights) in gradients.iter_mut().zip(exponentials) {
            let lanes = gradients.iter_mut().zip(weights).zip(means.iter().zip(&factors));
            for ((gradient, weight), (mean, factor)) in lanes {
                *gradient = weight * factor * (*gradient - mean);
            }
        }
    }
}
