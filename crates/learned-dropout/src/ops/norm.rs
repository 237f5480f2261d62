//! LayerNorm without bias, alone and with the linear layer behind it.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::linear::Norm;
use kernels::product::Precision;

use super::cpu::{Float, kernel_inputs, tensor};
use super::linear::kernel_shape;
use super::tape::Tape;

/// How what follows a LayerNorm is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSettings {
    /// What the norm adds to the variance.
    pub epsilon: f32,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// LayerNorm without bias: `(x − mean) / sqrt(variance + epsilon) · weight` over the channels.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `weight`: `[channels]`
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, epsilon: f32) -> Tensor<3> {
    on_backend!(layer_norm_without_bias(x, weight; epsilon))
}

/// [`linear`](super::linear()) of [`layer_norm`] of `x`. What lies between the two is not saved: the
/// backward pass computes it again.
///
/// # Shapes
/// - `x`: `[batch, time, inputs]`
/// - `norm`: `[inputs]`
/// - `weight`: `[outputs, inputs]`
/// - result: `[batch, time, outputs]`
pub fn norm_linear(
    x: Tensor<3>,
    norm: Tensor<1>,
    weight: Tensor<2>,
    settings: NormSettings,
) -> Tensor<3> {
    on_backend!(norm_linear(x, norm, weight; settings))
}

/// Norms on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait NormOps: Backend {
    /// `(x − mean) / sqrt(variance + epsilon) · weight` over the channels of each token, for `x` of
    /// `[batch, time, channels]` and `weight` of `[channels]`.
    fn layer_norm_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        plain::layer_norm_without_bias::<Self>(x, weight, epsilon)
    }

    /// The gradients of [`layer_norm_without_bias`](Self::layer_norm_without_bias) with respect to
    /// `x` and `weight`.
    fn layer_norm_without_bias_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::layer_norm_without_bias_backward::<Self>(gradient, x, weight, epsilon)
    }

    /// A linear layer, `weight` of `[outputs, channels]`, of the
    /// [norm](Self::layer_norm_without_bias) of `x` with the weight `norm`.
    fn norm_linear(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        plain::norm_linear::<Self>(x, norm, weight, settings.epsilon)
    }

    /// The gradients of [`norm_linear`](Self::norm_linear) with respect to `x`, `norm` and `weight`.
    fn norm_linear_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::norm_linear_backward::<Self>(gradient, x, norm, weight, settings.epsilon)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::Shape;

    use crate::ops::linear::plain::{linear_without_bias, linear_without_bias_backward};
    use crate::ops::tokens::per_channel;

    /// `(x − mean) / sqrt(variance + epsilon)` and `1 / sqrt(variance + epsilon)`.
    fn normalized<B: Backend>(x: FloatTensor<B>, epsilon: f32) -> (FloatTensor<B>, FloatTensor<B>) {
        let channels = x.shape().num_dims() - 1;
        let centered = B::float_sub(x.clone(), B::float_mean_dim(x, channels));
        let square = B::float_mul(centered.clone(), centered.clone());
        let variance = B::float_add_scalar(B::float_mean_dim(square, channels), epsilon.into());
        let scale = B::float_recip(B::float_sqrt(variance));
        (B::float_mul(centered, scale.clone()), scale)
    }

    /// Plain body of the method of this name.
    pub fn layer_norm_without_bias<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        epsilon: f32,
    ) -> FloatTensor<B> {
        let weight = per_channel::<B>(weight, x.shape().num_dims());
        B::float_mul(normalized::<B>(x, epsilon).0, weight)
    }

    /// Plain body of the method of this name.
    pub fn layer_norm_without_bias_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        epsilon: f32,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let shape = x.shape();
        let (rank, channels) = (shape.num_dims(), weight.shape()[0]);
        let (normal, scale) = normalized::<B>(x, epsilon);
        let dweight = B::float_mul(gradient.clone(), normal.clone());
        let rows = Shape::new([shape.num_elements() / channels, channels]);
        let dweight = B::float_sum_dim(B::float_reshape(dweight, rows), 0);
        let dweight = B::float_reshape(dweight, Shape::new([channels]));
        let inner = B::float_mul(gradient, per_channel::<B>(weight, rank));
        let mean = B::float_mean_dim(inner.clone(), rank - 1);
        let along = B::float_mul(inner.clone(), normal.clone());
        let along = B::float_mul(normal, B::float_mean_dim(along, rank - 1));
        let dx = B::float_sub(B::float_sub(inner, mean), along);
        (B::float_mul(dx, scale), dweight)
    }

    /// Plain body of the method of this name.
    pub fn norm_linear<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        weight: FloatTensor<B>,
        epsilon: f32,
    ) -> FloatTensor<B> {
        linear_without_bias::<B>(layer_norm_without_bias::<B>(x, norm, epsilon), weight)
    }

    /// Plain body of the method of this name.
    pub fn norm_linear_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        weight: FloatTensor<B>,
        epsilon: f32,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let normal = layer_norm_without_bias::<B>(x.clone(), norm.clone(), epsilon);
        let (dnormal, dweight) = linear_without_bias_backward::<B>(gradient, normal, weight);
        let (dx, dnorm) = layer_norm_without_bias_backward::<B>(dnormal, x, norm, epsilon);
        (dx, dnorm, dweight)
    }
}

