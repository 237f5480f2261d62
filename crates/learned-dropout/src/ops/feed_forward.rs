//! The dense feed-forward behind its norm.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};
use kernels::feed_forward;
use kernels::linear::Norm;
use kernels::memory::KEPT_VALUES;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor, vector};
use super::norm::NormSettings;
use super::tape::Tape;

/// `gelu(layer_norm(x) · upᵀ) · downᵀ`. The backward pass computes again what lies between, but for the
/// input of the GELU: that is saved where it is not large.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `norm`: `[channels]`
/// - `up`: `[hidden, channels]`
/// - `down`: `[channels, hidden]`
pub fn norm_feed_forward(
    x: Tensor<3>,
    norm: Tensor<1>,
    [up, down]: [Tensor<2>; 2],
    settings: NormSettings,
) -> Tensor<3> {
    on_backend!(norm_feed_forward(x, norm, up, down; settings))
}

/// Dense feed-forwards on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait FeedForwardOps: Backend {
    /// `gelu(norm(x) · upᵀ) · downᵀ` for `x` of `[batch, time, channels]`, `norm` of `[channels]`,
    /// `up` of `[hidden, channels]` and `down` of `[channels, hidden]`.
    fn norm_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        plain::norm_feed_forward::<Self>(x, norm, up, down, settings.epsilon)
    }

    /// [`norm_feed_forward`](Self::norm_feed_forward), and what its backward pass need not compute
    /// again: the hidden units before the GELU, `[batch, time, hidden]`, or nothing, `[0]`.
    fn norm_feed_forward_saving(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nothing = Self::float_zeros(Shape::new([0]), &x.device(), x.dtype().into());
        (
            Self::norm_feed_forward(x, norm, up, down, settings),
            nothing,
        )
    }

    /// The gradients of [`norm_feed_forward`](Self::norm_feed_forward) with respect to `x`, `norm`,
    /// `up` and `down`; `saved` is what
    /// [`norm_feed_forward_saving`](Self::norm_feed_forward_saving) has saved.
    fn norm_feed_forward_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        _saved: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let epsilon = settings.epsilon;
        plain::norm_feed_forward_backward::<Self>(gradient, x, norm, up, down, epsilon)
    }
}

pub mod plain {
    use burn::backend::Backend;
    use burn::backend::tensor::FloatTensor;

    use crate::ops::activation::plain::{exact_gelu, exact_gelu_backward};
    use crate::ops::linear::plain::{linear_without_bias, linear_without_bias_backward};
    use crate::ops::norm::plain::{norm_linear, norm_linear_backward};

    /// Plain body of the method of this name.
    pub fn norm_feed_forward<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        epsilon: f32,
    ) -> FloatTensor<B> {
        let hidden = norm_linear::<B>(x, norm, up, epsilon);
        linear_without_bias::<B>(exact_gelu::<B>(hidden), down)
    }

    /// Plain body of the method of this name.
    pub fn norm_feed_forward_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        epsilon: f32,
    ) -> (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
    ) {
        let hidden = norm_linear::<B>(x.clone(), norm.clone(), up.clone(), epsilon);
        let units = exact_gelu::<B>(hidden.clone());
        let (dunits, ddown) = linear_without_bias_backward::<B>(gradient, units, down);
        let dhidden = exact_gelu_backward::<B>(dunits, hidden);
        let (dx, dnorm, dup) = norm_linear_backward::<B>(dhidden, x, norm, up, epsilon);
        (dx, dnorm, dup, ddown)
    }
}

/// The shape for a kernel.
pub(super) fn kernel_shape(x: &KernelInput, up: &KernelInput) -> feed_forward::Shape {
    let [hidden, width] = up.dims();
    feed_forward::Shape {
        tokens: x.len() / width,
        width,
        hidden,
    }
}

/// The weights for a kernel.
pub(super) fn kernel_weights<'a>(
    norm: &'a KernelInput,
    up: &'a KernelInput,
    down: &'a KernelInput,
    epsilon: f32,
) -> feed_forward::Weights<'a> {
    feed_forward::Weights {
        norm: Some(Norm {
            weight: norm,
            epsilon,
        }),
        up,
        down,
    }
}

impl FeedForwardOps for Flex {
    fn norm_feed_forward(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        NormSettings { epsilon, precision }: NormSettings,
    ) -> Float {
        match kernel_inputs([x, norm, up, down]) {
            Ok([x, norm, up, down]) => {
                let weights = kernel_weights(&norm, &up, &down, epsilon);
                let shape = kernel_shape(&x, &up);
                let output = feed_forward::forward(&x, &weights, shape, precision);
                tensor(output, x.shape())
            }
            Err([x, norm, up, down]) => {
                plain::norm_feed_forward::<Self>(x, norm, up, down, epsilon)
            }
        }
    }

    fn norm_feed_forward_saving(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        settings: NormSettings,
    ) -> (Float, Float) {
        let [batch, time, _] = x.shape().dims();
        let hidden = up.shape()[0];
        if batch * time * hidden > KEPT_VALUES {
            let output = Self::norm_feed_forward(x, norm, up, down, settings);
            return (output, vector(Vec::new()));
        }
        let NormSettings { epsilon, precision } = settings;
        match kernel_inputs([x, norm, up, down]) {
            Ok([x, norm, up, down]) => {
                let weights = kernel_weights(&norm, &up, &down, epsilon);
                let shape = kernel_shape(&x, &up);
                let (output, before) =
                    feed_forward::forward_keeping(&x, &weights, shape, precision);
                (
                    tensor(output, x.shape()),
                    tensor(before, x.shape_with_channels(hidden)),
                )
            }
            Err([x, norm, up, down]) => {
                let output = plain::norm_feed_forward::<Self>(x, norm, up, down, epsilon);
                (output, vector(Vec::new()))
            }
        }
    }

    fn norm_feed_forward_backward(
        gradient: Float,
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        saved: Float,
        NormSettings { epsilon, precision }: NormSettings,
    ) -> (Float, Float, Float, Float) {
        match kernel_inputs([gradient, x, norm, up, down, saved]) {
            Ok([gradient, x, norm, up, down, saved]) => {
                let weights = kernel_weights(&norm, &up, &down, epsilon);
                let shape = kernel_shape(&x, &up);
                let found = if saved.is_empty() {
                    feed_forward::backward(&gradient, &x, &weights, shape, precision)
                } else {
                    feed_forward::backward_kept(&gradient, &x, &weights, &saved, shape, precision)
                };
                (
                    tensor(found.x, x.shape()),
                    tensor(found.norm, norm.shape()),
                    tensor(found.up, up.shape()),
                    tensor(found.down, down.shape()),
                )
            }
            Err([gradient, x, norm, up, down, _]) => {
                plain::norm_feed_forward_backward::<Self>(gradient, x, norm, up, down, epsilon)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl FeedForwardOps for burn::backend::Cube {}

impl<B: FeedForwardOps, C: CheckpointStrategy> FeedForwardOps for Autodiff<B, C> {
    fn norm_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving(
            [x, norm, up, down],
            |[x, norm, up, down]| B::norm_feed_forward(x, norm, up, down, settings),
            |inputs| {
                let [x, norm, up, down] = inputs.clone();
                let (output, saved) = B::norm_feed_forward_saving(x, norm, up, down, settings);
                (output, (inputs, saved))
            },
            move |gradient, ([x, norm, up, down], saved)| {
                B::norm_feed_forward_backward(gradient, x, norm, up, down, saved, settings)
            },
        )
    }
}
