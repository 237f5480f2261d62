//! Sums over rows, of which each task computes a part.

/// Adds partial sums in their order, so that the number of threads does not change the result.
pub(crate) fn add_partial_sums(sums: &mut [f32], partial: &[Vec<f32>]) {
    for partial in partial {
        for (sum, value) in sums.iter_mut().zip(partial) {
            *sum += value;
        }
    }
}
