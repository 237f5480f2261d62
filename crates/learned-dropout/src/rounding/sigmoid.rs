//! A steep sigmoid instead of rounding.

use burn::tensor::{Tensor, activation::sigmoid};

/// `sigmoid(scale (M − 0.5))`.
pub(super) fn value(mask: Tensor<3>, scale: f64) -> Tensor<3> {
    sigmoid((mask - 0.5) * scale)
}
