//! The dense feed-forward with GELU.

use serde::{Deserialize, Serialize};

use super::hidden::Hidden;

/// The dense feed-forward with GELU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dense {
    /// Hidden units; four times the width if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}
