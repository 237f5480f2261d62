//! Counts the bytes that an engine reads and the operations that it computes for a token.

use model::Site;

use crate::engine::Engine;
use crate::layers::{AttentionOutput, FeedForwardLayers};
use crate::linear::Linear;
use crate::mask_statistics::MaskStatistics;

/// The work for a token.
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
    /// - `masks`: statistics of the masks; used only where the engine leaves out what they drop
    /// - `seen`: the number of tokens that it attends to, including itself
    /// - `together`: the number of tokens that are computed in one step, each with its own masks
    /// - `outputs`: the share of tokens whose logits are computed
    pub fn work(
        &self,
        masks: Option<&MaskStatistics>,
        seen: f64,
        together: usize,
        outputs: f64,
    ) -> Work {
        let kept = |site: Site, layer: usize| {
            let mut masks = masks.into_iter().flat_map(|masks| &masks.masks);
            masks
                .find(|mask| mask.site == site && mask.layer == Some(layer))
                .map_or(1.0, |mask| mask.measured.kept)
        };
        let sequences = together as f64;
        // A group is read if any of the tokens keeps it.
        let read = |kept: f64| 1.0 - (1.0 - kept).powi(together as i32);
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
                mask.query_key_value.iter().chain(output)
            }));
        for layer in whole {
            let (bytes, count) = matrix(layer);
            weights(bytes, count, 1.0, 1.0);
        }
        // A cut layer computes all products for many tokens, and skips small inputs for few.
        let linear = |layer: &Linear, weights: &mut dyn FnMut(usize, usize, f64, f64)| {
            let (bytes, count, needed) = layer.size();
            weights(bytes, count, read(needed), needed);
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            let [heads, units] =
                [Site::AttentionHeads, Site::FeedForwardHidden].map(|site| kept(site, layer));
            match &block.query_key_value {
                // Queries, keys and values are a third each; only queries are left out.
                Linear::Whole(layer) if self.skips_heads() => {
                    let (bytes, count) = matrix(layer);
                    weights(bytes / 3, count / 3, read(heads), heads);
                    weights(bytes - bytes / 3, count - count / 3, 1.0, 1.0);
                }
                layer => linear(layer, &mut weights),
            }
            match &block.attention_output {
                AttentionOutput::Whole(layer) => linear(layer, &mut weights),
                AttentionOutput::ByHead(layer) => {
                    let count = layer.outputs() * layer.inputs();
                    weights(layer.bytes(), count, read(heads), heads);
                }
            }
            match &block.feed_forward {
                FeedForwardLayers::Fused(layer) => {
                    let count = 2 * layer.hidden() * layer.width();
                    weights(layer.bytes(), count, read(units), units);
                }
                FeedForwardLayers::Experts(experts) => {
                    let used = experts.used();
                    let read = 1.0 - (1.0 - used).powi(together as i32);
                    let (bytes, count) = matrix(experts.router());
                    weights(bytes, count, 1.0, 1.0);
                    for layer in experts.layers() {
                        let count = 2 * layer.hidden() * layer.width();
                        weights(layer.bytes(), count, read, used);
                    }
                    if let Some(layer) = experts.shared() {
                        let count = 2 * layer.hidden() * layer.width();
                        weights(layer.bytes(), count, 1.0, 1.0);
                    }
                }
                FeedForwardLayers::Swiglu { gate_and_up, down } => {
                    linear(gate_and_up, &mut weights);
                    linear(down, &mut weights);
                }
                // The number of zero units is not known beforehand.
                FeedForwardLayers::Layers { up, down, .. } => {
                    linear(up, &mut weights);
                    linear(down, &mut weights);
                }
            }
        }
        let width = self.config().width as f64;
        let mut attention = |width: f64, share: f64| {
            // Each key and value is read once and multiplied once.
            work.bytes += sequences * 2.0 * 4.0 * width * seen * share;
            work.operations += 2.0 * 2.0 * width * seen * share;
        };
        for layer in 0..self.blocks.len() {
            let heads = kept(Site::AttentionHeads, layer);
            attention(width, if self.skips_heads() { heads } else { 1.0 });
        }
        for mask in self.masks() {
            let width = mask.shape.attention.map_or(0, |attention| attention.width);
            attention(width as f64, 1.0);
        }
        if self.mask_embedding.is_some() {
            attention(width, 1.0);
        }
        work
    }
}
