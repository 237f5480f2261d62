//! Experts: feed-forwards that are computed for the tokens whose gate is not 0.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::experts::Settings;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::tape::Tape;

/// `Σ gate · down(activation(up(x)))` over the experts whose gate is not 0; the others are not computed, and
/// the gradient of their gates is 0.
///
/// With ReLU or its square the result has two more channels: for each token the sum of the units of the experts that it
/// uses, without their gates, and the number of these units that are not 0, which has no gradient.
///
/// # Shapes
/// - `x`: `[batch, time, channels]`
/// - result: `[batch, time, channels]`, with ReLU `[batch, time, channels + 2]`
/// - `gates`: `[batch, time, experts]`
/// - `up`: `[experts, hidden, channels]`
/// - `down`: `[experts, channels, hidden]`
pub fn gated_experts(
    x: Tensor<3>,
    gates: Tensor<3>,
    [up, down]: [Tensor<3>; 2],
    settings: Settings,
) -> Tensor<3> {
    on_backend!(gated_experts(x, gates, up, down; settings))
}

/// Experts on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait ExpertOps: Backend {
    /// `Σ gate · down(activation(up(x)))` over the experts, for `x` of `[batch, time, channels]`, `gates`
    /// of `[batch, time, experts]`, `up` of `[experts, hidden, channels]` and `down` of `[experts,
    /// channels, hidden]`. An expert is not computed for tokens whose gate is 0. With ReLU, the sum and the
    /// number of the units that are not 0 follow in two channels.
    fn gated_experts(
        x: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self> {
        plain::gated_experts::<Self>(x, gates, up, down, settings.activation)
    }

    /// The gradients of [`gated_experts`](Self::gated_experts) with respect to `x`, `gates`, `up` and
    /// `down`. That of a gate which is 0 is 0.
    fn gated_experts_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: Settings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let activation = settings.activation;
        plain::gated_experts_backward::<Self>(gradient, x, gates, up, down, activation)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::Shape;
    use kernels::activation::Activation;
    use kernels::experts::measures;

    use crate::ops::activation::plain::{activated, activated_backward};
    use crate::ops::channels::plain::channels;
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

    /// A channel for each token: the sum over experts and units of `[experts, tokens, hidden]`, of the experts
    /// with an `open` gate, `[experts, tokens, 1]`.
    fn sum_of_units<B: Backend>(
        units: FloatTensor<B>,
        open: FloatTensor<B>,
        like: Shape,
    ) -> FloatTensor<B> {
        let [batch, time, _] = like.dims();
        let sums = B::float_sum_dim(B::float_mul(units, open), 2);
        sum_over_experts::<B>(sums, Shape::new([batch, time, 1]))
    }

    /// Plain body of the method of this name.
    pub fn gated_experts<B: Backend>(
        x: FloatTensor<B>,
        gates: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        activation: Activation,
    ) -> FloatTensor<B> {
        let (shape, experts) = (x.shape(), up.shape()[0]);
        let before = B::float_matmul(for_each_expert::<B>(x, experts), B::float_transpose(up));
        let units = activated::<B>(before, activation);
        let outputs = B::float_matmul(units.clone(), B::float_transpose(down));
        let gate = by_expert::<B>(gates);
        let outputs = B::float_mul(outputs, gate.clone());
        let output = sum_over_experts::<B>(outputs, shape.clone());
        if measures(activation) == 0 {
            return output;
        }
        let open = used::<B>(gate);
        let sums = sum_of_units::<B>(units.clone(), open.clone(), shape.clone());
        let counts = sum_of_units::<B>(used::<B>(units), open, shape);
        B::float_cat(vec![output, sums, counts], 2)
    }

    /// Plain body of the method of this name.
    pub fn gated_experts_backward<B: Backend>(
        gradient: FloatTensor<B>,
        x: FloatTensor<B>,
        gates: FloatTensor<B>,
        up: FloatTensor<B>,
        down: FloatTensor<B>,
        activation: Activation,
    ) -> (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
    ) {
        let (shape, gates_shape, experts) = (x.shape(), gates.shape(), up.shape()[0]);
        let width = shape[2];
        let used = used::<B>(gates.clone());
        let x = for_each_expert::<B>(x, experts);
        // The gradient of the sum of units.
        let of_sum = (measures(activation) > 0).then(|| {
            for_each_expert::<B>(channels::<B>(gradient.clone(), width..width + 1), experts)
        });
        let gradient = for_each_expert::<B>(channels::<B>(gradient, 0..width), experts);
        let gate = by_expert::<B>(gates);
        let before = B::float_matmul(x.clone(), B::float_transpose(up.clone()));
        let units = activated::<B>(before.clone(), activation);
        let dunits = B::float_matmul(gradient.clone(), down);
        // dL/dgate = gradient · output = (gradient · down) · units.
        let dgates = B::float_sum_dim(B::float_mul(dunits.clone(), units.clone()), 2);
        let [_, tokens, _] = dgates.shape().dims();
        let dgates = B::float_transpose(B::float_reshape(dgates, Shape::new([experts, tokens])));
        let dgates = B::float_mul(B::float_reshape(dgates, gates_shape), used.clone());
        let dunits = B::float_mul(dunits, gate.clone());
        let dunits = match of_sum {
            None => dunits,
            Some(of_sum) => B::float_add(dunits, B::float_mul(of_sum, by_expert::<B>(used))),
        };
        let dbefore = activated_backward::<B>(dunits, before, activation);
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
    fn gated_experts(x: Float, gates: Float, up: Float, down: Float, settings: Settings) -> Float {
        match kernel_inputs([x, gates, up, down]) {
            Ok([x, gates, up, down]) => {
                let shape = kernel_shape(&x, &up);
                let weights = kernels::experts::Weights {
                    up: &up,
                    down: &down,
                };
                let output = kernels::experts::forward(&x, &gates, &weights, shape, settings);
                let [batch, time, width] = x.dims();
                let channels = width + kernels::experts::measures(settings.activation);
                tensor(output, [batch, time, channels].into())
            }
            Err([x, gates, up, down]) => {
                plain::gated_experts::<Self>(x, gates, up, down, settings.activation)
            }
        }
    }

    fn gated_experts_backward(
        gradient: Float,
        x: Float,
        gates: Float,
        up: Float,
        down: Float,
        settings: Settings,
    ) -> (Float, Float, Float, Float) {
        match kernel_inputs([gradient, x, gates, up, down]) {
            Ok([gradient, x, gates, up, down]) => {
                let shape = kernel_shape(&x, &up);
                let weights = kernels::experts::Weights {
                    up: &up,
                    down: &down,
                };
                let found =
                    kernels::experts::backward(&gradient, &x, &gates, &weights, shape, settings);
                (
                    tensor(found.x, x.shape()),
                    tensor(found.gates, gates.shape()),
                    tensor(found.up, up.shape()),
                    tensor(found.down, down.shape()),
                )
            }
            Err([gradient, x, gates, up, down]) => {
                let activation = settings.activation;
                plain::gated_experts_backward::<Self>(gradient, x, gates, up, down, activation)
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
        settings: Settings,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [x, gates, up, down],
            |[x, gates, up, down]| B::gated_experts(x, gates, up, down, settings),
            move |gradient, [x, gates, up, down]| {
                B::gated_experts_backward(gradient, x, gates, up, down, settings)
            },
        )
    }
}
