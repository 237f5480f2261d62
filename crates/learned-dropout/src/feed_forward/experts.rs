//! The weights of experts, which all feed-forwards with experts share.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::{
    Activation, ExpertSettings, Precision, channels, duplicated, gated_experts, mean,
};

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
    /// What is applied to the up projection.
    #[module(skip)]
    pub activation: Activation,
}

/// What experts gave for the tokens that use them.
pub struct ExpertOutput {
    /// `Σ gate · down(activation(up(x)))`, `[batch, time, width]`.
    pub output: Tensor<3>,
    /// The hidden units; none with GELU.
    pub units: Option<UnitMeans>,
}

/// Means over the tokens and the hidden units of all experts, each `[1]`. Units of an expert that a token does not
/// use count as 0.
pub struct UnitMeans {
    /// Of the units, with a gradient and without gates.
    pub value: Tensor<1>,
    /// Of 1 for each unit that is not 0, without gradient.
    pub nonzero: Tensor<1>,
}

impl Experts {
    /// Experts with the given weights.
    pub(crate) fn new(up: Tensor<3>, down: Tensor<3>, activation: Activation) -> Self {
        Self {
            up: Param::from_tensor(up),
            down: Param::from_tensor(down),
            precision: Precision::F32,
            activation,
        }
    }

    /// The output for `x` of `[batch, time, width]` and gates of `[batch, time, experts]`.
    pub(super) fn forward(&self, x: Tensor<3>, gates: Tensor<3>) -> ExpertOutput {
        let weights = [self.up.val(), self.down.val()];
        let [experts, hidden, width] = self.up.dims();
        let settings = ExpertSettings {
            activation: self.activation,
            precision: self.precision,
        };
        let output = gated_experts(x, gates, weights, settings);
        if !self.activation.gives_zeros() {
            return ExpertOutput {
                output,
                units: None,
            };
        }
        let of_units = |sums: Tensor<3>| mean(sums) / (experts * hidden) as f64;
        let nonzero = channels(output.clone().detach(), width + 1..width + 2);
        let [output, sums] = duplicated(output);
        let units = UnitMeans {
            value: of_units(channels(sums, width..width + 1)),
            nonzero: of_units(nonzero),
        };
        ExpertOutput {
            output: channels(output, 0..width),
            units: Some(units),
        }
    }
}
