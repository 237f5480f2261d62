//! Operations of this crate on burn's backends.
//!
//! Each one is a method of [`TransformerOps`] with a plain default body made of backend
//! operations ([`mod@reference`]), which every backend takes as it is. The CPU backend replaces it
//! by a call of `kernels`; on training devices an explicit backward pass calls the matching
//! `…_backward` method of the backend below. The functions in [`mod@tensor`] are how the
//! modules call them.
//!
//! A [`Precision`] says what the CPU backend rounds the operands of matrix products to. Other
//! backends multiply in the type of the tensors.

mod autodiff;
pub mod experts;
mod flex;
pub mod reference;
pub mod routing;
pub mod series;
pub mod tensor;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::Shape;
use kernels::dropout::Dropout;
use kernels::mask::{Keep, Moment};
use kernels::product::Precision;
use kernels::update::AdamW;

/// How what follows a LayerNorm is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSettings {
    /// What the norm adds to the variance.
    pub epsilon: f32,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// How a masked feed-forward is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedSettings {
    /// What the norm adds to the variance.
    pub epsilon: f32,
    /// Whether the gradient of a factor of 0 is 0.
    pub kept_only: bool,
    /// What the CPU backend rounds operands to.
    pub precision: Precision,
}

/// The operations, with their plain bodies.
#[backend_extension(
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "vulkan", feature = "metal")),
    Autodiff
)]
pub trait TransformerOps: Backend {
    /// `x · round(0.5 cos(attended + shift) + 0.5)`, all `[batch, time, channels]` but the shift,
    /// `[channels]`.
    fn masked_product(
        x: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        reference::masked_product::<Self>(x, attended, shift, keep)
    }

