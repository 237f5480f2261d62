//! Ordinary dropout whose noise depends on its key alone.

use burn::tensor::Tensor;

use crate::ops::{Dropout, dropped};
use model::Pass;
use model::pass::Purpose;

/// Sets elements to 0 with probability `rate` and divides the others by `1 − rate`; the identity
/// outside training.
///
/// From Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
/// (2014). Element `i` is decided by position `i` of the stream for this purpose and layer.
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

/// The dropout of one place, where the pass and the rate have any.
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
