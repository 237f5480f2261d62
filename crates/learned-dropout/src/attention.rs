//! Causal multi-head attention.

use burn::module::Module;
use burn::tensor::{Bool, Tensor, activation::softmax};

use crate::dropout::dropout;
use crate::linear::Linear;
use crate::ops;
use crate::pass::{Pass, Purpose};

/// Causal attention over packed queries, keys and values, without any projection.
///
/// Scores are scaled by `1 / sqrt(head size)` and masked before the softmax. `rate` is the
/// ordinary dropout on the probabilities.
///
/// # Shapes
/// - `packed`: `[batch, time, 3 · channels]`: queries, keys, values, each head by head
/// - result: `[batch, time, channels]`
pub fn causal_attention(
    packed: Tensor<3>,
    heads: usize,
    rate: f64,
    pass: &Pass,
    layer: usize,
) -> Tensor<3> {
    if rate == 0.0 || pass.dropout_key().is_none() {
        return ops::tensor::causal_attention(packed, heads);
    }
    let [batch, time, packed_width] = packed.dims();
    let width = packed_width / 3;
    let size = width / heads;
    let split = |index: usize| {
        packed
            .clone()
            .narrow(2, index * width, width)
            .reshape([batch, time, heads, size])
            .swap_dims(1, 2)
    };
    let (queries, keys, values) = (split(0), split(1), split(2));
    let scores = queries.matmul(keys.transpose()) * (1.0 / (size as f64).sqrt());
    let future = Tensor::<2, Bool>::tril_mask([time, time], 0, &scores.device());
    let scores = scores.mask_fill(future.unsqueeze(), f32::NEG_INFINITY);
    let probabilities = dropout(
        softmax(scores, 3),
        rate,
        pass,
        Purpose::AttentionProbabilityDropout,
        layer,
    );
    probabilities
        .matmul(values)
        .swap_dims(1, 2)
        .reshape([batch, time, width])
}

/// Attention with its projections: packed queries, keys and values in, one output.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[3 · width, width]`: queries, keys, values.
    pub query_key_value: Linear,
    /// `[width, width]`.
    pub output: Linear,
    /// Number of heads.
    pub heads: usize,
    /// Ordinary dropout on probabilities and output.
    pub rate: f64,
    /// Number of the block, or [`OUTSIDE_BLOCKS`](crate::pass::OUTSIDE_BLOCKS).
    pub layer: usize,
}

impl Attention {
    /// Attends over `[batch, time, width]`; the result has the same shape.
    pub fn forward(&self, input: Tensor<3>, pass: &Pass) -> Tensor<3> {
        let packed = self.query_key_value.forward(input);
        let attended = causal_attention(packed, self.heads, self.rate, pass, self.layer);
        let output = self.output.forward(attended);
        dropout(
            output,
            self.rate,
            pass,
            Purpose::AttentionOutputDropout,
            self.layer,
        )
    }
}
