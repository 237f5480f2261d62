//! The dense feed-forward behind its norm.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};
use kernels::activation::Activation;
use kernels::feed_forward::{self, OutputGradients, Wanted};
use kernels::linear::Norm;
use kernels::memory::SAVED_VALUES;
use kernels::product::Precision;
use kernels::unit_sum::UnitSum;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor, vector};
use super::tape::Tape;

/// How a feed-forward is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeedForwardSettings {
    /// What the norm adds to the variance.
    pub epsilon: f32,
    /// The activation function of the hidden units.
    pub activation: Activation,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// `activation(layer_norm(x) · upᵀ) · downᵀ`. The backward pass computes again what lies between, but for
/// the input of the activation function: that is saved where it is not large.
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
    settings: FeedForwardSettings,
) -> Tensor<3> {
    on_backend!(norm_feed_forward(x, norm, up, down; settings))
}

/// What a feed-forward gives besides its output.
pub struct HiddenUnits {
    /// The sum over all tokens of the hidden units that are kept, after the activation function and before
    /// they are multiplied by factors, `[1]`.
    pub sum: Tensor<1>,
    /// The share of the kept hidden units that are not 0, `[1]`; 0 if none is kept. All units of an
    /// activation function that does not [give zeros](Activation::gives_zeros) count as not 0. It has no
    /// gradient.
    pub not_zero: Tensor<1>,
}

impl HiddenUnits {
    /// From the sum and the share, `[2]`.
    pub(super) fn new(sums: Tensor<1>) -> Self {
        Self {
            sum: sums.clone().narrow(0, 0, 1),
            not_zero: sums.detach().narrow(0, 1, 1),
        }
    }
}

/// [`norm_feed_forward`], and the sum of its hidden units.
pub fn norm_feed_forward_with_sum(
    x: Tensor<3>,
    norm: Tensor<1>,
    [up, down]: [Tensor<2>; 2],
    settings: FeedForwardSettings,
) -> (Tensor<3>, HiddenUnits) {
    let (output, sums) = Dispatch::norm_feed_forward_with_sum(
        x.into_dispatch(),
        norm.into_dispatch(),
        up.into_dispatch(),
        down.into_dispatch(),
        settings,
    );
    let sums = HiddenUnits::new(Tensor::from_dispatch(sums));
    (Tensor::from_dispatch(output), sums)
}

/// Dense feed-forwards on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait FeedForwardOps: Backend {
    /// `activation(norm(x) · upᵀ) · downᵀ` for `x` of `[batch, time, channels]`, `norm` of `[channels]`,
    /// `up` of `[hidden, channels]` and `down` of `[channels, hidden]`.
    fn norm_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: FeedForwardSettings,
    ) -> FloatTensor<Self> {
        plain::norm_feed_forward::<Self>(x, norm, up, down, settings)
    }

    /// [`norm_feed_forward`](Self::norm_feed_forward), and the sum of the hidden units and the share of
    /// them that are not 0, `[2]`. The share has no gradient.
    fn norm_feed_forward_with_sum(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: FeedForwardSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::norm_feed_forward_with_sum::<Self>(x, norm, up, down, settings)
    }

    /// [`norm_feed_forward`](Self::norm_feed_forward), what
    /// [`norm_feed_forward_with_sum`](Self::norm_feed_forward_with_sum) gives besides it, or nothing,
    /// `[0]`, and what the backward pass need not compute again: the hidden units before the activation
    /// function, `[batch, time, hidden]`, or nothing, `[0]`.
    fn norm_feed_forward_saving(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: FeedForwardSettings,
        with_sum: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nothing = nothing_like::<Self>(&x);
        if with_sum {
            let (y, sums) = Self::norm_feed_forward_with_sum(x, norm, up, down, settings);
            (y, sums, nothing)
        } else {
            let y = Self::norm_feed_forward(x, norm, up, down, settings);
            (y, nothing.clone(), nothing)
        }
    }

    /// The gradients with respect to `x`, `norm`, `up` and `down` for those of the output and of what
    /// [`norm_feed_forward_with_sum`](Self::norm_feed_forward_with_sum) gives besides it, `[2]` or nothing,
    /// `[0]`; `saved` is what [`norm_feed_forward_saving`](Self::norm_feed_forward_saving) has saved.
    // `backend_extension` does not see through a type alias.
    #[allow(clippy::too_many_arguments)]
    fn norm_feed_forward_backward(
        gradient: FloatTensor<Self>,
        dsums: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        _saved: FloatTensor<Self>,
        settings: FeedForwardSettings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        plain::norm_feed_forward_backward::<Self>(gradient, dsums, x, norm, up, down, settings)
    }
}

