//! Gates that choose experts, and what share of a feed-forward they use.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, backend_extension};
use burn::tensor::Tensor;

use super::cpu::{Float, kernel_inputs, tensor, vector};
use super::tape::Tape;

/// The softmax of the `count` best of the scores of each token, `[batch, time, experts]`, and 0 for the
/// others. Of equal scores the first is the better one.
pub fn best_gates(scores: Tensor<3>, count: usize) -> Tensor<3> {
    on_backend!(best_gates(scores; count))
}

/// The mean over all tokens of the softmax of their scores, `[batch, time, experts]`: `[experts]`.
pub fn mean_softmax(scores: Tensor<3>) -> Tensor<1> {
    on_backend!(mean_softmax(scores))
}

/// For each channel of `[batch, time, channels]` the share of tokens where it is not 0, `[channels]`.
/// Without gradient.
pub fn used_share(values: Tensor<3>) -> Tensor<1> {
    on_backend!(used_share(values))
}

/// Routing on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait RoutingOps: Backend {
    /// The softmax of the `count` best of the scores of each token, `[batch, time, experts]`, and 0 for
    /// the others.
    fn best_gates(scores: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        plain::best_gates::<Self>(scores, count)
    }

    /// The gradient of [`best_gates`](Self::best_gates) from the gates.
    fn best_gates_backward(
        gradient: FloatTensor<Self>,
        gates: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::best_gates_backward::<Self>(gradient, gates)
    }

    /// The mean over all tokens of the softmax of their scores, `[batch, time, experts]`: `[experts]`.
    fn mean_softmax(scores: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::mean_softmax::<Self>(scores)
    }

    /// The gradient of [`mean_softmax`](Self::mean_softmax); `gradient` is `[experts]`.
    fn mean_softmax_backward(
        gradient: FloatTensor<Self>,
        scores: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::mean_softmax_backward::<Self>(gradient, scores)
    }

    /// For each channel of `[batch, time, channels]` the share of tokens where it is not 0,
    /// `[channels]`. Without gradient.
    fn used_share(values: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::used_share::<Self>(values)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
    use burn::tensor::Shape;

    use crate::ops::tokens::{mean_over_tokens, per_channel};

    /// 1 where a value is not 0, else 0.
    pub(in crate::ops) fn used<B: Backend>(values: FloatTensor<B>) -> FloatTensor<B> {
        let dtype = values.dtype().into();
        let settings = get_or_init_device_settings::<B>(&values.device());
        let used = B::float_not_equal_elem(values, 0.0.into(), settings.bool_dtype);
        B::bool_into_float(used, dtype)
    }

    /// Plain body of the method of this name.
    pub fn used_share<B: Backend>(values: FloatTensor<B>) -> FloatTensor<B> {
        mean_over_tokens::<B>(used::<B>(values))
    }

    /// Plain body of the method of this name.
    pub fn best_gates<B: Backend>(scores: FloatTensor<B>, count: usize) -> FloatTensor<B> {
        let (shape, device) = (scores.shape(), scores.device());
        let last = shape.num_dims() - 1;
        let settings = get_or_init_device_settings::<B>(&device);
        let numbers = B::int_arange(0..shape[last] as i64, &device, settings.int_dtype);
        let mut single = vec![1; shape.num_dims()];
        single[last] = shape[last];
        let numbers = B::int_reshape(numbers, Shape::from(single));
        let numbers = B::int_expand(numbers, shape.clone());
        let dtype = scores.dtype().into();
        let mut rest = scores.clone();
        let mut chosen = B::float_zeros(shape.clone(), &device, dtype);
        for _ in 0..count {
            let best = B::float_argmax(rest.clone(), last, settings.int_dtype);
            let best = B::int_expand(best, shape.clone());
            let best = B::int_equal(best, numbers.clone(), settings.bool_dtype);
            rest = B::float_mask_fill(rest, best.clone(), f32::NEG_INFINITY.into());
            chosen = B::float_mask_fill(chosen, best, 1.0.into());
        }
        let largest = B::float_max_dim(scores.clone(), last);
        let weights = B::float_mul(B::float_exp(B::float_sub(scores, largest)), chosen);
        let sum = B::float_sum_dim(weights.clone(), last);
        B::float_div(weights, sum)
    }

    /// `p (g − Σ g p)` over the last dimension.
    fn softmax_backward<B: Backend>(
        gradient: FloatTensor<B>,
        probabilities: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let last = probabilities.shape().num_dims() - 1;
        let products = B::float_mul(gradient.clone(), probabilities.clone());
        let sum = B::float_sum_dim(products, last);
        B::float_mul(probabilities, B::float_sub(gradient, sum))
    }

    /// Plain body of the method of this name.
    pub fn best_gates_backward<B: Backend>(
        gradient: FloatTensor<B>,
        gates: FloatTensor<B>,
    ) -> FloatTensor<B> {
        softmax_backward::<B>(gradient, gates)
    }

    /// Plain body of the method of this name.
    pub fn mean_softmax<B: Backend>(scores: FloatTensor<B>) -> FloatTensor<B> {
        let last = scores.shape().num_dims() - 1;
        mean_over_tokens::<B>(B::softmax(scores, last))
    }

    /// Plain body of the method of this name.
    pub fn mean_softmax_backward<B: Backend>(
        gradient: FloatTensor<B>,
        scores: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let shape = scores.shape();
        let rank = shape.num_dims();
        let tokens = shape.num_elements() / shape[rank - 1];
        let gradient = B::float_mul_scalar(gradient, (1.0 / tokens as f64).into());
        let gradient = B::float_expand(per_channel::<B>(gradient, rank), shape);
        softmax_backward::<B>(gradient, B::softmax(scores, rank - 1))
    }
}

