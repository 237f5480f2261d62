//! Experts: feed-forwards that are computed for the tokens whose gate is not 0.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::product::Precision;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::tape::Tape;

/// `Σ gate · down(gelu(up(x)))` over the experts whose gate is not 0; the others are not computed, and
/// the gradient of their gates is 0.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `gates`: `[batch, time, experts]`
/// - `up`: `[experts, hidden, channels]`
/// - `down`: `[experts, channels, hidden]`
pub fn gated_experts(
    x: Tensor<3>,
    gates: Tensor<3>,
    [up, down]: [Tensor<3>; 2],
    precision: Precision,
) -> Tensor<3> {
    on_backend!(gated_experts(x, gates, up, down; precision))
}

/// Experts on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait ExpertOps: Backend {
    /// `Σ gate · down(gelu(up(x)))` over the experts, for `x` of `[batch, time, channels]`, `gates`
    /// of `[batch, time, experts]`, `up` of `[experts, hidden, channels]` and `down` of `[experts,
    /// channels, hidden]`. An expert is not computed for tokens whose gate is 0.
    fn gated_experts(
        x: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        plain::gated_experts::<Self>(x, gates, up, down)
    }

    /// The gradients of [`gated_experts`](Self::gated_experts) with respect to `x`, `gates`, `up` and
    /// `down`. That of a gate which is 0 is 0.
    fn gated_experts_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        _precision: Precision,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        plain::gated_experts_backward::<Self>(gradient, x, gates, up, down)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::Shape;

    use crate::ops::activation::plain::{exact_gelu, exact_gelu_backward};
    use crate::ops::routing::plain::used;
    use crate::ops::tokens::by_token;

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

    /// Plain body of the method of this name.
    pub fn gated_experts<B: Backend>(
        x: FloatTensor<B>,
        gates: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let (shape, experts) = (x.shape(), up.shape()[0]);
        let before = B::float_matmul(for_each_expert::<B>(x, experts), B::float_transpose(up));
        let outputs = B::float_matmul(exact_gelu::<B>(before), B::float_transpose(down));
        sum_over_experts::<B>(B::float_mul(outputs, by_expert::<B>(gates)), shape)
    }

    /// Plain body of the method of this name.
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
        let used = used::<B>(gates.clone());
        let x = for_each_expert::<B>(x, experts);
        let gradient = for_each_expert::<B>(gradient, experts);
        let gate = by_expert::<B>(gates);
        let before = B::float_matmul(x.clone(), B::float_transpose(up.clone()));
        let units = exact_gelu::<B>(before.clone());
        let dunits = B::float_matmul(gradient.clone(), down);
        // dL/dgate = gradient · output = (gradient · down) · units.
        let dgates = B::float_sum_dim(B::float_mul(dunits.clone(), units.clone()), 2);
        let [_, tokens, _] = dgates.shape().dims();
        let dgates = B::float_transpose(B::float_reshape(dgates, Shape::new([experts, tokens])));
        let dgates = B::float_mul(B::float_reshape(dgates, gates_shape), used);
        let dbefore = B::float_mul(exact_gelu_backward::<B>(dunits, before), gate.clone());
        let gradient = B::float_mul(gradient, gate);
        let dx = B::float_matmul(dbefore.clone(), up);
        (
            sum_over_experts::<B>(dx, shape),
            dgates,
            B::float_matmul(B::float_transpose(dbefore), x),
            B::float_matmul(B::float_transpose(gradient), units),
        )
    }
}

/// The shape for a kernel.
fn kernel_shape(x: &KernelInput, up: &KernelInput) -> kernels::experts::Shape {
    let [experts, hidden, width] = up.dims();
    kernels::experts::Shape {
        tokens: x.len() / width,
        width,
        hidden,
        experts,
    }
}

impl ExpertOps for Flex {
    fn gated_experts(
        x: Float,
        gates: Float,
        up: Float,
        down: Float,
        precision: Precision,
    ) -> Float {
        match kernel_inputs([x, gates, up, down]) {
            Ok([x, gates, up, down]) => {
                let shape = kernel_shape(&x, &up);
                let weights = kernels::experts::Weights {
                    up: &up,
                    down: &down,
                };
                let output = kernels::experts::forward(&x, &gates, &weights, shape, precision);
                tensor(output, x.shape())
            }
            Err([x, gates, up, down]) => plain::gated_experts::<Self>(x, gates, up, down),
        }
    }

    fn gated_experts_backward(
        gradient: Float,
        x: Float,
        gates: Float,
        up: Float,
        down: Float,
        precision: Precision,
    ) -> (Float, Float, Float, Float) {
        match kernel_inputs([gradient, x, gates, up, down]) {
            Ok([gradient, x, gates, up, down]) => {
                let shape = kernel_shape(&x, &up);
                let weights = kernels::experts::Weights {
                    up: &up,
                    down: &down,
                };
                let found =
                    kernels::experts::backward(&gradient, &x, &gates, &weights, shape, precision);
                (
                    tensor(found.x, x.shape()),
                    tensor(found.gates, gates.shape()),
                    tensor(found.up, up.shape()),
                    tensor(found.down, down.shape()),
                )
            }
            Err([gradient, x, gates, up, down]) => {
                plain::gated_experts_backward::<Self>(gradient, x, gates, up, down)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl ExpertOps for burn::backend::Cube {}

impl<B: ExpertOps, C: CheckpointStrategy> ExpertOps for Autodiff<B, C> {
    fn gated_experts(
        x: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, gates, up, down],
            |[x, gates, up, down]| B::gated_experts(x, gates, up, down, precision),
            move |gradient, [x, gates, up, down]| {
                B::gated_experts_backward(gradient, x, gates, up, down, precision)
            },
        )
    }
}
