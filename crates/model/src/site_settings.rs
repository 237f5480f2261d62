//! Settings of the masks at one site, where they differ from those of all masks.

use serde::{Deserialize, Serialize};

use crate::function::MaskFunction;
use crate::generator::Generator;
use crate::mask_config::{MaskConfig, MaskGradient};
use crate::mask_control::MaskControl;
use crate::rounding::Rounding;

/// Settings of the masks at one site, in the place of those of [`MaskConfig`]. What is none is as for all masks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSettings {
    /// See [`MaskConfig::generator`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// See [`MaskConfig::rank`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// See [`MaskConfig::group`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// See [`MaskConfig::heads`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// See [`MaskConfig::function`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<MaskFunction>,
    /// See [`MaskConfig::rounding`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
    /// See [`MaskConfig::dropout`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// See [`MaskConfig::gradient`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient: Option<MaskGradient>,
    /// See [`MaskConfig::control`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<MaskControl>,
}

impl SiteSettings {
    /// Whether a setting, by its name, is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        match name {
            "generator" => self.generator.is_some(),
            "rank" => self.rank.is_some(),
            "group" => self.group.is_some(),
            "heads" => self.heads.is_some(),
            "function" => self.function.is_some(),
            "rounding" => self.rounding.is_some(),
            "dropout" => self.dropout.is_some(),
            "gradient" => self.gradient.is_some(),
            "control" => self.control.is_some(),
            _ => false,
        }
    }

    /// The settings of all masks with these in their place.
    pub(crate) fn over(&self, all: &MaskConfig) -> MaskConfig {
        let own = self.clone();
        // A linear generator has no attention, whatever the others have.
        let attention = (own.generator != Some(Generator::Linear)).then_some(all);
        MaskConfig {
            generator: own.generator.unwrap_or(all.generator),
            rank: own.rank.or(attention.and_then(|all| all.rank)),
            group: own.group.unwrap_or(all.group),
            heads: own.heads.or(attention.and_then(|all| all.heads)),
            function: own.function.unwrap_or_else(|| all.function.clone()),
            rounding: own.rounding.unwrap_or(all.rounding),
            dropout: own.dropout.unwrap_or(all.dropout),
            gradient: own.gradient.unwrap_or(all.gradient),
            control: own.control.or_else(|| all.control.clone()),
            ..all.clone()
        }
    }
}
