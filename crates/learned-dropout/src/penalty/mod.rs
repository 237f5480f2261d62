//! Penalties on tensors: what the training loss pays for activations that the masks keep.
//!
//! [`PenaltyKind`] has the choices. Each one has a file here, and an arm of the `match` in [`mean`].

mod entropy;
mod linear;
mod squared;

use burn::tensor::Tensor;
use model::PenaltyKind;

/// The mean over the elements of a mask `[batch, time, channels]`; the result is `[1]`.
pub fn mean(kind: PenaltyKind, mask: Tensor<3>) -> Tensor<1> {
    match kind {
        PenaltyKind::Squared => squared::mean(mask),
        PenaltyKind::Linear => linear::mean(mask),
        PenaltyKind::Entropy => entropy::mean(mask),
    }
}
