//! LayerNorm without bias.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::layer_norm;

/// Added to the variance, so that it is never 0.
pub const EPSILON: f32 = 1e-5;

/// `(x − mean) / sqrt(variance + 1e-5) · weight` over the channels of a token.
///
/// From Ba et al., "Layer Normalization" (2016), without the bias.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// The scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
}

impl LayerNorm {
    /// A layer with the given scale, `[channels]`.
    pub fn new(weight: Tensor<1>) -> Self {
        Self {
            weight: Param::from_tensor(weight),
        }
    }

    /// Normalizes `[batch, time, channels]`.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        layer_norm(input, self.weight.val(), EPSILON)
    }
}
