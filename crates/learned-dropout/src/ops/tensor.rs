//! The operations on tensors: what modules call.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
pub use kernels::mask::{Keep, Moment};

use super::TransformerOps;

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

/// The mean of a moment over the elements of the mask `0.5 cos(attended + shift) + 0.5`, `[1]`.
pub fn mask_mean(attended: Tensor<3>, shift: Tensor<1>, moment: Moment) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::mask_mean(
        attended.into_dispatch(),
        shift.into_dispatch(),
        moment,
    ))
}

/// Causal attention over packed queries, keys and values, without dropout.
///
/// # Shapes
/// - `packed`: `[batch, time, 3 · channels]`: queries, keys, values, each head by head
/// - result: `[batch, time, channels]`
pub fn causal_attention(packed: Tensor<3>, heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::causal_attention(
        packed.into_dispatch(),
        heads,
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
) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as TransformerOps>::linear_cross_entropy(
        hidden.into_dispatch(),
        weight.into_dispatch(),
        targets.into_dispatch(),
    ))
}
