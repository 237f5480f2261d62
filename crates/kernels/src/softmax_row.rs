//! The parts of the softmax of one row.

use crate::level::levelled;
use crate::math::exp;

/// Lanes of a sum.
const LANES: usize = 16;

levelled! {
    /// The largest value.
    pub(crate) fn largest_of(values: &[f32]) -> f32 {
        let mut largest = [f32::NEG_INFINITY; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (largest, &value) in largest.iter_mut().zip(chunk) {
                *largest = if value > *largest { value } else { *largest };
            }
        }
        largest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

levelled! {
    /// Replaces values by `exp(scale · (value − reference))`. Gives their sum.
    pub(crate) fn exponentials(values: &mut [f32], reference: f32, scale: f32) -> f32 {
        let mut sums = [0.0f32; LANES];
        let (chunks, rest) = values.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *value = exp::<FUSED>((*value - reference) * scale);
                *sum += *value;
            }
        }
        let mut sum = sums.iter().sum::<f32>();
        for value in rest {
            *value = exp::<FUSED>((*value - reference) * scale);
            sum += *value;
        }
        sum
    }
}
