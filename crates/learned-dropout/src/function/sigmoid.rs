//! The sigmoid mask function.

use burn::tensor::{Tensor, activation};

/// `sigmoid(z)` of the generator's output with its shift.
pub(super) fn mask(shifted: Tensor<3>) -> Tensor<3> {
    activation::sigmoid(shifted)
}
