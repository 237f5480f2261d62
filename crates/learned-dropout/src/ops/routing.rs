//! The operations that decide and measure which parts of a feed-forward are used: plain bodies, CPU
//! versions and backward passes.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, TensorMetadata, get_or_init_device_settings};
use burn::tensor::Shape;
use kernels::routing;

use super::TransformerOps;
use super::flex::{Float, is_f32, slice, tensor};
use super::reference::by_token;

/// 1 where a value is not 0, else 0.
fn used<B: Backend>(values: FloatTensor<B>) -> FloatTensor<B> {
    let dtype = values.dtype().into();
    let settings = get_or_init_device_settings::<B>(&values.device());
    let used = B::float_not_equal_elem(values, 0.0.into(), settings.bool_dtype);
    B::bool_into_float(used, dtype)
}

/// Plain body of [`TransformerOps::relu_units_backward`].
pub fn relu_units_backward<B: Backend>(
    gradient: FloatTensor<B>,
    relu: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_mul(gradient, used::<B>(relu))
}

/// Plain body of [`TransformerOps::mean_backward`].
pub fn mean_backward<B: Backend>(gradient: FloatTensor<B>, shape: Shape) -> FloatTensor<B> {
    let scaled = B::float_mul_scalar(gradient, (1.0 / shape.num_elements() as f64).into());
    let ones = Shape::from(vec![1; shape.num_dims()]);
    B::float_expand(B::float_reshape(scaled, ones), shape)
}

/// Plain body of [`TransformerOps::used_share`].
pub fn used_share<B: Backend>(values: FloatTensor<B>) -> FloatTensor<B> {
    mean_over_tokens::<B>(used::<B>(values))
}

fn mean_over_tokens<B: Backend>(values: FloatTensor<B>) -> FloatTensor<B> {
    let rows = by_token::<B>(values);
    let [_, channels] = rows.shape().dims();
    B::float_reshape(B::float_mean_dim(rows, 0), Shape::new([channels]))
}

/// Plain body of [`TransformerOps::best_gates`].
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

/// Plain body of [`TransformerOps::best_gates_backward`].
pub fn best_gates_backward<B: Backend>(
    gradient: FloatTensor<B>,
    gates: FloatTensor<B>,
) -> FloatTensor<B> {
    softmax_backward::<B>(gradient, gates)
}

/// Plain body of [`TransformerOps::mean_softmax`].
pub fn mean_softmax<B: Backend>(scores: FloatTensor<B>) -> FloatTensor<B> {
    let last = scores.shape().num_dims() - 1;
    mean_over_tokens::<B>(B::softmax(scores, last))
}

/// Plain body of
/// [`TransformerOps::mean_softmax_backward`].
pub fn mean_softmax_backward<B: Backend>(
    gradient: FloatTensor<B>,
    scores: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = scores.shape();
    let rank = shape.num_dims();
    let experts = shape[rank - 1];
    let mut single = vec![1; rank];
    single[rank - 1] = experts;
    let tokens = shape.num_elements() / experts;
    let gradient = B::float_mul_scalar(gradient, (1.0 / tokens as f64).into());
    let gradient = B::float_reshape(gradient, Shape::from(single));
    let gradient = B::float_expand(gradient, shape);
    softmax_backward::<B>(gradient, B::softmax(scores, rank - 1))
}

/// The operations by the kernels.
pub(super) mod on_cpu {
    use burn::backend::ops::{ActivationOps, FloatTensorOps};

    use super::*;

    fn last(values: &Float) -> usize {
        values.shape()[values.shape().num_dims() - 1]
    }

    fn vector(values: Vec<f32>) -> Float {
        let shape = Shape::new([values.len()]);
        tensor(values, shape)
    }

    pub(in crate::ops) fn relu(x: Float) -> Float {
        if !is_f32(&[&x]) {
            return <Flex as ActivationOps<Flex>>::relu(x);
        }
        let x = x.to_contiguous();
        tensor(routing::relu(slice(&x)), x.shape())
    }

    pub(in crate::ops) fn relu_backward(gradient: Float, relu: Float) -> Float {
        if !is_f32(&[&gradient, &relu]) {
            return super::relu_units_backward::<Flex>(gradient, relu);
        }
        let [gradient, relu] = [gradient, relu].map(|tensor| tensor.to_contiguous());
        let output = routing::relu_backward(slice(&gradient), slice(&relu));
        tensor(output, relu.shape())
    }

    pub(in crate::ops) fn mean(values: Float) -> Float {
        if !is_f32(&[&values]) {
            return <Flex as FloatTensorOps<Flex>>::float_mean(values);
        }
        vector(vec![routing::mean(slice(&values.to_contiguous()))])
    }

    pub(in crate::ops) fn mean_backward(gradient: Float, shape: Shape) -> Float {
        if !is_f32(&[&gradient]) {
            return super::mean_backward::<Flex>(gradient, shape);
        }
        let count = shape.num_elements();
        let value = slice(&gradient.to_contiguous())[0] / count as f32;
        tensor(vec![value; count], shape)
    }

    pub(in crate::ops) fn used_share(values: Float) -> Float {
        if !is_f32(&[&values]) {
            return super::used_share::<Flex>(values);
        }
        let values = values.to_contiguous();
        vector(routing::used_share(slice(&values), last(&values)))
    }

    pub(in crate::ops) fn best_gates(scores: Float, count: usize) -> Float {
        if !is_f32(&[&scores]) {
            return super::best_gates::<Flex>(scores, count);
        }
        let scores = scores.to_contiguous();
        let gates = routing::best_gates(slice(&scores), last(&scores), count);
        tensor(gates, scores.shape())
    }

    pub(in crate::ops) fn best_gates_backward(gradient: Float, gates: Float) -> Float {
        if !is_f32(&[&gradient, &gates]) {
            return super::best_gates_backward::<Flex>(gradient, gates);
        }
        let [gradient, gates] = [gradient, gates].map(|tensor| tensor.to_contiguous());
        let output = routing::best_gates_backward(slice(&gradient), slice(&gates), last(&gates));
        tensor(output, gates.shape())
    }

    pub(in crate::ops) fn mean_softmax(scores: Float) -> Float {
        if !is_f32(&[&scores]) {
            return super::mean_softmax::<Flex>(scores);
        }
        let scores = scores.to_contiguous();
        vector(routing::mean_softmax(slice(&scores), last(&scores)))
    }

    pub(in crate::ops) fn mean_softmax_backward(gradient: Float, scores: Float) -> Float {
        if !is_f32(&[&gradient, &scores]) {
            return super::mean_softmax_backward::<Flex>(gradient, scores);
        }
        let [gradient, scores] = [gradient, scores].map(|tensor| tensor.to_contiguous());
        let output = routing::mean_softmax_backward(slice(&gradient), slice(&scores));
        tensor(output, scores.shape())
    }
}

/// Defines the node of an operation with one input in a graph.
macro_rules! node {
    ($name:ident, $state:ty, $backward:ident) => {
        #[derive(Debug)]
        pub(super) struct $name;

        impl<B: TransformerOps> Backward<B, 1> for $name {
            type State = $state;

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let state = ops.state;
                unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
                    B::$backward(gradient, state)
                });
            }
        }
    };
}

node!(Relu, FloatTensor<B>, relu_units_backward);
node!(Mean, Shape, mean_backward);
node!(BestGates, FloatTensor<B>, best_gates_backward);
node!(MeanSoftmax, FloatTensor<B>, mean_softmax_backward);
