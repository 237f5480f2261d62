//! Causal multi-head attention.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::dropout::{active_dropout, dropout};
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::tensor::{self, Precision};
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
    tensor::causal_attention(packed, heads, active_dropout(rate, pass, purpose, layer))
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
    /// Sets what the linear layers round their operands to.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.query_key_value.precision = precision;
        self.output.precision = precision;
    }

    /// Attends over `[batch, time, width]`, after a norm where there is one; the result has the same
    /// shape.
    pub fn forward(&self, norm: Option<&LayerNorm>, input: Tensor<3>, pass: &Pass) -> Tensor<3> {
        let packed = match norm {
            Some(norm) => self.query_key_value.forward_normalized(norm, input),
            None => self.query_key_value.forward(input),
        };
        let attended = causal_attention(packed, self.heads, self.rate, pass, self.layer);
        let output = self.output.forward(attended);
        let purpose = Purpose::AttentionOutputDropout;
        dropout(output, self.rate, pass, purpose, self.layer)
    }
}
