//! Ordinary dropout whose noise depends only on a key.

use burn::tensor::Tensor;

use crate::ops::{Dropout, dropped};
use model::Pass;
use model::pass::Purpose;

/// Sets elements to 0 with probability `rate` and divides the others by `1 − rate`; the identity
/// outside training.
///
/// From Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
/// (2014). Number `i` of the random stream for this purpose and layer decides element `i`.
pub fn dropout<const D: usize>(
    input: Tensor<D>,
    rate: f64,
    pass: &Pass,
    purpose: Purpose,
    layer: usize,
) -> Tensor<D> {
    match active_dropout(rate, pass, purpose, layer) {
        Some(dropout) => dropped(input, dropout),
        None => input,
    }
}

/// The ordinary dropout of one place; none if the pass has no dropout or the rate is 0.
pub(crate) fn active_dropout(
    rate: f64,
    pass: &Pass,
    purpose: Purpose,
    layer: usize,
) -> Option<Dropout> {
    let key = pass.dropout_key().filter(|_| rate > 0.0)?;
    let generator = key.stream(purpose, layer);
    Some(Dropout { rate, generator })
}
