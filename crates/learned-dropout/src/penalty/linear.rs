//! The same price for every part of a mask.

use burn::tensor::Tensor;

/// The mean of `M`.
pub(super) fn mean(mask: Tensor<3>) -> Tensor<1> {
    mask.mean()
}