/// A tensor without elements, of the type and on the device of another.
pub(super) fn nothing_like<B: Backend>(other: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_zeros(Shape::new([0]), &other.device(), other.dtype().into())
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::{Shape, Slice};
    use kernels::activation::Activation;

    use super::FeedForwardSettings;
    use crate::ops::activation::plain::{activated, activated_backward};
    use crate::ops::linear::plain::{linear_without_bias, linear_without_bias_backward};
    use crate::ops::norm::plain::{norm_linear, norm_linear_backward};
    use crate::ops::routing::plain::used;

    /// Plain body of the method of this name.
    pub fn norm_feed_forward<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        settings: FeedForwardSettings,
    ) -> FloatTensor<B> {
        let hidden = norm_linear::<B>(x, norm, up, settings.epsilon);
        linear_without_bias::<B>(activated::<B>(hidden, settings.activation), down)
    }

    /// Plain body of the method of this name.
    pub fn norm_feed_forward_with_sum<B: Backend>(
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        settings: FeedForwardSettings,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let hidden = norm_linear::<B>(x, norm, up, settings.epsilon);
        let units = activated::<B>(hidden, settings.activation);
        let ones = B::float_ones(units.shape(), &units.device(), units.dtype().into());
        let sums = sum_and_share::<B>(units.clone(), ones, settings.activation);
        (linear_without_bias::<B>(units, down), sums)
    }

    /// The sum of the hidden units that `kept` is 1 for and not 0, and the share of them that are not 0,
    /// `[2]`.
    pub(in crate::ops) fn sum_and_share<B: Backend>(
        units: FloatTensor<B>,
        kept: FloatTensor<B>,
        activation: Activation,
    ) -> FloatTensor<B> {
        let not_zero = match activation.gives_zeros() {
            true => B::float_mul(used::<B>(units.clone()), kept.clone()),
            false => kept.clone(),
        };
        let all = B::float_clamp_min(B::float_sum(kept.clone()), 1.0.into());
        let share = B::float_div(B::float_sum(not_zero), all);
        B::float_cat(vec![B::float_sum(B::float_mul(units, kept)), share], 0)
    }

    /// The first of the gradients of [`sum_and_share`], `[1, 1, 1]`; none if there are none.
    pub(in crate::ops) fn gradient_of_sum<B: Backend>(
        dsums: FloatTensor<B>,
    ) -> Option<FloatTensor<B>> {
        (dsums.shape()[0] > 0).then(|| {
            let dsum = B::float_slice(dsums, &[Slice::from(0..1)]);
            B::float_reshape(dsum, Shape::new([1, 1, 1]))
        })
    }

    /// Plain body of the method of this name.
    pub fn norm_feed_forward_backward<B: Backend>(
        gradient: FloatTensor<B>,
        dsums: FloatTensor<B>,
        x: FloatTensor<B>,
        norm: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        settings: FeedForwardSettings,
    ) -> (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
    ) {
        let (epsilon, activation) = (settings.epsilon, settings.activation);
        let hidden = norm_linear::<B>(x.clone(), norm.clone(), up.clone(), epsilon);
        let units = activated::<B>(hidden.clone(), activation);
        let (dunits, ddown) = linear_without_bias_backward::<B>(gradient, units, down);
        let dunits = match gradient_of_sum::<B>(dsums) {
            Some(dsum) => B::float_add(dunits, dsum),
            None => dunits,
        };
        let dhidden = activated_backward::<B>(dunits, hidden, activation);
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

/// The weights for a kernel; a norm of `[0]` is none.
pub(super) fn kernel_weights<'a>(
    norm: &'a KernelInput,
    up: &'a KernelInput,
    down: &'a KernelInput,
    (epsilon, activation): (f32, Activation),
) -> feed_forward::Weights<'a> {
    feed_forward::Weights {
        norm: (!norm.is_empty()).then_some(Norm {
            weight: norm,
            epsilon,
        }),
        up,
        activation,
        down,
    }
}

/// A kernel's sum as the sum and the share that is not 0 of `kept` units, `[2]`.
pub(super) fn kernel_sums(sum: UnitSum, kept: usize, activation: Activation) -> Float {
    let not_zero = match activation.gives_zeros() {
        true => sum.not_zero,
        false => kept,
    };
    let share = not_zero as f64 / kept.max(1) as f64;
    vector(vec![sum.sum, share as f32])
}

/// The gradients for a kernel, from `[2]` or nothing for the sum.
pub(super) fn kernel_gradients<'a>(
    gradient: &'a KernelInput,
    dsums: &KernelInput,
) -> OutputGradients<'a> {
    OutputGradients {
        y: gradient,
        sum: dsums.first().copied().unwrap_or(0.0),
    }
}

impl FeedForwardOps for Flex {
    fn norm_feed_forward(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        settings: FeedForwardSettings,
    ) -> Float {
        match kernel_inputs([x, norm, up, down]) {
            Ok(inputs) => {
                let [y, _, _] = forward(&inputs, settings, Wanted::default());
                y
            }
            Err([x, norm, up, down]) => {
                plain::norm_feed_forward::<Self>(x, norm, up, down, settings)
            }
        }
    }

