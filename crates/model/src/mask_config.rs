//! The settings of a transformer's learned masks.

use serde::{Deserialize, Serialize};

use crate::function::MaskFunction;
use crate::penalty::Penalty;
use crate::problem::ConfigProblem;
use crate::rounding::{Rounding, SIGMOID_SCALE};
use crate::site::{MaskInput, Sites};

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
    /// The module of the original write-up without a penalty: the feed-forward output masked from
    /// itself, cosine with a zero shift, stochastic rounding.
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
            sigmoid_scale: SIGMOID_SCALE,
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
    /// use learned_dropout_model::MaskConfig;
    /// let fading = MaskConfig { noise_steps: Some(4), ..MaskConfig::default() };
    /// assert_eq!([0, 1, 4, 5].map(|step| fading.noise_at(step)), [1.0, 0.75, 0.0, 0.0]);
    /// assert_eq!(MaskConfig::default().noise_at(1_000), 1.0);
    /// ```
    pub fn noise_at(&self, step: u64) -> f64 {
        noise_spread(self.noise_steps, step)
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
        } else if !self.function.is_cosine() {
            let expected = "expected \"cosine\", or one term";
            problem("function.kind", &self.function.name(), expected)
        } else {
            None
        }
    }
}

/// The spread of noise that fades over so many steps, at a step (the first is 0); 1 where it stays.
pub fn noise_spread(steps: Option<u64>, step: u64) -> f64 {
    match steps {
        Some(steps) => 1.0 - (step.min(steps) as f64 / steps.max(1) as f64),
        None => 1.0,
    }
}
