//! The cosine mask function.

use burn::tensor::Tensor;

/// `M = 0.5 cos(z + B) + 0.5`, where `shifted` is `z + B`, `[batch, time, values]`.
pub(super) fn mask(shifted: Tensor<3>) -> Tensor<3> {
    (shifted.cos() + 1.0) * 0.5
}
