//! The operations on tensors: what modules call.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
pub use kernels::dropout::Dropout;
pub use kernels::mask::{Keep, Moment};
pub use kernels::product::Precision;
pub use kernels::update::AdamW;

use super::TransformerOps;
pub use super::{MaskedSettings, NormSettings};

/// `x · round(0.5 cos(attended + shift) + 0.5)` with straight-through gradients.
///
/// # Shapes
/// - `x`, `attended`, result: `[batch, time, channels]`
/// - `shift`: `[channels]`
pub fn masked_product(
    x: Tensor<3>,
    attended: Tensor<3>,
    shift: Tensor<1>,
    keep: Keep,
) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::masked_product(
        x.into_dispatch(),
        attended.into_dispatch(),
        shift.into_dispatch(),
        keep,
    ))
}

/// `round(0.5 cos(attended + shift) + 0.5)`, zeros and ones, with straight-through gradients.
///
/// # Shapes
/// - `attended`, result: `[batch, time, values]`
/// - `shift`: `[values]`
pub fn rounded_mask(attended: Tensor<3>, shift: Tensor<1>, keep: Keep) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::rounded_mask(
        attended.into_dispatch(),
        shift.into_dispatch(),
        keep,
    ))
}

/// The mean of a moment over the elements of the mask `0.5 cos(attended + shift) + 0.5`, `[1]`.
pub fn mask_mean(attended: Tensor<3>, shift: Tensor<1>, moment: Moment) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::mask_mean(
        attended.into_dispatch(),
        shift.into_dispatch(),
        moment,
    ))
}

/// The mask `0.5 + 0.5 Σ_k weight_k cos(k · attended + angle_k)` of weights that are positive and add up
/// to 1 for each value. It is clamped to [0, 1], which rounding may leave; gradients are those without.
///
/// # Shapes
/// - `attended`, result: `[batch, time, values]`
/// - `angles`, `weights`: `[terms, values]`
pub fn cosine_series(attended: Tensor<3>, angles: Tensor<2>, weights: Tensor<2>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::cosine_series(
        attended.into_dispatch(),
        angles.into_dispatch(),
        weights.into_dispatch(),
    ))
}

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
    Tensor::from_dispatch(<Dispatch as TransformerOps>::causal_attention(
        packed.into_dispatch(),
        heads,
        dropout,
        precision,
    ))
}

/// [`causal_attention`] over the queries, keys and values that [`linear`] makes of `x`; where they are
/// many, they are made again for the backward pass.
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
    Tensor::from_dispatch(<Dispatch as TransformerOps>::linear_attention(
        x.into_dispatch(),
        weight.into_dispatch(),
        heads,
        precision,
    ))
}

/// `x · weightᵀ`.
///
/// # Shapes
/// - `x`: `[batch, time, inputs]`
/// - `weight`: `[outputs, inputs]`
/// - result: `[batch, time, outputs]`
pub fn linear(x: Tensor<3>, weight: Tensor<2>, precision: Precision) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::linear_without_bias(
        x.into_dispatch(),
        weight.into_dispatch(),
        precision,
    ))
}

/// [`linear`] of [`layer_norm`] of `x`; what is between the two is made again for the backward pass.
///
/// # Shapes
/// - `x`: `[batch, time, inputs]`
/// - `norm`: `[inputs]`
/// - `weight`: `[outputs, inputs]`
/// - result: `[batch, time, outputs]`
pub fn norm_linear(
    x: Tensor<3>,
    norm: Tensor<1>,
    weight: Tensor<2>,
    settings: NormSettings,
) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::norm_linear(
        x.into_dispatch(),
        norm.into_dispatch(),
        weight.into_dispatch(),
        settings,
    ))
}

/// `gelu(layer_norm(x) · upᵀ) · downᵀ`; what is between is made again for the backward pass, but for the
/// input of the GELU where that is not much.
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
    Tensor::from_dispatch(<Dispatch as TransformerOps>::norm_feed_forward(
        x.into_dispatch(),
        norm.into_dispatch(),
        up.into_dispatch(),
        down.into_dispatch(),
        settings,
    ))
}

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
    Tensor::from_dispatch(<Dispatch as TransformerOps>::gated_experts(
        x.into_dispatch(),
        gates.into_dispatch(),
        up.into_dispatch(),
        down.into_dispatch(),
        precision,
    ))
}

/// [`norm_feed_forward`] with hidden units that are multiplied by factors after the GELU; unit `i` by
/// factor `i / group`, with as many units to a group as the shapes say.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `norm`: `[channels]`
/// - `up`: `[hidden, channels]`
/// - `down`: `[channels, hidden]`
/// - `factors`: `[batch, time, groups]`, with groups a divisor of hidden
pub fn masked_feed_forward(
    x: Tensor<3>,
    norm: Tensor<1>,
    [up, down]: [Tensor<2>; 2],
    factors: Tensor<3>,
    settings: MaskedSettings,
) -> Tensor<3> {
    let ([hidden, _], [_, _, groups]) = (up.dims(), factors.dims());
    assert!(
        groups > 0 && hidden.is_multiple_of(groups),
        "{groups} groups do not divide {hidden} hidden units"
    );
    Tensor::from_dispatch(<Dispatch as TransformerOps>::masked_feed_forward(
        x.into_dispatch(),
        norm.into_dispatch(),
        up.into_dispatch(),
        down.into_dispatch(),
        factors.into_dispatch(),
        settings,
    ))
}

