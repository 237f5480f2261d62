//! What an engine has to read and to compute for a token.

use learned_dropout::site::Site;

use crate::engine::{Engine, Hidden};

/// Work for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Bytes of weights, keys and values that come from memory, for all tokens of a step together.
    pub bytes: f64,
    /// Floating-point operations of the matrix products of one token, 2 for each multiplication.
    pub operations: f64,
}

impl Engine {
    /// The work for a token.
    ///
    /// - `kept`: the share of mask values that are kept; it matters only where what is dropped is not
    ///   computed
    /// - `seen`: how many tokens it sees, itself among them
    /// - `together`: tokens that are computed in one step, each with masks of its own
    /// - `outputs`: the share of tokens whose logits are computed
    pub fn work(&self, kept: Option<f64>, seen: f64, together: usize, outputs: f64) -> Work {
        let kept = kept.unwrap_or(1.0);
        let sequences = together as f64;
        // A group is read if any of the tokens keeps it.
        let read = 1.0 - (1.0 - kept).powi(together as i32);
        let mut work = Work::default();
        let mut weights = |bytes: usize, count: usize, read: f64, computed: f64| {
            work.bytes += bytes as f64 * read;
            work.operations += 2.0 * count as f64 * computed;
        };
        let matrix =
            |matrix: &kernels::decode::Matrix| (matrix.bytes(), matrix.outputs() * matrix.inputs());
        let (bytes, count) = matrix(&self.token_embedding);
        weights(bytes, count, outputs, outputs);
        let embedding = self.mask_embedding.iter();
        let whole = embedding
            .flat_map(|layer| [&layer.query_key_value, &layer.output])
            .chain(self.masks().flat_map(|mask| {
                let output = mask.output.iter();
                std::iter::once(&mask.query_key_value).chain(output)
            }))
            .chain(
                self.blocks
                    .iter()
                    .flat_map(|block| [&block.query_key_value, &block.attention_output]),
            );
        for layer in whole {
            let (bytes, count) = matrix(layer);
            weights(bytes, count, 1.0, 1.0);
        }
        for block in &self.blocks {
            match &block.feed_forward {
                Hidden::Fused(layer) => {
                    let count = 2 * layer.hidden() * layer.width();
                    let masked = block.mask(Site::FeedForwardHidden).is_some();
                    let (read, computed) = if masked { (read, kept) } else { (1.0, 1.0) };
                    weights(layer.bytes(), count, read, computed);
                }
                Hidden::Layers { up, down } => {
                    for layer in [up, down] {
                        let (bytes, count) = matrix(layer);
                        weights(bytes, count, 1.0, 1.0);
                    }
                }
            }
        }
        let width = self.config().width as f64;
        let mut attention = |width: f64, share: f64| {
            // Keys and values: read once, and each multiplied once.
            work.bytes += sequences * 2.0 * 4.0 * width * seen * share;
            work.operations += 2.0 * 2.0 * width * seen * share;
        };
        for block in &self.blocks {
            let heads = block.mask(Site::AttentionHeads);
            let skips = heads.is_some() && self.skips_heads();
            attention(width, if skips { kept } else { 1.0 });
        }
        for mask in self.masks() {
            attention(mask.shape.attention as f64, 1.0);
        }
        if self.mask_embedding.is_some() {
            attention(width, 1.0);
        }
        work
    }
}
