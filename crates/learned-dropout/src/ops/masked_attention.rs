//! Causal attention with a mask on its heads that is known before it, and its output projection.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, backend_extension};
use burn::tensor::Tensor;
use kernels::dropout::Dropout;
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::{attention, kept_linear};

use super::attention::AttentionOps;
use super::cpu::{Float, KernelInput, kernel_inputs, tensor};
use super::linear::{LinearOps, kernel_shape as linear_shape};
use super::masked_feed_forward::kept_share;
use super::tape::Tape;

/// How a masked attention is computed.
#[derive(Clone, Copy, Debug)]
pub struct MaskedAttentionSettings {
    /// The dropout on the probabilities.
    pub dropout: Option<Dropout>,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// [`causal_attention`](super::causal_attention) times one factor for each token and head, then
/// [`linear`](super::linear()). The gradient of a factor of 0 is 0. The CPU backend leaves out the queries of
/// pairs of a token and a head whose factor is 0, and their part of the linear layer, where that is faster.
///
/// # Shapes
/// - `packed`: `[batch, time, 3 · channels]`: queries, keys, values, each head by head
/// - `factors`: `[batch, time, heads]`
/// - `weight`: `[outputs, channels]`
/// - result: `[batch, time, outputs]`
pub fn masked_attention(
    packed: Tensor<3>,
    factors: Tensor<3>,
    weight: Tensor<2>,
    settings: MaskedAttentionSettings,
) -> Tensor<3> {
    let ([_, _, channels], [_, _, heads]) = (packed.dims(), factors.dims());
    assert!(
        heads > 0 && channels.is_multiple_of(3 * heads),
        "{heads} heads do not divide {channels} channels of queries, keys and values"
    );
    on_backend!(masked_attention(packed, factors, weight; settings))
}

/// Masked attention on a backend.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait MaskedAttentionOps: AttentionOps {
    /// `(attention(packed) · factors) · weightᵀ`, with one factor for each token and head, `factors` of
    /// `[batch, time, heads]`. The gradient of a factor of 0 is 0.
    fn masked_attention(
        packed: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: MaskedAttentionSettings,
    ) -> FloatTensor<Self> {
        let heads = Self::masked_heads(packed, factors.clone(), settings);
        Self::kept_heads_linear(heads, factors, weight, settings.precision)
    }

    /// `attention(packed) · factors`, `[batch, time, channels]`. A query whose factor is 0 need not attend.
    fn masked_heads(
        packed: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedAttentionSettings,
    ) -> FloatTensor<Self> {
        plain::masked_heads::<Self>(packed, factors, settings.dropout)
    }

    /// The gradients of [`masked_heads`](Self::masked_heads) with respect to `packed` and `factors`; 0 for a
    /// factor of 0. The gradient of an output whose factor is 0 does not matter.
    fn masked_heads_backward(
        gradient: FloatTensor<Self>,
        packed: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedAttentionSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::masked_heads_backward::<Self>(gradient, packed, factors, settings.dropout)
    }

    /// `heads · weightᵀ`, where `heads`, `[batch, time, channels]`, is 0 wherever the factor is.
    fn kept_heads_linear(
        heads: FloatTensor<Self>,
        _factors: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Self::linear_without_bias(heads, weight, precision)
    }

    /// The gradients of [`kept_heads_linear`](Self::kept_heads_linear) with respect to `heads` and `weight`.
    /// Where a factor is 0, the gradient of `heads` is any number.
    fn kept_heads_linear_backward(
        gradient: FloatTensor<Self>,
        heads: FloatTensor<Self>,
        _factors: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        Self::linear_without_bias_backward(gradient, heads, weight, precision)
    }
}

pub mod plain {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use kernels::dropout::Dropout;

    use crate::ops::attention::plain::{causal_attention, causal_attention_backward};
    use crate::ops::grouped_product::plain::{grouped_product, grouped_product_backward};

    /// The number of heads, and the channels of each.
    fn heads<B: Backend>(packed: &FloatTensor<B>, factors: &FloatTensor<B>) -> (usize, usize) {
        let heads = factors.shape()[2];
        (heads, packed.shape()[2] / 3 / heads)
    }

    /// Plain body of the method of this name.
    pub fn masked_heads<B: Backend>(
        packed: FloatTensor<B>,
        factors: FloatTensor<B>,
        dropout: Option<Dropout>,
    ) -> FloatTensor<B> {
        let (heads, size) = heads::<B>(&packed, &factors);
        let attended = causal_attention::<B>(packed, heads, dropout);
        grouped_product::<B>(attended, factors, size)
    }

    /// Plain body of the method of this name.
    pub fn masked_heads_backward<B: Backend>(
        gradient: FloatTensor<B>,
        packed: FloatTensor<B>,
        factors: FloatTensor<B>,
        dropout: Option<Dropout>,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (heads, size) = heads::<B>(&packed, &factors);
        let attended = causal_attention::<B>(packed.clone(), heads, dropout);
        let (dattended, dfactors) =
            grouped_product_backward::<B>(gradient, attended, factors, size, true);
        let dpacked = causal_attention_backward::<B>(dattended, packed, heads, dropout);
        (dpacked, dfactors)
    }
}

