//! The feed-forward with SwiGLU.

use serde::{Deserialize, Serialize};

use super::hidden::Hidden;

/// `down(silu(gate(x)) · up(x))` with `silu(z) = z · sigmoid(z)`, without biases.
///
/// From Shazeer, "GLU variants improve transformer" (2020).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Swiglu {
    /// Hidden units; 8/3 of the width, rounded up to a multiple of 8, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

impl Swiglu {
    /// The hidden units of a model of this width if the configuration gives none: three matrices then have
    /// about as many weights as the two of a dense feed-forward with four times the width.
    pub(super) fn default_hidden(width: usize) -> usize {
        width.div_ceil(3).saturating_mul(8)
    }
}
