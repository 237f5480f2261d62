//! Causal multi-head attention.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::dropout;
use crate::linear::Linear;
use crate::ops::{self, tensor::AttentionDropout};
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
    let purpose = Purpose::AttentionProbabilityDropout;
    let key = pass.dropout_key().filter(|_| rate > 0.0);
    let dropout = key.map(|key| AttentionDropout {
        rate,
        generator: key.stream(purpose, layer),
    });
    ops::tensor::causal_attention(packed, heads, dropout)
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
