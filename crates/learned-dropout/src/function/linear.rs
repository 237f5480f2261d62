//! The linear mask function.

use burn::tensor::Tensor;

/// `0.5 z + 0.5` of the generator's output with its shift.
pub(super) fn mask(shifted: Tensor<3>) -> Tensor<3> {
    shifted * 0.5 + 0.5
}
