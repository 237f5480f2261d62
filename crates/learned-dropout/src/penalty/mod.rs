//! Penalties on tensors: terms of the training loss that make masks drop activations.
//!
//! The penalties are the variants of [`PenaltyKind`]. Each has a file here and an arm of the `match` in
//! [`mean`].

mod entropy;
mod linear;
mod squared;

use burn::tensor::Tensor;
use model::PenaltyKind;

/// The mean of a penalty over the elements of a mask, `[batch, time, channels]`; the result is `[1]`.
pub fn mean(kind: PenaltyKind, mask: Tensor<3>) -> Tensor<1> {
    match kind {
        PenaltyKind::Squared => squared::mean(mask),
        PenaltyKind::Linear => linear::mean(mask),
        PenaltyKind::Entropy => entropy::mean(mask),
    }
}