    /// The gradients of [`masked_product`](Self::masked_product) with respect to `x`, `attended` and
    /// `shift`, straight through the rounding.
    fn masked_product_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::masked_product_backward::<Self>(gradient, x, attended, shift, keep)
    }

    /// `round(0.5 cos(attended + shift) + 0.5)` for `attended` of `[batch, time, values]` and `shift` of
    /// `[values]`.
    fn rounded_mask(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        reference::rounded_mask::<Self>(attended, shift, keep)
    }

    /// The gradients of [`rounded_mask`](Self::rounded_mask) with respect to `attended` and `shift`,
    /// straight through the rounding.
    fn rounded_mask_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::rounded_mask_backward::<Self>(gradient, attended, shift)
    }

    /// The mean of a moment over the elements of `0.5 cos(attended + shift) + 0.5`, `[1]`.
    fn mask_mean(
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        moment: Moment,
    ) -> FloatTensor<Self> {
        reference::mask_mean::<Self>(attended, shift, moment)
    }

    /// The gradients of [`mask_mean`](Self::mask_mean) with respect to `attended` and `shift`;
    /// `gradient` is `[1]`.
    fn mask_mean_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        moment: Moment,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::mask_mean_backward::<Self>(gradient, attended, shift, moment)
    }

    /// `0.5 + 0.5 Σ_k weight_k cos(k · attended + angle_k)`, in [0, 1]: `attended` is `[batch, time,
    /// values]`, `angles` and `weights` are `[terms, values]`.
    fn cosine_series(
        attended: FloatTensor<Self>,
        angles: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        series::cosine_series::<Self>(attended, angles, weights)
    }

    /// The gradients of [`cosine_series`](Self::cosine_series) with respect to all three.
    fn cosine_series_backward(
        gradient: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        angles: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        series::cosine_series_backward::<Self>(gradient, attended, angles, weights)
    }

    /// The last `values · group` channels of `x`, `[batch, time, channels]`, times one factor for each
    /// group of neighbours, `[batch, time, values]`.
    fn grouped_product(
        x: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        group: usize,
        _kept_only: bool,
    ) -> FloatTensor<Self> {
        reference::grouped_product::<Self>(x, factors, group)
    }

    /// The gradients of [`grouped_product`](Self::grouped_product) with respect to `x` and `factors`;
    /// with `kept_only`, 0 for a factor of 0.
    fn grouped_product_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        group: usize,
        kept_only: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::grouped_product_backward::<Self>(gradient, x, factors, group, kept_only)
    }

    /// Causal attention over packed queries, keys and values: `[batch, time, 3 · channels]` to
    /// `[batch, time, channels]`; `dropout` is on the probabilities. The CPU backend rounds the operands
    /// of all products to the precision.
    fn causal_attention(
        packed: FloatTensor<Self>,
        heads: usize,
        dropout: Option<Dropout>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        reference::causal_attention::<Self>(packed, heads, dropout)
    }

    /// The gradient of [`causal_attention`](Self::causal_attention) with respect to `packed`.
    fn causal_attention_backward(
        gradient: FloatTensor<Self>,
        packed: FloatTensor<Self>,
        heads: usize,
        dropout: Option<Dropout>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        reference::causal_attention_backward::<Self>(gradient, packed, heads, dropout)
    }

    /// [`causal_attention`](Self::causal_attention) over the queries, keys and values that
    /// [`linear_without_bias`](Self::linear_without_bias) makes of `x`. On training devices they are
    /// made again for the backward pass where they are many.
    fn linear_attention(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        heads: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let packed = Self::linear_without_bias(x, weight, precision);
        Self::causal_attention(packed, heads, None, precision)
    }

    /// `x · weightᵀ` for `x` of `[batch, time, inputs]` and `weight` of `[outputs, inputs]`.
    fn linear_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        reference::linear::<Self>(x, weight)
    }

    /// The gradients of [`linear_without_bias`](Self::linear_without_bias) with respect to `x` and `weight`.
    fn linear_without_bias_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        _precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::linear_backward::<Self>(gradient, x, weight)
    }

    /// [`linear_without_bias`](Self::linear_without_bias) of [`layer_norm_without_bias`](Self::layer_norm_without_bias) of `x`.
    fn norm_linear(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        reference::norm_linear::<Self>(x, norm, weight, settings.epsilon)
    }

    /// The gradients of [`norm_linear`](Self::norm_linear) with respect to `x`, `norm` and `weight`.
    fn norm_linear_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::norm_linear_backward::<Self>(gradient, x, norm, weight, settings.epsilon)
    }

    /// `gelu(norm(x) · upᵀ) · downᵀ` for `x` of `[batch, time, channels]`, `norm` of `[channels]`,
    /// `up` of `[hidden, channels]` and `down` of `[channels, hidden]`.
    fn norm_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        settings: NormSettings,
    ) -> FloatTensor<Self> {
        reference::norm_feed_forward::<Self>(x, norm, up, down, settings.epsilon)
    }

    /// [`norm_feed_forward`](Self::norm_feed_forward), and what its backward pass need not make again:
    /// the hidden units before the GELU, `[batch, time, hidden]`, or nothing, `[0]`.
    fn norm_feed_forward_keeping(
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
    /// `up` and `down`; `kept` is what [`norm_feed_forward_keeping`](Self::norm_feed_forward_keeping) has
    /// kept.
    fn norm_feed_forward_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        _kept: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let epsilon = settings.epsilon;
        reference::norm_feed_forward_backward::<Self>(gradient, x, norm, up, down, epsilon)
    }

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
        experts::gated_experts::<Self>(x, gates, up, down)
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
        experts::gated_experts_backward::<Self>(gradient, x, gates, up, down)
    }

    /// [`norm_feed_forward`](Self::norm_feed_forward) with groups of neighbouring hidden units times
    /// one factor each, `factors` of `[batch, time, groups]`, after the GELU. A unit whose factor is
    /// 0 need not be computed.
    fn masked_feed_forward(
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> FloatTensor<Self> {
        reference::masked_feed_forward::<Self>(x, norm, up, down, factors, settings)
    }

    /// The gradients of [`masked_feed_forward`](Self::masked_feed_forward) with respect to `x`, `norm`,
    /// `up`, `down` and `factors`. With `settings.kept_only`, the gradient of a factor of 0 is 0, and
    /// then a unit whose factor is 0 need not be computed here either.
    // Named types are unknown to the macro.
    #[allow(clippy::type_complexity)]
    fn masked_feed_forward_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        factors: FloatTensor<Self>,
        settings: MaskedSettings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        reference::masked_feed_forward_backward::<Self>(
            gradient, x, norm, up, down, factors, settings,
        )
    }

    /// `max(x, 0)`.
    fn relu_units(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::relu(x)
    }

    /// The gradient of [`relu_units`](Self::relu_units) from its output, `relu`.
    fn relu_units_backward(
        gradient: FloatTensor<Self>,
        relu: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        routing::relu_units_backward::<Self>(gradient, relu)
    }

    /// The mean of all elements, `[1]`.
    fn mean(values: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mean(values)
    }

    /// The gradient of [`mean`](Self::mean) for values of this shape; `gradient` is `[1]`.
    fn mean_backward(gradient: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        routing::mean_backward::<Self>(gradient, shape)
    }

    /// For each channel of `[batch, time, channels]` the share of tokens where it is not 0,
    /// `[channels]`. Without gradient.
    fn used_share(values: FloatTensor<Self>) -> FloatTensor<Self> {
        routing::used_share::<Self>(values)
    }

    /// The softmax of the `count` best of the scores of each token, `[batch, time, experts]`, and 0 for
    /// the others.
    fn best_gates(scores: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        routing::best_gates::<Self>(scores, count)
    }

    /// The gradient of [`best_gates`](Self::best_gates) from the gates.
    fn best_gates_backward(
        gradient: FloatTensor<Self>,
        gates: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        routing::best_gates_backward::<Self>(gradient, gates)
    }

    /// The mean over all tokens of the softmax of their scores, `[batch, time, experts]`: `[experts]`.
    fn mean_softmax(scores: FloatTensor<Self>) -> FloatTensor<Self> {
        routing::mean_softmax::<Self>(scores)
    }

    /// The gradient of [`mean_softmax`](Self::mean_softmax); `gradient` is `[experts]`.
    fn mean_softmax_backward(
        gradient: FloatTensor<Self>,
        scores: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        routing::mean_softmax_backward::<Self>(gradient, scores)
    }

    /// The rows of `table`, `[entries, channels]`, that `ids`, `[count]`, name: `[count, channels]`.
    fn rows(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        Self::float_select(table, 0, ids)
    }

    /// Adds row `i` of `gradient` to row `ids[i]` of `table`.
    fn add_to_rows(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::add_to_rows::<Self>(table, ids, gradient)
    }

    /// [`rows`](Self::rows) of a table, and the table once more for another use: the gradient of the
    /// rows is added into the one of the other use.
    fn tied_rows(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        (Self::rows(table.clone(), ids), table)
    }

    /// Ordinary dropout: element `i` is decided by position `i` of the generator.
    fn dropped(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        reference::dropped::<Self>(x, Some(dropout))
    }

    /// The exact GELU, `x Φ(x)`.
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::gelu::<Self>(x)
    }

    /// The gradient of [`exact_gelu`](Self::exact_gelu).
    fn exact_gelu_backward(gradient: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::gelu_backward::<Self>(gradient, x)
    }

    /// `(x − mean) / sqrt(variance + epsilon) · weight` over the channels of each token, for `x` of
    /// `[batch, time, channels]` and `weight` of `[channels]`.
    fn layer_norm_without_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        reference::layer_norm::<Self>(x, weight, epsilon)
    }

    /// The gradients of [`layer_norm_without_bias`](Self::layer_norm_without_bias) with respect to
    /// `x` and `weight`.
    fn layer_norm_without_bias_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::layer_norm_backward::<Self>(gradient, x, weight, epsilon)
    }

    /// `left + right` of one shape.
    fn sum_of_two(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_add(left, right)
    }

    /// `x + shared` for `x` of `[batch, time, channels]` and what all sequences share, `[time, channels]`.
    fn sum_with_shared(x: FloatTensor<Self>, shared: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::sum_with_shared::<Self>(x, shared)
    }

    /// The gradient of what is shared in [`sum_with_shared`](Self::sum_with_shared): the sum of
    /// `gradient`, `[batch, time, channels]`, over the batch.
    fn sum_over_batch(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::sum_over_batch::<Self>(gradient)
    }

    /// The same tensor twice, for two uses whose gradients are added by
    /// [`sum_of_two`](Self::sum_of_two).
    fn duplicated(tensor: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        (tensor.clone(), tensor)
    }

    /// `tensor · factor` with a factor of one element.
    fn scaled(tensor: FloatTensor<Self>, factor: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::scaled::<Self>(tensor, factor)
    }

    /// The sum of the squares of all elements, `[1]`. Without gradient.
    fn sum_of_squares(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_sum(Self::float_mul(tensor.clone(), tensor))
    }

    /// One update of AdamW: parameter, first and second moment, from their old values and the
    /// gradient. All have one shape. Without gradient.
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamW,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::adamw::<Self>(parameter, gradient, first, second, step)
    }

    /// The mean cross-entropy, `[1]`, of `softmax(hidden · weightᵀ)` in nats, for `hidden` of
    /// `[tokens, channels]`, `weight` of `[vocabulary, channels]` and `targets` of `[tokens]`.
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        reference::linear_cross_entropy::<Self>(hidden, weight, targets)
    }

    /// The value of [`linear_cross_entropy`](Self::linear_cross_entropy) and its gradients with
    /// respect to `hidden` and `weight`.
    fn linear_cross_entropy_with_gradients(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        _precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::linear_cross_entropy_with_gradients::<Self>(hidden, weight, targets)
    }
}

/// The CubeCL runtimes (CUDA, Vulkan, Metal) take the plain bodies.
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]
impl TransformerOps for burn::backend::Cube {}
