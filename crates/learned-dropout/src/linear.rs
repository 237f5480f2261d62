//! The linear layer without bias.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `y = x Wᵀ` with `W` of shape `[outputs, inputs]`, the layout of weights on disk.
#[derive(Module, Debug)]
pub struct Linear {
    /// The weight, `[outputs, inputs]`.
    pub weight: Param<Tensor<2>>,
}

impl Linear {
    /// A layer with the given weight, `[outputs, inputs]`.
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight: Param::from_tensor(weight),
        }
    }

    /// Applies the layer to `[batch, time, inputs]`; the result is `[batch, time, outputs]`.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let [batch, time, inputs] = input.dims();
        let output = input
            .reshape([batch * time, inputs])
            .matmul(self.weight.val().transpose());
        let outputs = output.dims()[1];
        output.reshape([batch, time, outputs])
    }
}
