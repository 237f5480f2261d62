//! The entropy penalty: small for masks near 0 or 1.

use burn::tensor::Tensor;

/// The mean of `−M log₂(M + 1e-9)`.
pub(super) fn mean(mask: Tensor<3>) -> Tensor<1> {
    let logarithm = (mask.clone() + 1e-9).log() * std::f64::consts::LOG2_E;
    -(mask * logarithm).mean()
}
