//! What a model is made of: the configuration of the transformer and of its learned masks.
//!
//! These types are plain data. They are what a configuration file's `[model]` table and a
//! checkpoint's `config.json` hold, and they need neither a device nor a tensor.

use serde::{Deserialize, Serialize};

use crate::feed_forward::FeedForwardConfig;
use crate::function::MaskFunction;
use crate::penalty::Penalty;
use crate::rounding::Rounding;
pub use crate::site::{MaskInput, MaskShape, Site, Sites};

/// Which gradients reach a mask and what it masks, through the rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskGradient {
    /// Straight through the rounding, everywhere: `dL/dM = x · dL/doutput` where a value is
    /// dropped too, so dropped values have to be computed in training.
    #[default]
    Exact,
    /// `dL/dM = x · dL/doutput` where a value is kept and 0 where it is dropped, so training can
    /// leave out what is dropped.
    KeptOnly,
}

/// Everything about the learned masks of a transformer but the sizes that follow from its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// Where masks are applied; all share the rest of the table, and each has its own weights.
    pub site: Sites,
    /// What the masks are computed from.
    pub input: MaskInput,
    /// Whether the gradient stops at the mask's input.
    pub detach_input: bool,
    /// Width of the masks' attention, which a linear layer then takes to the mask's values. Left
    /// out, the attention is as wide as its input and makes the values itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Neighbouring channels that share one mask value; a divisor of their number. Masks on heads
    /// have one value per head whatever it is.
    #[serde(skip_serializing_if = "is_one")]
    pub group: usize,
    /// Heads of the masks' attention; where it is left out, the greatest common divisor of the
    /// model's own heads and the attention's width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Maps the attention's output to [0, 1].
    pub function: MaskFunction,
    /// Brings the mask to {0, 1}.
    pub rounding: Rounding,
    /// Optimizer steps over which the noise of the stochastic rounding fades linearly to none: it
    /// then is the threshold. The noise stays where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_steps: Option<u64>,
    /// Steepness of the two sigmoid roundings; the others do not use it.
    pub sigmoid_scale: f64,
    /// Which gradients pass the rounding.
    #[serde(skip_serializing_if = "is_exact")]
    pub gradient: MaskGradient,
    /// What is added to the training loss for values that are kept; nothing where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<Penalty>,
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_exact(gradient: &MaskGradient) -> bool {
    *gradient == MaskGradient::Exact
}

impl Default for MaskConfig {
    /// The seed's module without a penalty: the feed-forward output masked from itself, cosine
    /// with a zero shift, stochastic rounding.
    fn default() -> Self {
        Self {
            site: Sites::default(),
            input: MaskInput::Hidden,
            detach_input: false,
            rank: None,
            group: 1,
            heads: None,
            function: MaskFunction::default(),
            rounding: Rounding::default(),
            noise_steps: None,
            sigmoid_scale: crate::rounding::SIGMOID_SCALE,
            gradient: MaskGradient::Exact,
            penalty: None,
        }
    }
}

impl MaskConfig {
    /// The spread of the stochastic rounding's noise around 0.5 at an optimizer step (the first is
    /// 0): 1 is uniform noise in [0, 1), 0 none.
    ///
    /// ```
    /// use learned_dropout::MaskConfig;
    /// let fading = MaskConfig { noise_steps: Some(4), ..MaskConfig::default() };
    /// assert_eq!([0, 1, 4, 5].map(|step| fading.noise_at(step)), [1.0, 0.75, 0.0, 0.0]);
    /// assert_eq!(MaskConfig::default().noise_at(1_000), 1.0);
    /// ```
    pub fn noise_at(&self, step: u64) -> f64 {
        match self.noise_steps {
            Some(steps) => 1.0 - (step.min(steps) as f64 / steps.max(1) as f64),
            None => 1.0,
        }
    }

    /// The first key in which the masks are of another form than the published module: on the
    /// feed-forward output, one value per channel, from the output itself or from the embedding, by a
    /// single cosine.
    pub fn beyond_published(&self) -> Option<ConfigProblem> {
        let problem = |key: &str, found: &dyn std::fmt::Display, expected: &str| {
            let key = format!("learned_dropout.{key}");
            Some(ConfigProblem::new(key, found, expected))
        };
        if self.site != Sites::default() {
            problem("site", &self.site, "expected \"feed-forward-output\"")
        } else if !matches!(self.input, MaskInput::Hidden | MaskInput::Embedding) {
            let expected = "expected \"hidden\" or \"embedding\"";
            problem("input", &self.input.name(), expected)
        } else if let Some(rank) = self.rank {
            problem("rank", &rank, "expected none")
        } else if self.group != 1 {
            problem("group", &self.group, "expected 1")
        } else if self.function.terms() > 1 {
            let expected = "expected \"cosine\", or one term";
            problem("function.kind", &self.function.name(), expected)
        } else {
            None
        }
    }

    fn validate(&self, model: &TransformerConfig, problems: &mut Vec<ConfigProblem>) {
        crate::site::validate(model, self, problems);
        self.function.validate("learned_dropout.function", problems);
        let mut problem = |key: &str, found: &dyn std::fmt::Display, expected: &str| {
            let key = format!("learned_dropout.{key}");
            problems.push(ConfigProblem::new(key, found, expected));
        };
        if !(self.sigmoid_scale > 0.0 && self.sigmoid_scale.is_finite()) {
            let expected = "expected a finite number above 0 (the seed's is 60)";
            problem("sigmoid_scale", &self.sigmoid_scale, expected);
        }
        if self.gradient == MaskGradient::KeptOnly && !self.rounding.is_binary() {
            let expected = "only the roundings \"stochastic\" and \"threshold\" drop values whole; \
                            choose one of them or gradient = \"exact\"";
            problem("gradient", &"kept-only", expected);
        }
        if let Some(steps) = self.noise_steps {
            if self.rounding != Rounding::Stochastic {
                let expected = "only the rounding \"stochastic\" has noise; leave it out";
                problem("noise_steps", &steps, expected);
            } else if steps == 0 {
                let expected = "expected at least 1; for no noise at all, rounding = \"threshold\"";
                problem("noise_steps", &steps, expected);
            }
        }
        if let Some(penalty) = &self.penalty {
            penalty.validate("learned_dropout.penalty", problems);
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
    /// the attention output and the feed-forward output, each where no learned mask stands.
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
            mask.validate(self, &mut problems);
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

    /// The sizes of the mask at a site; none where there is no mask.
    pub fn mask_shape(&self, site: Site) -> Option<MaskShape> {
        let mask = self.learned_dropout.as_ref()?;
        let here = mask.site.contains(site);
        here.then(|| MaskShape::new(self, mask, site))
    }

    /// The sizes of the masks at all sites that have one, in the order of the forward pass.
    pub fn mask_shapes(&self) -> impl Iterator<Item = MaskShape> + '_ {
        Site::ALL
            .into_iter()
            .filter_map(|site| self.mask_shape(site))
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
