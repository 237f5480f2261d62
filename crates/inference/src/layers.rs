//! The weights of a block, laid out for decoding.

use kernels::decode::{Columns, FeedForward, Matrix};
use model::Site;

use crate::experts::Experts;
use crate::linear::Linear;
use crate::mask::Mask;

/// Makes the input that all masks share, from the embedding.
pub(crate) struct MaskEmbedding {
    pub query_key_value: Matrix,
    pub output: Matrix,
}

/// The weights of one block.
pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query_key_value: Linear,
    pub attention_output: Output,
    pub feed_forward_norm: Vec<f32>,
    pub feed_forward: Hidden,
    pub masks: Vec<Mask>,
}

/// The layer behind the heads.
pub(crate) enum Output {
    /// Of all heads.
    Whole(Linear),
    /// Of heads that can be left out.
    ByHead(Columns),
}

/// The two layers of a feed-forward.
pub(crate) enum Hidden {
    /// Unit by unit; groups of units can be left out.
    Fused(FeedForward),
    /// Layer by layer, for masks on the hidden units that do not leave any out, and for small inputs
    /// that are taken as 0.
    Layers { up: Linear, down: Linear },
    /// With ReLU between.
    Relu { up: Linear, down: Linear },
    /// Of which each token uses some.
    Experts(Experts),
}

impl Block {
    pub(crate) fn mask(&self, site: Site) -> Option<&Mask> {
        self.masks.iter().find(|mask| mask.shape.site == site)
    }
}