/// The shape of the attention for a kernel.
fn attention_shape(packed: &KernelInput, factors: &KernelInput) -> attention::Shape {
    let [batch, time, width] = packed.dims();
    let heads = factors.channels();
    attention::Shape {
        batch,
        time,
        heads,
        size: width / 3 / heads,
    }
}

/// The kept heads, where it is faster to multiply them alone.
fn few_kept(
    heads: &KernelInput,
    factors: &KernelInput,
    precision: Precision,
) -> Option<KeptGroups> {
    let groups = factors.channels();
    let size = heads.channels() / groups;
    kept_linear::is_faster_than_dense(size, kept_share(factors), precision)
        .then(|| KeptGroups::new(factors, factors.len() / groups, groups))
}

impl MaskedAttentionOps for Flex {
    fn masked_heads(packed: Float, factors: Float, settings: MaskedAttentionSettings) -> Float {
        let MaskedAttentionSettings { dropout, precision } = settings;
        match kernel_inputs([packed, factors]) {
            Ok([packed, factors]) => {
                let shape = attention_shape(&packed, &factors);
                let output =
                    attention::forward_masked(&packed, &factors, shape, dropout, precision);
                tensor(output, packed.shape_with_channels(packed.channels() / 3))
            }
            Err([packed, factors]) => plain::masked_heads::<Self>(packed, factors, dropout),
        }
    }

    fn masked_heads_backward(
        gradient: Float,
        packed: Float,
        factors: Float,
        settings: MaskedAttentionSettings,
    ) -> (Float, Float) {
        let MaskedAttentionSettings { dropout, precision } = settings;
        match kernel_inputs([gradient, packed, factors]) {
            Ok([gradient, packed, factors]) => {
                let shape = attention_shape(&packed, &factors);
                let (dpacked, dfactors) = attention::backward_masked(
                    &gradient, &packed, &factors, shape, dropout, precision,
                );
                (
                    tensor(dpacked, packed.shape()),
                    tensor(dfactors, factors.shape()),
                )
            }
            Err([gradient, packed, factors]) => {
                plain::masked_heads_backward::<Self>(gradient, packed, factors, dropout)
            }
        }
    }

    fn kept_heads_linear(
        heads: Float,
        factors: Float,
        weight: Float,
        precision: Precision,
    ) -> Float {
        match kernel_inputs([heads, factors, weight]) {
            Ok([heads, factors, weight]) => {
                let shape = linear_shape(&heads, &weight);
                let output = match few_kept(&heads, &factors, precision) {
                    Some(kept) => kept_linear::forward(&heads, &weight, &kept, shape, precision),
                    None => kernels::linear::forward(&heads, None, &weight, shape, precision),
                };
                tensor(output, heads.shape_with_channels(shape.outputs))
            }
            Err([heads, _, weight]) => Self::linear_without_bias(heads, weight, precision),
        }
    }

    fn kept_heads_linear_backward(
        gradient: Float,
        heads: Float,
        factors: Float,
        weight: Float,
        precision: Precision,
    ) -> (Float, Float) {
        match kernel_inputs([gradient, heads, factors, weight]) {
            Ok([gradient, heads, factors, weight]) => {
                let shape = linear_shape(&heads, &weight);
                let (dheads, dweight) = match few_kept(&heads, &factors, precision) {
                    Some(kept) => {
                        let found = kept_linear::backward(
                            &gradient, &heads, &weight, &kept, shape, precision,
                        );
                        (found.x, found.weight)
                    }
                    None => {
                        let found = kernels::linear::backward(
                            &gradient, &heads, None, &weight, shape, precision,
                        );
                        (found.x, found.weight)
                    }
                };
                (
                    tensor(dheads, heads.shape()),
                    tensor(dweight, weight.shape()),
                )
            }
            Err([gradient, heads, _, weight]) => {
                Self::linear_without_bias_backward(gradient, heads, weight, precision)
            }
        }
    }
}

#[cfg(feature = "gpu")]
impl MaskedAttentionOps for burn::backend::Cube {}

impl<B: MaskedAttentionOps, C: CheckpointStrategy> MaskedAttentionOps for Autodiff<B, C> {
    fn masked_attention(
        packed: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: MaskedAttentionSettings,
    ) -> FloatTensor<Self> {
        let precision = settings.precision;
        Tape::<B, C>::saving(
            [packed, factors, weight],
            |[packed, factors, weight]| B::masked_attention(packed, factors, weight, settings),
            |[packed, factors, weight]| {
                let heads = B::masked_heads(packed.clone(), factors.clone(), settings);
                let (saved, kept) = (heads.clone(), factors.clone());
                let output = B::kept_heads_linear(heads, kept, weight.clone(), precision);
                (output, [packed, factors, weight, saved])
            },
            move |gradient, [packed, factors, weight, heads]| {
                let kept = factors.clone();
                let (dheads, dweight) =
                    B::kept_heads_linear_backward(gradient, heads, kept, weight, precision);
                let (dpacked, dfactors) =
                    B::masked_heads_backward(dheads, packed, factors, settings);
                (dpacked, dfactors, dweight)
            },
        )
    }
}
