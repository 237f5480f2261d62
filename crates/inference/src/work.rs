//! What an engine has to read and to compute for a token.

use model::Site;

use crate::engine::Engine;
use crate::layers::{Hidden, Output};
use crate::linear::Linear;
use crate::mask_statistics::MaskStatistics;

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
    /// - `masks`: what was measured of the masks; it matters only where what they drop is not computed
    /// - `seen`: how many tokens it sees, itself among them
    /// - `together`: tokens that are computed in one step, each with masks of its own
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
                std::iter::once(&mask.query_key_value).chain(output)
            }));
        for layer in whole {
            let (bytes, count) = matrix(layer);
            weights(bytes, count, 1.0, 1.0);
        }
        // A cut layer computes all of it for many tokens, and skips it for few.
        let linear = |layer: &Linear, weights: &mut dyn FnMut(usize, usize, f64, f64)| {
            let (bytes, count, needed) = layer.size();
            weights(bytes, count, read(needed), needed);
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            linear(&block.query_key_value, &mut weights);
            let [heads, units] =
                [Site::AttentionHeads, Site::FeedForwardHidden].map(|site| kept(site, layer));
            match &block.attention_output {
                Output::Whole(layer) => linear(layer, &mut weights),
                Output::ByHead(layer) => {
                    let count = layer.outputs() * layer.inputs();
                    weights(layer.bytes(), count, read(heads), heads);
                }
            }
            match &block.feed_forward {
                Hidden::Fused(layer) => {
                    let count = 2 * layer.hidden() * layer.width();
                    weights(layer.bytes(), count, read(units), units);
                }
                Hidden::Experts(experts) => {
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
                // How many units are 0 is not known before.
                Hidden::Relu { up, down } | Hidden::Layers { up, down } => {
                    linear(up, &mut weights);
                    linear(down, &mut weights);
                }
            }
        }
        let width = self.config().width as f64;
        let mut attention = |width: f64, share: f64| {
            // Keys and values: read once, and each multiplied once.
            work.bytes += sequences * 2.0 * 4.0 * width * seen * share;
            work.operations += 2.0 * 2.0 * width * seen * share;
        };
        for layer in 0..self.blocks.len() {
            let heads = kept(Site::AttentionHeads, layer);
            attention(width, if self.skips_heads() { heads } else { 1.0 });
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
