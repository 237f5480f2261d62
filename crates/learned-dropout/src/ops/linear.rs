//! Linear layers without bias.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::product::Precision;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::tape::Tape;

/// `x · weightᵀ`.
///
/// # Shapes
/// - `x`: `[batch, time, inputs]`
/// - `weight`: `[outputs, inputs]`
/// - result: `[batch, time, outputs]`
pub fn linear(x: Tensor<3>, weight: Tensor<2>, precision: Precision) -> Tensor<3> {
    on_backend!(linear_without_bias(x, weight; precision))
}

/// Linear layers on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait LinearOps: Backend {
    /// `x · weightᵀ` for `x` of `[batch, time, inputs]` and `weight` of `[outputs, inputs]`.
    fn linear_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        plain::linear_without_bias::<Self>(x, weight)
    }

    /// The gradients of [`linear_without_bias`](Self::linear_without_bias) with respect to `x` and
    /// `weight`.
    fn linear_without_bias_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        _precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::linear_without_bias_backward::<Self>(gradient, x, weight)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::Shape;

    use crate::ops::tokens::by_token;

    /// Plain body of the method of this name.
    pub fn linear_without_bias<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let [batch, time, _] = x.shape().dims();
        let [outputs, _] = weight.shape().dims();
        let y = B::float_matmul(by_token::<B>(x), B::float_transpose(weight));
        B::float_reshape(y, Shape::new([batch, time, outputs]))
    }

    /// Plain body of the method of this name.
    pub fn linear_without_bias_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let shape = x.shape();
        let gradient = by_token::<B>(gradient);
        let dx = B::float_matmul(gradient.clone(), weight);
        let dweight = B::float_matmul(B::float_transpose(gradient), by_token::<B>(x));
        (B::float_reshape(dx, shape), dweight)
    }
}

/// The shape for a kernel.
pub(super) fn kernel_shape(x: &KernelInput, weight: &KernelInput) -> kernels::linear::Shape {
    let [outputs, inputs] = weight.dims();
    kernels::linear::Shape {
        tokens: x.len() / inputs,
        inputs,
        outputs,
    }
}

impl LinearOps for Flex {
    fn linear_without_bias(x: Float, weight: Float, precision: Precision) -> Float {
        match kernel_inputs([x, weight]) {
            Ok([x, weight]) => {
                let shape = kernel_shape(&x, &weight);
                let output = kernels::linear::forward(&x, None, &weight, shape, precision);
                tensor(output, x.shape_with_channels(shape.outputs))
            }
            Err([x, weight]) => plain::linear_without_bias::<Self>(x, weight),
        }
    }

    fn linear_without_bias_backward(
        gradient: Float,
        x: Float,
        weight: Float,
        precision: Precision,
    ) -> (Float, Float) {
        match kernel_inputs([gradient, x, weight]) {
            Ok([gradient, x, weight]) => {
                let shape = kernel_shape(&x, &weight);
                let found =
                    kernels::linear::backward(&gradient, &x, None, &weight, shape, precision);
                (
                    tensor(found.x, x.shape()),
                    tensor(found.weight, weight.shape()),
                )
            }
            Err([gradient, x, weight]) => {
                plain::linear_without_bias_backward::<Self>(gradient, x, weight)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl LinearOps for burn::backend::Cube {}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, weight],
            |[x, weight]| B::linear_without_bias(x, weight, precision),
            move |gradient, [x, weight]| {
                B::linear_without_bias_backward(gradient, x, weight, precision)
            },
        )
    }
}