/// The last `values · group` channels of `x` times one factor for each group of neighbours; the
/// channels before them as they are. With `kept_only`, the gradient of a factor of 0 is 0.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `factors`: `[batch, time, values]`
pub fn grouped_product(
    x: Tensor<3>,
    factors: Tensor<3>,
    group: usize,
    kept_only: bool,
) -> Tensor<3> {
    let ([_, _, channels], [_, _, values]) = (x.dims(), factors.dims());
    assert!(
        group > 0 && values * group <= channels,
        "{values} groups of {group} do not fit {channels} channels"
    );
    Tensor::from_dispatch(<Dispatch as TransformerOps>::grouped_product(
        x.into_dispatch(),
        factors.into_dispatch(),
        group,
        kept_only,
    ))
}

/// `max(x, 0)`.
pub fn relu(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::relu_units(x.into_dispatch()))
}

/// The mean of all elements, `[1]`.
pub fn mean(values: Tensor<3>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::mean(values.into_dispatch()))
}

/// For each channel of `[batch, time, channels]` the share of tokens where it is not 0, `[channels]`.
/// Without gradient.
pub fn used_share(values: Tensor<3>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::used_share(
        values.into_dispatch(),
    ))
}

/// The softmax of the `count` best of the scores of each token, `[batch, time, experts]`, and 0 for the
/// others. Of equal scores the first is the better one.
pub fn best_gates(scores: Tensor<3>, count: usize) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::best_gates(
        scores.into_dispatch(),
        count,
    ))
}

/// The mean over all tokens of the softmax of their scores, `[batch, time, experts]`: `[experts]`.
pub fn mean_softmax(scores: Tensor<3>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::mean_softmax(
        scores.into_dispatch(),
    ))
}

/// The rows of `table` that `ids` name, and the table for another use: the gradient of the rows is
/// added into the one of the other use.
///
/// # Shapes
/// - `table`: `[entries, channels]`
/// - `ids`: `[count]`, each below the entries
/// - result: `[count, channels]` and `[entries, channels]`
pub fn tied_rows(table: Tensor<2>, ids: Tensor<1, Int>) -> (Tensor<2>, Tensor<2>) {
    let (rows, table) =
        <Dispatch as TransformerOps>::tied_rows(table.into_dispatch(), ids.into_dispatch());
    (Tensor::from_dispatch(rows), Tensor::from_dispatch(table))
}

/// Ordinary dropout: element `i` is decided by position `i` of the generator.
pub fn dropped<const D: usize>(x: Tensor<D>, dropout: Dropout) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::dropped(
        x.into_dispatch(),
        dropout,
    ))
}

/// The exact GELU, `x Φ(x)`, from Hendrycks and Gimpel, "Gaussian error linear units" (2016).
pub fn gelu(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::exact_gelu(x.into_dispatch()))
}

/// LayerNorm without bias: `(x − mean) / sqrt(variance + epsilon) · weight` over the channels.
///
/// # Shapes
/// - `x`, result: `[batch, time, channels]`
/// - `weight`: `[channels]`
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, epsilon: f32) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::layer_norm_without_bias(
        x.into_dispatch(),
        weight.into_dispatch(),
        epsilon,
    ))
}

/// `left + right` of one shape.
///
/// # Panics
/// If the shapes differ: nothing is repeated here.
pub fn sum_of_two<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
    assert_eq!(left.dims(), right.dims(), "shapes differ");
    Tensor::from_dispatch(<Dispatch as TransformerOps>::sum_of_two(
        left.into_dispatch(),
        right.into_dispatch(),
    ))
}

/// `x + shared`: what all sequences share is added to each.
///
/// # Shapes
/// - `x`: `[batch, time, channels]`
/// - `shared`: `[time, channels]`
/// - result: `[batch, time, channels]`
///
/// # Panics
/// If the shapes do not fit each other.
pub fn sum_with_shared(x: Tensor<3>, shared: Tensor<2>) -> Tensor<3> {
    let [_, time, channels] = x.dims();
    assert_eq!(shared.dims(), [time, channels], "shapes differ");
    Tensor::from_dispatch(<Dispatch as TransformerOps>::sum_with_shared(
        x.into_dispatch(),
        shared.into_dispatch(),
    ))
}

/// The same tensor twice, for two uses whose gradients are added by a kernel. It must be the result
/// of another operation, not a parameter.
pub(crate) fn duplicated(tensor: Tensor<3>) -> [Tensor<3>; 2] {
    let (first, second) = <Dispatch as TransformerOps>::duplicated(tensor.into_dispatch());
    [first, second].map(Tensor::from_dispatch)
}

/// `tensor · factor`. Without gradient.
pub fn scaled(tensor: Tensor<1>, factor: f32) -> Tensor<1> {
    let factor = Tensor::<1>::from_floats([factor], &tensor.device());
    Tensor::from_dispatch(<Dispatch as TransformerOps>::scaled(
        tensor.into_dispatch(),
        factor.into_dispatch(),
    ))
}

/// The sum of the squares of all elements, `[1]`. Without gradient.
pub fn sum_of_squares(tensor: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::sum_of_squares(
        tensor.into_dispatch(),
    ))
}

/// One update of AdamW: the new parameter, first and second moment. Without gradient.
pub fn adamw(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: [Tensor<1>; 2],
    step: AdamW,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let [first, second] = moments;
    let (parameter, first, second) = <Dispatch as TransformerOps>::adamw(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        step,
    );
    let [first, second] = [first, second].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(parameter), [first, second])
}

/// The mean cross-entropy of `softmax(hidden · weightᵀ)` in nats, `[1]`.
///
/// # Shapes
/// - `hidden`: `[tokens, channels]`
/// - `weight`: `[vocabulary, channels]`
/// - `targets`: `[tokens]`, each below the vocabulary
pub fn linear_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    precision: Precision,
) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::linear_cross_entropy(
        hidden.into_dispatch(),
        weight.into_dispatch(),
        targets.into_dispatch(),
        precision,
    ))
}