impl NormOps for Flex {
    fn layer_norm_without_bias(x: Float, weight: Float, epsilon: f32) -> Float {
        match kernel_inputs([x, weight]) {
            Ok([x, weight]) => {
                let output = kernels::layer_norm::forward(&x, &weight, epsilon);
                tensor(output, x.shape())
            }
            Err([x, weight]) => plain::layer_norm_without_bias::<Self>(x, weight, epsilon),
        }
    }

    fn layer_norm_without_bias_backward(
        gradient: Float,
        x: Float,
        weight: Float,
        epsilon: f32,
    ) -> (Float, Float) {
        match kernel_inputs([gradient, x, weight]) {
            Ok([gradient, x, weight]) => {
                let (dx, dweight) = kernels::layer_norm::backward(&gradient, &x, &weight, epsilon);
                (tensor(dx, x.shape()), tensor(dweight, weight.shape()))
            }
            Err([gradient, x, weight]) => {
                plain::layer_norm_without_bias_backward::<Self>(gradient, x, weight, epsilon)
            }
        }
    }

    fn norm_linear(
        x: Float,
        norm: Float,
        weight: Float,
        NormSettings { epsilon, precision }: NormSettings,
    ) -> Float {
        match kernel_inputs([x, norm, weight]) {
            Ok([x, norm, weight]) => {
                let shape = kernel_shape(&x, &weight);
                let norm = Norm {
                    weight: &norm,
                    epsilon,
                };
                let output = kernels::linear::forward(&x, Some(norm), &weight, shape, precision);
                tensor(output, x.shape_with_channels(shape.outputs))
            }
            Err([x, norm, weight]) => plain::norm_linear::<Self>(x, norm, weight, epsilon),
        }
    }

    fn norm_linear_backward(
        gradient: Float,
        x: Float,
        norm: Float,
        weight: Float,
        NormSettings { epsilon, precision }: NormSettings,
    ) -> (Float, Float, Float) {
        match kernel_inputs([gradient, x, norm, weight]) {
            Ok([gradient, x, norm, weight]) => {
                let shape = kernel_shape(&x, &weight);
                let kernel_norm = Norm {
                    weight: &norm,
                    epsilon,
                };
                let found = kernels::linear::backward(
                    &gradient,
                    &x,
                    Some(kernel_norm),
                    &weight,
                    shape,
                    precision,
                );
                (
                    tensor(found.x, x.shape()),
                    tensor(found.norm, norm.shape()),
                    tensor(found.weight, weight.shape()),
                )
            }
            Err([gradient, x, norm, weight]) => {
                plain::norm_linear_backward::<Self>(gradient, x, norm, weight, epsilon)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl NormOps for burn::backend::Cube {}

impl<B: NormOps, C: CheckpointStrategy> NormOps for Autodiff<B, C> {
    fn layer_norm_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, weight],
            |[x, weight]| B::layer_norm_without_bias(x, weight, epsilon),
            move |gradient, [x, weight]| {
                B::layer_norm_without_bias_backward(gradient, x, weight, epsilon)
            },
        )
    }

    fn norm_linear(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, norm, weight],
            |[x, norm, weight]| B::norm_linear(x, norm, weight, settings),
            move |gradient, [x, norm, weight]| {
                B::norm_linear_backward(gradient, x, norm, weight, settings)
            },
        )
    }
}
