//! The weights of experts, which all feed-forwards with experts share.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::{Precision, gated_experts};

/// The weights of the experts of one layer.
#[derive(Module, Debug)]
pub struct Experts {
    /// `[experts, hidden, width]`.
    pub up: Param<Tensor<3>>,
    /// `[experts, width, hidden]`.
    pub down: Param<Tensor<3>>,
    /// The precision that the CPU backend rounds operands to.
    #[module(skip)]
    pub precision: Precision,
}

impl Experts {
    /// Experts with the given weights.
    pub(crate) fn new(up: Tensor<3>, down: Tensor<3>) -> Self {
        Self {
            up: Param::from_tensor(up),
            down: Param::from_tensor(down),
            precision: Precision::F32,
        }
    }

    /// `Σ gate · down(gelu(up(x)))` for `x` of `[batch, time, width]` and gates of `[batch, time,
    /// experts]`.
    pub(super) fn forward(&self, x: Tensor<3>, gates: Tensor<3>) -> Tensor<3> {
        let weights = [self.up.val(), self.down.val()];
        gated_experts(x, gates, weights, self.precision)
    }
}
