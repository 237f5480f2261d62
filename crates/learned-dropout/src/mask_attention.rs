//! The attention of masks with access to later tokens, or with padding. The kernels have only causal
//! attention without padding.
//!
//! It uses burn's operations, so that burn derives its gradient on every device.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Int, Tensor};

/// Attention without projections. With `causal`, a token attends to itself and to earlier tokens,
/// otherwise to all. No other token attends to padding; a padding token attends to itself, so that its
/// softmax is defined.
///
/// # Shapes
/// - `packed`: `[batch, time, 3 · channels]`: queries, keys, values, each head by head
/// - `padding`: `[batch, time]`, true where a token is padding
/// - result: `[batch, time, channels]`
pub(crate) fn attention(
    packed: Tensor<3>,
    heads: usize,
    causal: bool,
    padding: Option<&Tensor<2, Bool>>,
) -> Tensor<3> {
    let [batch, time, width] = packed.dims();
    let (channels, size) = (width / 3, width / 3 / heads);
    let packed_heads = packed
        .reshape([batch, time, 3 * heads, size])
        .swap_dims(1, 2);
    let third = |index: usize| packed_heads.clone().narrow(1, index * heads, heads);
    let scores = third(0).matmul(third(1).transpose()) / (size as f64).sqrt();
    let scores = match hidden([batch, time], causal, padding, &scores) {
        Some(hidden) => {
            scores.mask_fill(hidden.expand([batch, heads, time, time]), f32::NEG_INFINITY)
        }
        None => scores,
    };
    let attended = softmax(scores, 3).matmul(third(2));
    attended.swap_dims(1, 2).reshape([batch, time, channels])
}

/// True for the keys that are hidden from a query, `[batch or 1, 1, queries, keys]`; none if no key is
/// hidden.
fn hidden(
    [batch, time]: [usize; 2],
    causal: bool,
    padding: Option<&Tensor<2, Bool>>,
    like: &Tensor<4>,
) -> Option<Tensor<4, Bool>> {
    let positions = Tensor::<1, Int>::arange(0..time as i64, &like.device());
    let queries = positions.clone().reshape([1, 1, time, 1]);
    let keys = positions.reshape([1, 1, 1, time]);
    let later = causal.then(|| keys.clone().greater(queries.clone()));
    let padded = padding.map(|padding| {
        let padded = padding.clone().reshape([batch, 1, 1, time]);
        padded.bool_and(keys.not_equal(queries))
    });
    match (later, padded) {
        (Some(later), Some(padded)) => Some(later.bool_or(padded)),
        (later, padded) => later.or(padded),
    }
}