impl RoutingOps for Flex {
    fn best_gates(scores: Float, count: usize) -> Float {
        match kernel_inputs([scores]) {
            Ok([scores]) => {
                let gates = kernels::routing::best_gates(&scores, scores.channels(), count);
                tensor(gates, scores.shape())
            }
            Err([scores]) => plain::best_gates::<Self>(scores, count),
        }
    }

    fn best_gates_backward(gradient: Float, gates: Float) -> Float {
        match kernel_inputs([gradient, gates]) {
            Ok([gradient, gates]) => {
                let experts = gates.channels();
                let output = kernels::routing::best_gates_backward(&gradient, &gates, experts);
                tensor(output, gates.shape())
            }
            Err([gradient, gates]) => plain::best_gates_backward::<Self>(gradient, gates),
        }
    }

    fn mean_softmax(scores: Float) -> Float {
        match kernel_inputs([scores]) {
            Ok([scores]) => vector(kernels::routing::mean_softmax(&scores, scores.channels())),
            Err([scores]) => plain::mean_softmax::<Self>(scores),
        }
    }

    fn mean_softmax_backward(gradient: Float, scores: Float) -> Float {
        match kernel_inputs([gradient, scores]) {
            Ok([gradient, scores]) => {
                let output = kernels::routing::mean_softmax_backward(&gradient, &scores);
                tensor(output, scores.shape())
            }
            Err([gradient, scores]) => plain::mean_softmax_backward::<Self>(gradient, scores),
        }
    }

    fn used_share(values: Float) -> Float {
        match kernel_inputs([values]) {
            Ok([values]) => vector(kernels::routing::used_share(&values, values.channels())),
            Err([values]) => plain::used_share::<Self>(values),
        }
    }
}

#[cfg(feature = "gpu")]
impl RoutingOps for burn::backend::Cube {}

impl<B: RoutingOps, C: CheckpointStrategy> RoutingOps for Autodiff<B, C> {
    fn best_gates(scores: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        Tape::<B, C>::saving_output(
            [scores],
            |[scores]| B::best_gates(scores, count),
            |gradient, gates| [B::best_gates_backward(gradient, gates)],
        )
    }

    fn mean_softmax(scores: FloatTensor<Self>) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [scores],
            |[scores]| B::mean_softmax(scores),
            |gradient, [scores]| [B::mean_softmax_backward(gradient, scores)],
        )
    }

    fn used_share(values: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as AutodiffBackend>::from_inner(B::used_share(values.into_primitive()))
    }
}
