//! The settings of a transformer's learned masks.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use crate::function::MaskFunction;
use crate::generator::Generator;
use crate::mask_control::MaskControl;
use crate::penalty::Penalty;
use crate::problem::ConfigProblem;
use crate::rounding::{Rounding, SIGMOID_SCALE};
use crate::site::{MaskInput, Site, Sites};
use crate::site_settings::SiteSettings;

/// Which gradients pass through the rounding to the mask and to the masked values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskGradient {
    /// `dL/dM = x · dL/doutput` for all values (straight-through). Training must therefore compute
    /// dropped values too.
    #[default]
    Exact,
    /// `dL/dM = x · dL/doutput` for kept values and 0 for dropped ones. Training can therefore skip
    /// dropped values.
    KeptOnly,
}

/// The settings of a transformer's learned masks. Their other sizes follow from those of the transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// The sites of masks. All masks share the other settings, except for those in `at`; each has its own
    /// weights.
    pub site: Sites,
    /// What the masks are computed from.
    pub input: MaskInput,
    /// Whether the gradient stops at the mask's input.
    pub detach_input: bool,
    /// What computes the values that the mask function takes.
    #[serde(skip_serializing_if = "is_attention")]
    pub generator: Generator,
    /// Width of the masks' attention, which a linear layer then projects to the mask's values. If left
    /// out, the attention is as wide as its input and its output is the mask's values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Number of neighbouring channels that share one mask value; a divisor of the number of channels.
    /// Masks on heads ignore it: they have one value per head.
    #[serde(skip_serializing_if = "is_one")]
    pub group: usize,
    /// Heads of the masks' attention; if left out, the greatest common divisor of the model's heads and
    /// the width of the masks' attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Maps the generator's output to `M`.
    pub function: MaskFunction,
    /// How the mask is rounded.
    pub rounding: Rounding,
    /// Number of optimizer steps over which the noise of the stochastic rounding fades linearly to none;
    /// after that it rounds at 0.5. If left out, the noise does not fade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_steps: Option<u64>,
    /// Steepness of the two sigmoid roundings; the others do not use it.
    pub sigmoid_scale: f64,
    /// The probability with which training drops a kept value of a mask; the others are divided by 1 minus this
    /// rate. 0 for none. The kept share that a control or a penalty sees is that before this dropout.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Which gradients pass through the rounding. Those of [`Rounding::Carried`] are always kept-only.
    #[serde(skip_serializing_if = "is_exact")]
    pub gradient: MaskGradient,
    /// What holds the kept share of a mask at a target without a term of the loss; none if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<MaskControl>,
    /// The penalty in the training loss on the masks without a control; none if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<Penalty>,
    /// Settings of the masks at single sites, where they differ from the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<Site, SiteSettings>,
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

fn is_attention(generator: &Generator) -> bool {
    *generator == Generator::Attention
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
            generator: Generator::Attention,
            rank: None,
            group: 1,
            heads: None,
            function: MaskFunction::default(),
            rounding: Rounding::default(),
            noise_steps: None,
            sigmoid_scale: SIGMOID_SCALE,
            dropout: 0.0,
            gradient: MaskGradient::Exact,
            control: None,
            penalty: None,
            at: BTreeMap::new(),
        }
    }
}

impl MaskConfig {
    /// The settings of the masks at one site, with its own settings in their place.
    ///
    /// ```
    /// use learned_dropout_model::site_settings::SiteSettings;
    /// use learned_dropout_model::{MaskConfig, Rounding, Site};
    /// let heads = SiteSettings { rounding: Some(Rounding::Carried), ..SiteSettings::default() };
    /// let masks = MaskConfig {
    ///     site: vec![Site::AttentionHeads, Site::FeedForwardHidden].into(),
    ///     at: [(Site::AttentionHeads, heads)].into(),
    ///     ..MaskConfig::default()
    /// };
    /// assert_eq!(masks.for_site(Site::AttentionHeads).rounding, Rounding::Carried);
    /// assert_eq!(masks.for_site(Site::FeedForwardHidden).rounding, Rounding::Stochastic);
    /// ```
    pub fn for_site(&self, site: Site) -> Self {
        let all = Self {
            site: site.into(),
            at: BTreeMap::new(),
            ..self.clone()
        };
        match self.at.get(&site) {
            Some(own) => own.over(&all),
            None => all,
        }
    }

    /// Whether gradients reach a mask only through kept values.
    pub fn is_kept_only(&self) -> bool {
        self.gradient == MaskGradient::KeptOnly || self.rounding == Rounding::Carried
    }

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

    /// The first setting in which the masks differ in form from the published module; none if they do not
    /// differ. The published masks are on the feed-forward output, have one value per channel and a single
    /// cosine, and are computed from the output itself or from the embedding.
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
        } else if !self.at.is_empty() {
            problem("at", &"given", "expected none")
        } else if self.generator != Generator::Attention {
            let expected = "expected \"attention\"";
            problem("generator", &self.generator.name(), expected)
        } else if let Some(control) = &self.control {
            problem("control.kind", &control.name(), "expected none")
        } else if self.rounding == Rounding::Carried {
            let expected = "expected another rounding than \"carried\"";
            problem("rounding", &"carried", expected)
        } else if self.dropout > 0.0 {
            problem("dropout", &self.dropout, "expected 0")
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

/// The spread of the noise at a step (the first is 0): from 1, it fades linearly to 0 over `steps`. Always 1
/// without `steps`.
pub fn noise_spread(steps: Option<u64>, step: u64) -> f64 {
    match steps {
        Some(steps) => 1.0 - (step.min(steps) as f64 / steps.max(1) as f64),
        None => 1.0,
    }
}
