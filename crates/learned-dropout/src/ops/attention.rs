//! Causal attention over packed queries, keys and values.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use kernels::dropout::Dropout;
use kernels::memory::KEPT_VALUES;
use kernels::product::Precision;

use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::linear::LinearOps;
use super::tape::Tape;

/// Causal attention over packed queries, keys and values; `dropout` is on the probabilities. The CPU
/// backend rounds the operands of all products to `precision`.
///
/// # Shapes
/// - `packed`: `[batch, time, 3 · channels]`: queries, keys, values, each head by head
/// - result: `[batch, time, channels]`
pub fn causal_attention(
    packed: Tensor<3>,
    heads: usize,
    dropout: Option<Dropout>,
    precision: Precision,
) -> Tensor<3> {
    on_backend!(causal_attention(packed; heads, dropout, precision))
}

/// [`causal_attention`] over the queries, keys and values that [`linear`](super::linear()) makes of `x`.
/// Where they are many, they are not saved: the backward pass computes them again.
///
/// # Shapes
/// - `x`: `[batch, time, inputs]`
/// - `weight`: `[3 · channels, inputs]`
/// - result: `[batch, time, channels]`
pub fn linear_attention(
    x: Tensor<3>,
    weight: Tensor<2>,
    heads: usize,
    precision: Precision,
) -> Tensor<3> {
    on_backend!(linear_attention(x, weight; heads, precision))
}

