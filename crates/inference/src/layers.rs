//! The weights of a block, laid out for decoding.

use kernels::activation::Activation;
use kernels::decode::{Columns, FeedForward, Matrix};
use model::Site;

use crate::experts::Experts;
use crate::linear::Linear;
use crate::mask::Mask;

/// Computes the masks' common input from the embedding.
pub(crate) struct MaskEmbedding {
    pub query_key_value: Matrix,
    pub output: Matrix,
}

/// The weights of one block.
pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query_key_value: Linear,
    pub attention_output: AttentionOutput,
    pub feed_forward_norm: Vec<f32>,
    pub feed_forward: FeedForwardLayers,
    pub masks: Vec<Mask>,
}

/// The output projection of an attention.
pub(crate) enum AttentionOutput {
    /// For all heads together.
    Whole(Linear),
    /// By head, so that dropped heads can be left out.
    ByHead(Columns),
}

/// The layers of a feed-forward.
pub(crate) enum FeedForwardLayers {
    /// Both layers in one kernel, which can leave out groups of hidden units.
    Fused(FeedForward),
    /// One layer after the other: for masks on the hidden units that leave out nothing, and for layers that
    /// set small inputs to 0.
    Layers {
        up: Linear,
        down: Linear,
        activation: Activation,
    },
    /// Experts, of which each token uses some.
    Experts(Experts),
}

impl Block {
    pub(crate) fn mask(&self, site: Site) -> Option<&Mask> {
        self.masks.iter().find(|mask| mask.shape.site == site)
    }
}
