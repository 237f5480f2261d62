//! What a model is made of: the configuration of the transformer and of its learned masks.
//!
//! These types are plain data. They are what a configuration file's `[model]` table and a
//! checkpoint's `config.json` hold, and they need neither a device nor a tensor.

use serde::{Deserialize, Serialize};

use crate::feed_forward::FeedForwardConfig;
use crate::function::MaskFunction;
use crate::penalty::Penalty;
use crate::rounding::Rounding;

/// Where in a block the learned mask is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// On the feed-forward output: after the down projection, before the residual addition.
    #[default]
    FeedForwardOutput,
}

/// What the masks are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskInput {
    /// The tensor that the mask is applied to.
    #[default]
    Hidden,
    /// `Linear(attention(token + position embedding))`, computed once per forward pass and
    /// shared by every module ("pre-computed masks"); each module has weights of its own.
    Embedding,
}

/// Everything about the learned masks of a transformer but their width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// Where the mask is applied.
    pub site: Site,
    /// What the mask is computed from.
    pub input: MaskInput,
    /// Whether the gradient stops at the mask's input.
    pub detach_input: bool,
    /// Heads of the mask's attention; the model's own number of heads where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Maps the attention's output to [0, 1].
    pub function: MaskFunction,
    /// Brings the mask to {0, 1}.
    pub rounding: Rounding,
    /// Steepness of the two sigmoid roundings; the others do not use it.
    pub sigmoid_scale: f64,
    /// What is added to the training loss for values that are kept; nothing where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<Penalty>,
}

impl Default for MaskConfig {
    /// The seed's module without a penalty: the feed-forward output masked from itself, cosine
    /// with a zero shift, stochastic rounding.
    fn default() -> Self {
        Self {
            site: Site::FeedForwardOutput,
            input: MaskInput::Hidden,
            detach_input: false,
            heads: None,
            function: MaskFunction::default(),
            rounding: Rounding::default(),
            sigmoid_scale: crate::rounding::SIGMOID_SCALE,
            penalty: None,
        }
    }
}

/// The decoder transformer: pre-norm blocks, learned positions, LayerNorm without bias, exact
/// GELU, a feed-forward of four times the width (others can be chosen), no biases, the output layer tied to the token
/// embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// Number of tokens that the model knows.
    pub vocabulary: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Channels of the residual stream; a multiple of `heads`.
    pub width: usize,
    /// Attention heads per block.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Rate of the ordinary dropout, in [0, 1): on the embedding, the attention probabilities,
    /// the attention output and, where no learned mask stands there, the feed-forward output.
    #[serde(default)]
    pub dropout: f64,
    /// What stands in the second half of a block; the dense feed-forward with four times the width
    /// of hidden units where left out.
    #[serde(default, skip_serializing_if = "FeedForwardConfig::is_default")]
    pub feed_forward: FeedForwardConfig,
    /// The learned masks; the plain baseline where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_dropout: Option<MaskConfig>,
}

/// A configuration value that no model can be made from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {found}: {expected}")]
pub struct ConfigProblem {
    /// The key, with dots between the tables that it stands in.
    pub key: String,
    /// What was found, as it would be written.
    pub found: String,
    /// What would be accepted, and where it matters what to do.
    pub expected: String,
}

