//! The weights of a block, laid out for decoding.

use kernels::decode::{Columns, FeedForward, Matrix};
use kernels::{gelu, swiglu};
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
    /// One layer after the other: for masks on the hidden units that leave out nothing, for layers that set
    /// small inputs to 0, for ReLU, whose zeros are such inputs, and for SwiGLU.
    Layers {
        /// With SwiGLU, the gate and then the up projection.
        up: Linear,
        down: Linear,
        activation: Activation,
    },
    /// Experts, of which each token uses some.
    Experts(Experts),
}

/// What is applied to the hidden units between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Gelu,
    Relu,
    SquaredRelu,
    /// Multiplies one half of the values with the other, so that half as many are left.
    Swiglu,
}

impl Activation {
    /// Replaces the values that the up projection gave, `outputs` for each token, by hidden units.
    pub(crate) fn apply(self, units: &mut Vec<f32>, outputs: usize) {
        match self {
            Self::Swiglu => *units = swiglu::forward(units, outputs / 2),
            Self::Gelu => *units = gelu::forward(units),
            Self::Relu => units.iter_mut().for_each(|unit| *unit = unit.max(0.0)),
            Self::SquaredRelu => units.iter_mut().for_each(|unit| {
                let positive = unit.max(0.0);
                *unit = positive * positive;
            }),
        }
    }
}

impl Block {
    pub(crate) fn mask(&self, site: Site) -> Option<&Mask> {
        self.masks.iter().find(|mask| mask.shape.site == site)
    }
}
