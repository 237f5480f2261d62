//! The operation of experts: its plain bodies, its CPU version and its backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, TensorMetadata, get_or_init_device_settings};
use burn::tensor::Shape;
use kernels::experts;
use kernels::product::Precision;

use super::TransformerOps;
use super::flex::{Float, is_f32, slice, tensor};
use super::reference::{by_token, gelu, gelu_backward};

/// `[batch, time, channels]` once for every expert: `[experts, tokens, channels]`.
fn for_each_expert<B: Backend>(x: FloatTensor<B>, experts: usize) -> FloatTensor<B> {
    let rows = by_token::<B>(x);
    let [tokens, channels] = rows.shape().dims();
    let rows = B::float_reshape(rows, Shape::new([1, tokens, channels]));
    B::float_expand(rows, Shape::new([experts, tokens, channels]))
}

/// Gates `[batch, time, experts]` as `[experts, tokens, 1]`.
fn by_expert<B: Backend>(gates: FloatTensor<B>) -> FloatTensor<B> {
    let rows = B::float_transpose(by_token::<B>(gates));
    let [experts, tokens] = rows.shape().dims();
    B::float_reshape(rows, Shape::new([experts, tokens, 1]))
}

/// Sums `[experts, tokens, channels]` over the experts, in the shape of `like`.
fn sum_over_experts<B: Backend>(values: FloatTensor<B>, like: Shape) -> FloatTensor<B> {
    B::float_reshape(B::float_sum_dim(values, 0), like)
}

/// Plain body of [`TransformerOps::gated_experts`].
pub fn gated_experts<B: Backend>(
    x: FloatTensor<B>,
    gates: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
) -> FloatTensor<B> {
    let (shape, experts) = (x.shape(), up.shape()[0]);
    let before = B::float_matmul(for_each_expert::<B>(x, experts), B::float_transpose(up));
    let outputs = B::float_matmul(gelu::<B>(before), B::float_transpose(down));
    sum_over_experts::<B>(B::float_mul(outputs, by_expert::<B>(gates)), shape)
}

/// Plain body of
/// [`TransformerOps::gated_experts_backward`].
pub fn gated_experts_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    gates: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
) -> (
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
) {
    let (shape, gates_shape, experts) = (x.shape(), gates.shape(), up.shape()[0]);
    let settings = get_or_init_device_settings::<B>(&gates.device());
    let used = B::float_not_equal_elem(gates.clone(), 0.0.into(), settings.bool_dtype);
    let used = B::bool_into_float(used, gates.dtype().into());
    let x = for_each_expert::<B>(x, experts);
    let gradient = for_each_expert::<B>(gradient, experts);
    let gate = by_expert::<B>(gates);
    let before = B::float_matmul(x.clone(), B::float_transpose(up.clone()));
    let units = gelu::<B>(before.clone());
    let dunits = B::float_matmul(gradient.clone(), down);
    // dL/dgate = gradient · output = (gradient · down) · units.
    let dgates = B::float_sum_dim(B::float_mul(dunits.clone(), units.clone()), 2);
    let [_, tokens, _] = dgates.shape().dims();
    let dgates = B::float_transpose(B::float_reshape(dgates, Shape::new([experts, tokens])));
    let dgates = B::float_mul(B::float_reshape(dgates, gates_shape), used);
    let dbefore = B::float_mul(gelu_backward::<B>(dunits, before), gate.clone());
    let gradient = B::float_mul(gradient, gate);
    let dx = B::float_matmul(dbefore.clone(), up);
    (
        sum_over_experts::<B>(dx, shape),
        dgates,
        B::float_matmul(B::float_transpose(dbefore), x),
        B::float_matmul(B::float_transpose(gradient), units),
    )
}

fn shape(x: &Float, up: &Float) -> experts::Shape {
    let [experts, hidden, width] = up.shape().dims();
    experts::Shape {
        tokens: x.shape().num_elements() / width,
        width,
        hidden,
        experts,
    }
}

/// The operation by the kernels.
pub(super) fn on_cpu(
    x: Float,
    gates: Float,
    up: Float,
    down: Float,
    precision: Precision,
) -> Float {
    if !is_f32(&[&x, &gates, &up, &down]) {
        return gated_experts::<Flex>(x, gates, up, down);
    }
    let [x, gates, up, down] = [x, gates, up, down].map(|tensor| tensor.to_contiguous());
    let weights = experts::Weights {
        up: slice(&up),
        down: slice(&down),
    };
    let shape = shape(&x, &up);
    let output = experts::forward(slice(&x), slice(&gates), &weights, shape, precision);
    tensor(output, x.shape())
}

/// The backward pass by the kernels.
pub(super) fn backward_on_cpu(
    gradient: Float,
    [x, gates, up, down]: [Float; 4],
    precision: Precision,
) -> (Float, Float, Float, Float) {
    if !is_f32(&[&gradient, &x, &gates, &up, &down]) {
        return gated_experts_backward::<Flex>(gradient, x, gates, up, down);
    }
    let [gradient, x, gates, up, down] =
        [gradient, x, gates, up, down].map(|tensor| tensor.to_contiguous());
    let weights = experts::Weights {
        up: slice(&up),
        down: slice(&down),
    };
    let found = experts::backward(
        slice(&gradient),
        slice(&x),
        slice(&gates),
        &weights,
        shape(&x, &up),
        precision,
    );
    (
        tensor(found.x, x.shape()),
        tensor(found.gates, gates.shape()),
        tensor(found.up, up.shape()),
        tensor(found.down, down.shape()),
    )
}

/// The node of the operation in a graph.
#[derive(Debug)]
pub(super) struct GatedExperts;

impl<B: TransformerOps> Backward<B, 4> for GatedExperts {
    type State = ([FloatTensor<B>; 4], Precision);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([x, gates, up, down], precision) = ops.state;
        let (dx, dgates, dup, ddown) =
            B::gated_experts_backward(gradient, x, gates, up, down, precision);
        for (parent, part) in ops.parents.into_iter().zip([dx, dgates, dup, ddown]) {
            if let Some(node) = parent {
                gradients.register::<B>(node.id, part);
            }
        }
    }
}