impl ConfigProblem {
    /// A problem with the value of `key`.
    pub fn new(
        key: impl Into<String>,
        found: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}

/// The largest value that any one dimension may have.
///
/// A bound far above every real model: it keeps a damaged or hostile configuration from asking
/// for more memory than a machine has before anything else could be checked.
pub(crate) const LARGEST_DIMENSION: usize = 1 << 24;

/// The largest number of parameters that a configuration may ask for.
const MOST_PARAMETERS: u128 = 1 << 36;

impl TransformerConfig {
    /// Every reason for which no model can be made; keys are relative to the model's table.
    ///
    /// # Errors
    /// All problems, not just the first.
    pub fn validate(&self) -> Result<(), Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        for (key, value) in [
            ("vocabulary", self.vocabulary),
            ("context", self.context),
            ("width", self.width),
            ("heads", self.heads),
            ("layers", self.layers),
        ] {
            if value == 0 || value > LARGEST_DIMENSION {
                problems.push(ConfigProblem::new(
                    key,
                    value,
                    format!("expected a whole number from 1 to {LARGEST_DIMENSION}"),
                ));
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            problems.push(ConfigProblem::new(
                "dropout",
                self.dropout,
                "expected a rate of at least 0 and below 1",
            ));
        }
        check_heads("heads", self.heads, self.width, &mut problems);
        self.feed_forward.validate("feed_forward", &mut problems);
        if let Some(mask) = &self.learned_dropout {
            if let Some(heads) = mask.heads {
                check_heads("learned_dropout.heads", heads, self.width, &mut problems);
            }
            mask.function
                .validate("learned_dropout.function", &mut problems);
            if !(mask.sigmoid_scale > 0.0 && mask.sigmoid_scale.is_finite()) {
                problems.push(ConfigProblem::new(
                    "learned_dropout.sigmoid_scale",
                    mask.sigmoid_scale,
                    "expected a finite number above 0 (the seed's is 60)",
                ));
            }
            if let Some(penalty) = &mask.penalty {
                penalty.validate("learned_dropout.penalty", &mut problems);
            }
        }
        if problems.is_empty() && self.parameters_wide() > MOST_PARAMETERS {
            problems.push(ConfigProblem::new(
                "layers",
                self.layers,
                format!(
                    "the model would have {} parameters, more than the {MOST_PARAMETERS} that are \
                     supported; choose a smaller width, layers or vocabulary",
                    self.parameters_wide()
                ),
            ));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Heads of the masks' attention.
    pub fn mask_heads(&self) -> usize {
        self.learned_dropout
            .as_ref()
            .and_then(|mask| mask.heads)
            .unwrap_or(self.heads)
    }

    /// Whether the masks are computed from the embedding.
    pub fn masks_from_embedding(&self) -> bool {
        self.learned_dropout
            .as_ref()
            .is_some_and(|mask| mask.input == MaskInput::Embedding)
    }

    /// The number of parameters; the tied output layer counts once.
    pub fn parameters(&self) -> usize {
        usize::try_from(self.parameters_wide()).unwrap_or(usize::MAX)
    }

    /// The number of parameters that a token uses on average: all but those of the experts that it
    /// does not choose.
    pub fn active_parameters(&self) -> usize {
        self.parameters() - self.layers * self.inactive_parameters_of_layer()
    }

    /// The number of parameters of one layer that a token does not use on average.
    fn inactive_parameters_of_layer(&self) -> usize {
        let optional = self.feed_forward.optional(self.width);
        optional.map_or(0, |optional| {
            (optional.parameters as f64 * (1.0 - optional.used)).round() as usize
        })
    }

    /// The number of parameters less the positional embedding, as the published tables count.
    pub fn parameters_without_positions(&self) -> usize {
        self.parameters() - self.context * self.width
    }

    /// Counts without naming every tensor: a configuration may claim millions of layers.
    fn parameters_wide(&self) -> u128 {
        let count = |layers: usize| -> u128 {
            let config = Self {
                layers,
                ..self.clone()
            };
            crate::weights::layout(&config)
                .map(|spec| {
                    spec.shape
                        .iter()
                        .map(|&size| size as u128)
                        .product::<u128>()
                })
                .sum()
        };
        let without_blocks = count(0);
        without_blocks + self.layers as u128 * (count(1) - without_blocks)
    }
}

/// Records a problem if `width` cannot be divided among `heads`.
pub(crate) fn check_heads(
    key: &str,
    heads: usize,
    width: usize,
    problems: &mut Vec<ConfigProblem>,
) {
    if heads == 0 {
        if key != "heads" {
            problems.push(ConfigProblem::new(key, heads, "expected at least 1"));
        }
    } else if !width.is_multiple_of(heads) {
        problems.push(ConfigProblem::new(
            key,
            heads,
            format!("expected a divisor of the width, {width}"),
        ));
    }
}