/// Causal attention on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait AttentionOps: LinearOps {
    /// Causal attention over packed queries, keys and values: `[batch, time, 3 · channels]` to
    /// `[batch, time, channels]`; `dropout` is on the probabilities. The CPU backend rounds the operands
    /// of all products to the precision.
    fn causal_attention(
        packed: FloatTensor<Self>,
        heads: usize,
        dropout: Option<Dropout>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        plain::causal_attention::<Self>(packed, heads, dropout)
    }

    /// The gradient of [`causal_attention`](Self::causal_attention) with respect to `packed`.
    fn causal_attention_backward(
        gradient: FloatTensor<Self>,
        packed: FloatTensor<Self>,
        heads: usize,
        dropout: Option<Dropout>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        plain::causal_attention_backward::<Self>(gradient, packed, heads, dropout)
    }

    /// [`causal_attention`](Self::causal_attention) over what
    /// [`linear_without_bias`](LinearOps::linear_without_bias) makes of `x`.
    fn linear_attention(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        heads: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let packed = Self::linear_without_bias(x, weight, precision);
        Self::causal_attention(packed, heads, None, precision)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::{Shape, Slice};
    use kernels::dropout::Dropout;

    use crate::ops::dropout::plain::dropped;
    use crate::ops::host_values::host_values;

    /// Queries, keys and values as `[batch, heads, time, size]`.
    fn unpack<B: Backend>(packed: FloatTensor<B>, heads: usize) -> [FloatTensor<B>; 3] {
        let [batch, time, width] = packed.shape().dims();
        let size = width / 3 / heads;
        let split = B::float_reshape(packed, Shape::new([batch, time, 3 * heads, size]));
        let split = B::float_swap_dims(split, 1, 2);
        [0, 1, 2].map(|third| {
            let rows = Slice::from(third * heads..(third + 1) * heads);
            B::float_slice(split.clone(), &[Slice::full(), rows])
        })
    }

    /// `softmax(queries · keysᵀ / sqrt(size))` over the past, `[batch, heads, time, time]`.
    fn probabilities<B: Backend>(queries: FloatTensor<B>, keys: FloatTensor<B>) -> FloatTensor<B> {
        let [_, _, time, size] = queries.shape().dims();
        let scale = 1.0 / (size as f64).sqrt();
        let scores = B::float_matmul(queries, B::float_transpose(keys));
        let scores = B::float_mul_scalar(scores, scale.into());
        let future = (0..time * time)
            .map(|index| {
                if index % time > index / time {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        let future = host_values::<B>(future, Shape::new([1, 1, time, time]), &scores);
        B::softmax(B::float_add(scores, future), 3)
    }

    fn with_dropout<B: Backend>(
        probabilities: FloatTensor<B>,
        dropout: Option<Dropout>,
    ) -> FloatTensor<B> {
        match dropout {
            Some(dropout) => dropped::<B>(probabilities, dropout),
            None => probabilities,
        }
    }

    /// Plain body of the method of this name.
    pub fn causal_attention<B: Backend>(
        packed: FloatTensor<B>,
        heads: usize,
        dropout: Option<Dropout>,
    ) -> FloatTensor<B> {
        let [batch, time, width] = packed.shape().dims();
        let [queries, keys, values] = unpack::<B>(packed, heads);
        let weights = with_dropout::<B>(probabilities::<B>(queries, keys), dropout);
        let output = B::float_matmul(weights, values);
        let output = B::float_swap_dims(output, 1, 2);
        B::float_reshape(output, Shape::new([batch, time, width / 3]))
    }

    /// Plain body of the method of this name.
    pub fn causal_attention_backward<B: Backend>(
        gradient: FloatTensor<B>,
        packed: FloatTensor<B>,
        heads: usize,
        dropout: Option<Dropout>,
    ) -> FloatTensor<B> {
        let [batch, time, width] = packed.shape().dims();
        let size = width / 3 / heads;
        let [queries, keys, values] = unpack::<B>(packed, heads);
        let weights = probabilities::<B>(queries.clone(), keys.clone());
        let gradient = B::float_reshape(gradient, Shape::new([batch, time, heads, size]));
        let gradient = B::float_swap_dims(gradient, 1, 2);
        let used = with_dropout::<B>(weights.clone(), dropout);
        let dvalues = B::float_matmul(B::float_transpose(used), gradient.clone());
        let dweights = B::float_matmul(gradient, B::float_transpose(values));
        let dweights = with_dropout::<B>(dweights, dropout);
        let sums = B::float_sum_dim(B::float_mul(dweights.clone(), weights.clone()), 3);
        let dscores = B::float_mul(weights, B::float_sub(dweights, sums));
        let dscores = B::float_mul_scalar(dscores, (1.0 / (size as f64).sqrt()).into());
        let dqueries = B::float_matmul(dscores.clone(), keys);
        let dkeys = B::float_matmul(B::float_transpose(dscores), queries);
        let packed = B::float_cat(vec![dqueries, dkeys, dvalues], 1);
        B::float_reshape(
            B::float_swap_dims(packed, 1, 2),
            Shape::new([batch, time, width]),
        )
    }
}

/// The shape for a kernel.
fn kernel_shape(packed: &KernelInput, heads: usize) -> kernels::attention::Shape {
    let [batch, time, width] = packed.dims();
    kernels::attention::Shape {
        batch,
        time,
        heads,
        size: width / 3 / heads,
    }
}

impl AttentionOps for Flex {
    fn causal_attention(
        packed: Float,
        heads: usize,
        dropout: Option<Dropout>,
        precision: Precision,
    ) -> Float {
        match kernel_inputs([packed]) {
            Ok([packed]) => {
                let shape = kernel_shape(&packed, heads);
                let output = kernels::attention::forward(&packed, shape, dropout, precision);
                tensor(output, packed.shape_with_channels(packed.channels() / 3))
            }
            Err([packed]) => plain::causal_attention::<Self>(packed, heads, dropout),
        }
    }

    fn causal_attention_backward(
        gradient: Float,
        packed: Float,
        heads: usize,
        dropout: Option<Dropout>,
        precision: Precision,
    ) -> Float {
        match kernel_inputs([gradient, packed]) {
            Ok([gradient, packed]) => {
                let shape = kernel_shape(&packed, heads);
                let output =
                    kernels::attention::backward(&gradient, &packed, shape, dropout, precision);
                tensor(output, packed.shape())
            }
            Err([gradient, packed]) => {
                plain::causal_attention_backward::<Self>(gradient, packed, heads, dropout)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl AttentionOps for burn::backend::Cube {}

impl<B: AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn causal_attention(
        packed: FloatTensor<Self>,
        heads: usize,
        dropout: Option<Dropout>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving_inputs(
            [packed],
            |[packed]| B::causal_attention(packed, heads, dropout, precision),
            move |gradient, [packed]| {
                [B::causal_attention_backward(
                    gradient, packed, heads, dropout, precision,
                )]
            },
        )
    }

    fn linear_attention(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        heads: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Tape::<B, C>::saving(
            [x, weight],
            |[x, weight]| B::linear_attention(x, weight, heads, precision),
            |[x, weight]| {
                let packed = B::linear_without_bias(x.clone(), weight.clone(), precision);
                let few = packed.shape().num_elements() <= KEPT_VALUES;
                let saved = few.then(|| packed.clone());
                let output = B::causal_attention(packed, heads, None, precision);
                (output, (x, weight, saved))
            },
            move |gradient, (x, weight, saved)| {
                let packed = saved.unwrap_or_else(|| {
                    B::linear_without_bias(x.clone(), weight.clone(), precision)
                });
                let dpacked =
                    B::causal_attention_backward(gradient, packed, heads, None, precision);
                B::linear_without_bias_backward(dpacked, x, weight, precision)
            },
        )
    }
}