    fn norm_feed_forward_with_sum(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        settings: FeedForwardSettings,
    ) -> (Float, Float) {
        match kernel_inputs([x, norm, up, down]) {
            Ok(inputs) => {
                let wanted = Wanted {
                    before: false,
                    sum: true,
                };
                let [y, sums, _] = forward(&inputs, settings, wanted);
                (y, sums)
            }
            Err([x, norm, up, down]) => {
                plain::norm_feed_forward_with_sum::<Self>(x, norm, up, down, settings)
            }
        }
    }

    fn norm_feed_forward_saving(
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        settings: FeedForwardSettings,
        with_sum: bool,
    ) -> (Float, Float, Float) {
        let [batch, time, _] = x.shape().dims();
        let wanted = Wanted {
            before: batch * time * up.shape()[0] <= SAVED_VALUES,
            sum: with_sum,
        };
        match kernel_inputs([x, norm, up, down]) {
            Ok(inputs) => forward(&inputs, settings, wanted).into(),
            Err([x, norm, up, down]) => {
                let nothing = nothing_like::<Self>(&x);
                if with_sum {
                    let (y, sums) =
                        plain::norm_feed_forward_with_sum::<Self>(x, norm, up, down, settings);
                    (y, sums, nothing)
                } else {
                    let y = plain::norm_feed_forward::<Self>(x, norm, up, down, settings);
                    (y, nothing.clone(), nothing)
                }
            }
        }
    }

    fn norm_feed_forward_backward(
        gradient: Float,
        dsums: Float,
        x: Float,
        norm: Float,
        up: Float,
        down: Float,
        saved: Float,
        settings: FeedForwardSettings,
    ) -> (Float, Float, Float, Float) {
        match kernel_inputs([gradient, dsums, x, norm, up, down, saved]) {
            Ok([gradient, dsums, x, norm, up, down, saved]) => {
                let layer = (settings.epsilon, settings.activation);
                let weights = kernel_weights(&norm, &up, &down, layer);
                let (shape, precision) = (kernel_shape(&x, &up), settings.precision);
                let gradients = kernel_gradients(&gradient, &dsums);
                let found = feed_forward::backward_with(
                    gradients, &x, &weights, None, &saved, shape, precision,
                );
                (
                    tensor(found.x, x.shape()),
                    tensor(found.norm, norm.shape()),
                    tensor(found.up, up.shape()),
                    tensor(found.down, down.shape()),
                )
            }
            Err([gradient, dsums, x, norm, up, down, _]) => {
                plain::norm_feed_forward_backward::<Self>(
                    gradient, dsums, x, norm, up, down, settings,
                )
            }
        }
    }
}

/// The output, the sums and the saved values of a kernel from `x`, `norm`, `up` and `down`; what is not
/// wanted is empty.
fn forward(
    [x, norm, up, down]: &[KernelInput; 4],
    settings: FeedForwardSettings,
    wanted: Wanted,
) -> [Float; 3] {
    let layer = (settings.epsilon, settings.activation);
    let weights = kernel_weights(norm, up, down, layer);
    let (shape, precision) = (kernel_shape(x, up), settings.precision);
    let found = feed_forward::forward_with(x, &weights, None, wanted, shape, precision);
    let sums = match wanted.sum {
        true => kernel_sums(found.sum, shape.tokens * shape.hidden, settings.activation),
        false => vector(Vec::new()),
    };
    let before = match wanted.before {
        true => tensor(found.before, x.shape_with_channels(shape.hidden)),
        false => vector(Vec::new()),
    };
    [tensor(found.y, x.shape()), sums, before]
}

#[cfg(feature = "gpu")]
impl FeedForwardOps for burn::backend::Cube {}

impl<B: FeedForwardOps, C: CheckpointStrategy> FeedForwardOps for Autodiff<B, C> {
    fn norm_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: FeedForwardSettings,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving(
            [x, norm, up, down],
            |[x, norm, up, down]| B::norm_feed_forward(x, norm, up, down, settings),
            |inputs| {
                let [x, norm, up, down] = inputs.clone();
                let (y, _, saved) = B::norm_feed_forward_saving(x, norm, up, down, settings, false);
                (y, (inputs, saved))
            },
            move |gradient, ([x, norm, up, down], saved)| {
                let dsums = nothing_like::<B>(&x);
                B::norm_feed_forward_backward(gradient, dsums, x, norm, up, down, saved, settings)
            },
        )
    }

    fn norm_feed_forward_with_sum(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: FeedForwardSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        Tape::<B, C>::saving_with_second(
            [x, norm, up, down],
            |[x, norm, up, down]| B::norm_feed_forward_with_sum(x, norm, up, down, settings),
            |inputs| {
                let [x, norm, up, down] = inputs.clone();
                let (y, sums, saved) =
                    B::norm_feed_forward_saving(x, norm, up, down, settings, true);
                ((y, sums), (inputs, saved))
            },
            move |(gradient, dsums), ([x, norm, up, down], saved)| {
                B::norm_feed_forward_backward(gradient, dsums, x, norm, up, down, saved, settings)
            },
        )
    }
}
