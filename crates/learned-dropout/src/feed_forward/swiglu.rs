//! The feed-forward with SwiGLU.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::linear::Linear;
use crate::norm::{EPSILON, LayerNorm};
use crate::ops::{NormSettings, Precision, linear, norm_linear, swiglu};

/// The module of [`model::feed_forward::Swiglu`].
#[derive(Module, Debug)]
pub struct Swiglu {
    /// `[hidden, width]`. It reads the same inputs as `up`, also where small ones are set to 0.
    pub gate: Linear,
    /// `[hidden, width]`.
    pub up: Linear,
    /// `[width, hidden]`.
    pub down: Linear,
}

impl Swiglu {
    pub(super) fn set_precision(&mut self, precision: Precision) {
        for layer in [&mut self.gate, &mut self.up, &mut self.down] {
            layer.precision = precision;
        }
    }

    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> Tensor<3> {
        // One product for both projections.
        let weight = Tensor::cat(vec![self.gate.weight.val(), self.up.weight.val()], 0);
        let precision = self.up.precision;
        let packed = if self.up.cut.is_active() {
            let input = self.up.cut.apply(norm.forward(input));
            linear(input, weight, precision)
        } else {
            let settings = NormSettings {
                epsilon: EPSILON,
                precision,
            };
            norm_linear(input, norm.weight.val(), weight, settings)
        };
        self.down.forward(swiglu(packed))
    }
}
