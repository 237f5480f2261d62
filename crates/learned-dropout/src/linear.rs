//! The linear layer without bias.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::cut::Cut;
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::{NormSettings, Precision, linear, norm_linear};

/// `y = x Wᵀ` with `W` of shape `[outputs, inputs]`, the layout of weights on disk.
#[derive(Module, Debug)]
pub struct Linear {
    /// The weight, `[outputs, inputs]`.
    pub weight: Param<Tensor<2>>,
    /// The precision that the CPU backend rounds operands to.
    #[module(skip)]
    pub precision: Precision,
    #[module(skip)]
    pub(crate) cut: Cut,
}

impl Linear {
    /// A layer with the given weight, `[outputs, inputs]`.
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight: Param::from_tensor(weight),
            precision: Precision::F32,
            cut: Cut::default(),
        }
    }

    /// Applies the layer to `[batch, time, inputs]`; the result is `[batch, time, outputs]`.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        linear(self.cut.apply(input), self.weight.val(), self.precision)
    }

    /// Applies a norm, then the layer.
    pub fn forward_normalized(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        if self.cut.is_active() {
            return self.forward(norm.forward(input));
        }
        let (gain, weight) = (norm.weight.val(), self.weight.val());
        let settings = NormSettings {
            epsilon: EPSILON,
            precision: self.precision,
        };
        norm_linear(input, gain, weight, settings)
    }
}
