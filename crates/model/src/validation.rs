//! Checks of a model's configuration. They report all problems at once.

use crate::config::{ModelConfig, TransformerConfig};
use crate::function::MaskFunction;
use crate::generator::Generator;
use crate::mask_config::{MaskConfig, MaskGradient};
use crate::mask_control::MaskControl;
use crate::mask_shape::{MaskShape, channels};
use crate::problem::{Allowed, Checks, ConfigProblem, LARGEST_DIMENSION, above};
use crate::rounding::Rounding;
use crate::site::{MaskInput, Site};

/// The largest number of parameters that a configuration may ask for.
const MOST_PARAMETERS: u128 = 1 << 36;

impl TransformerConfig {
    /// Checks the configuration and reports every problem; keys are relative to the model's table.
    ///
    /// # Errors
    /// All problems, not just the first.
    pub fn validate(&self) -> Result<(), Vec<ConfigProblem>> {
        let mut checks = Checks::default();
        self.check(&mut checks);
        checks.finish()
    }

    /// Records every problem.
    fn check(&self, checks: &mut Checks) {
        let before = checks.problems().len();
        let sizes = 1..=LARGEST_DIMENSION;
        checks.range("vocabulary", self.vocabulary, sizes.clone());
        checks.range("context", self.context, sizes.clone());
        checks.range("width", self.width, sizes.clone());
        check_heads("heads", self.heads, self.width, checks);
        checks.range("layers", self.layers, sizes);
        let rates = Allowed::from(0.0..1.0).called("a rate");
        checks.range("dropout", self.dropout, rates);
        checks.table("feed_forward", |checks| {
            self.feed_forward.check(self.layers, checks)
        });
        if let Some(mask) = &self.learned_dropout {
            checks.table("learned_dropout", |checks| mask.check(self, checks));
        }
        // Parameters can be counted only if all sizes are possible.
        if checks.problems().len() == before {
            let parameters = self.parameters_wide();
            let expected = format!(
                "the model would have {parameters} parameters, more than the {MOST_PARAMETERS} that \
                 are supported; choose a smaller width, layers or vocabulary"
            );
            let possible = parameters <= MOST_PARAMETERS;
            checks.ensure(possible, "layers", self.layers, expected);
        }
    }
}

impl ModelConfig {
    /// Records every problem that does not depend on the data's vocabulary.
    pub fn check(&self, checks: &mut Checks) {
        let vocabulary = self.vocabulary.unwrap_or(1);
        self.clone().with_vocabulary(vocabulary).check(checks);
    }

    /// The configuration of the model for data with this vocabulary.
    ///
    /// # Errors
    /// The configured vocabulary is not that of the data, none is known, or the configuration is not valid.
    /// Keys are relative to the whole configuration of the run.
    pub fn transformer(
        &self,
        data_vocabulary: Option<usize>,
    ) -> Result<TransformerConfig, Vec<ConfigProblem>> {
        let mut checks = Checks::default();
        let mut model = None;
        checks.table("model", |checks| {
            let key = "vocabulary";
            match (self.vocabulary, data_vocabulary) {
                (Some(own), Some(data)) if own != data => {
                    let expected =
                        format!("the data's vocabulary is {data}; leave the key out to take that");
                    checks.wrong(key, own, expected);
                }
                (None, None) => {
                    let expected = "expected the number of tokens, as no data is there to take it \
                                    from";
                    checks.wrong(key, "missing", expected);
                }
                (Some(vocabulary), _) | (None, Some(vocabulary)) => {
                    let config = self.clone().with_vocabulary(vocabulary);
                    config.check(checks);
                    model = Some(config);
                }
            }
        });
        checks
            .finish()
            .map(|()| model.expect("there is a vocabulary where no problem is"))
    }
}

impl MaskConfig {
    fn check(&self, model: &TransformerConfig, checks: &mut Checks) {
        self.check_places(model, checks);
        for site in self.site.iter() {
            self.check_site(site, model, checks);
        }
        for &site in self.at.keys() {
            if !self.site.contains(site) {
                let found = format!("given for {site}");
                let expected = format!(
                    "there are no masks at {site}; add it to `site` or leave its table out"
                );
                checks.wrong("at", found, expected);
            }
        }
        if let Some(penalty) = &self.penalty {
            checks.table("penalty", |checks| penalty.check(checks));
            let mut sites = self.site.iter();
            let all_controlled = sites.all(|site| self.for_site(site).control.is_some());
            let expected = "masks with a control have no penalty, and all have one: leave out either \
                            `penalty` or `control`";
            checks.ensure(!all_controlled, "penalty", "given", expected);
        }
    }

    /// Records problems with settings that do not depend on the sizes of the model.
    fn check_settings(&self, checks: &mut Checks) {
        checks.table("function", |checks| self.function.check(checks));
        check_rounding(
            self.rounding,
            self.sigmoid_scale,
            self.gradient,
            self.noise_steps,
            checks,
        );
        check_threshold(&self.function, self.rounding, self.control.as_ref(), checks);
        check_mask_dropout(self.dropout, checks);
    }

    /// Records problems with the sites and the inputs of the masks in this model.
    fn check_places(&self, model: &TransformerConfig, checks: &mut Checks) {
        let sites: Vec<Site> = self.site.iter().collect();
        if sites.is_empty() {
            let expected =
                "expected at least one site; leave out the table `learned_dropout` for none";
            checks.wrong("site", &self.site, expected);
        } else if sites.len() < self.site.count_named() {
            checks.wrong("site", &self.site, "expected each site only once");
        }
        let input_too_late = matches!(self.input, MaskInput::LayerInput | MaskInput::Residual);
        if input_too_late && self.site.contains(Site::Embedding) {
            let expected = "the mask on the embedding stands before all blocks, so it can be \
                            computed only from \"hidden\", the embedding itself, or from \
                            \"embedding\"";
            checks.wrong("input", self.input.name(), expected);
        }
        let feed_forward = &model.feed_forward;
        if self.site.contains(Site::FeedForwardHidden) && !feed_forward.has_hidden_units() {
            let why = match feed_forward.experts() {
                Some(_) => "experts decide by themselves what they compute",
                None => "masks have no kernels for its product of two projections",
            };
            let expected = format!(
                "\"{}\" has no hidden units for a mask, because {why}: choose another site, or \
                 feed_forward.kind = \"dense\" or \"relu\"",
                feed_forward.name()
            );
            checks.wrong("site", &self.site, expected);
        }
        if self.group > 1 && !sites.is_empty() && sites.iter().all(|site| site.is_per_head()) {
            let expected = format!("expected 1: masks at {} have one value per head", self.site);
            checks.wrong("group", self.group, expected);
        }
    }

    /// Records problems with the settings of the masks at a site: where the site has a setting of its own, under
    /// its key there, otherwise under the key of all masks.
    fn check_site(&self, site: Site, model: &TransformerConfig, checks: &mut Checks) {
        let mut found = Checks::default();
        let mut settings = self.for_site(site);
        let is_noisy = |site: Site| self.for_site(site).rounding == Rounding::Stochastic;
        if !is_noisy(site) && self.site.iter().any(is_noisy) {
            // The steps are those of the masks at other sites.
            settings.noise_steps = None;
        }
        settings.check_shapes(site, model, &mut found);
        settings.check_settings(&mut found);
        for problem in found.problems() {
            let setting = problem.key.split('.').next().unwrap_or_default();
            let is_own = self.at.get(&site).is_some_and(|own| own.has(setting));
            let key = match is_own {
                true => format!("at.{site}.{}", problem.key),
                false => problem.key.clone(),
            };
            let expected = match self.at.is_empty() {
                true => problem.expected.clone(),
                false => format!("{} (masks at {site})", problem.expected),
            };
            checks.wrong_once(&key, &problem.found, &expected);
        }
    }

    /// Records problems with the sizes of the masks at a site.
    fn check_shapes(&self, site: Site, model: &TransformerConfig, checks: &mut Checks) {
        let before = checks.problems().len();
        checks.range("group", self.group, 1..=LARGEST_DIMENSION);
        checks.range("rank", self.rank, 1..=LARGEST_DIMENSION);
        if self.generator == Generator::Linear {
            let expected = "only the generator \"attention\" has one; leave it out";
            for (key, value) in [("rank", self.rank), ("heads", self.heads)] {
                if let Some(value) = value {
                    checks.wrong(key, value, expected);
                }
            }
        }
        // A list that is not as long as there are layers is a problem of its own.
        let layers = match model.feed_forward.listed_layers() {
            Some(listed) if site == Site::FeedForwardHidden => listed.min(model.layers),
            _ => 1,
        };
        for layer in 0..layers {
            if checks.problems().len() > before {
                return;
            }
            self.check_shape(site, layer, model, checks);
        }
    }

    /// Records problems with the sizes of the mask at a site of a layer.
    fn check_shape(
        &self,
        site: Site,
        layer: usize,
        model: &TransformerConfig,
        checks: &mut Checks,
    ) {
        let channels = channels(site, model, layer);
        if !site.is_per_head() && !channels.is_multiple_of(self.group) {
            let expected = format!("expected a divisor of the {channels} channels at {site}");
            checks.wrong("group", self.group, expected);
            return;
        }
        let shape = MaskShape::new(model, self, site, layer);
        if !shape.projected && shape.input != shape.values {
            let expected = format!(
                "give the width of the masks' attention, for example {}: without it the attention \
                 is as wide as its input and makes the values itself, but at {site} the input \
                 (\"{}\") has {} channels and the mask {} values",
                (model.width / 16).max(1),
                self.input.name(),
                shape.input,
                shape.values
            );
            checks.wrong("rank", "missing", expected);
        }
        if let (Some(heads), Some(attention)) = (self.heads, shape.attention)
            && (heads == 0 || !attention.width.is_multiple_of(heads))
        {
            let expected = format!(
                "expected a divisor of {}, the width of the masks' attention at {site}",
                attention.width
            );
            checks.wrong("heads", heads, expected);
        }
    }
}

/// Records problems with the settings of the rounding: the steepness of the sigmoid roundings, the
/// gradient, and the steps over which the noise fades.
pub fn check_rounding(
    rounding: Rounding,
    sigmoid_scale: f64,
    gradient: MaskGradient,
    noise_steps: Option<u64>,
    checks: &mut Checks,
) {
    let scales = above(0.0).advice("the original write-up uses 60");
    checks.range("sigmoid_scale", sigmoid_scale, scales);
    let gradient_fits = gradient == MaskGradient::Exact || rounding.drops_whole();
    let expected = "only the roundings \"stochastic\" and \"threshold\" drop values whole; choose \
                    one of them or gradient = \"exact\"; \"carried\" always has such gradients";
    checks.ensure(gradient_fits, "gradient", "kept-only", expected);
    if let Some(steps) = noise_steps {
        let noisy = rounding == Rounding::Stochastic;
        let expected = "only the rounding \"stochastic\" has noise; leave it out";
        checks.ensure(noisy, "noise_steps", steps, expected);
        if noisy {
            let advice = "for no noise at all, rounding = \"threshold\"";
            checks.range("noise_steps", steps, Allowed::from(1..).advice(advice));
        }
    }
}

/// Records a problem with the rate of the dropout of kept values.
pub fn check_mask_dropout(rate: f64, checks: &mut Checks) {
    checks.range("dropout", rate, Allowed::from(0.0..1.0).called("a rate"));
}

/// Records problems with what is compared with a threshold: the rounding and the control that go with a mask
/// function.
pub fn check_threshold(
    function: &MaskFunction,
    rounding: Rounding,
    control: Option<&MaskControl>,
    checks: &mut Checks,
) {
    let compares = matches!(rounding, Rounding::Threshold | Rounding::Carried);
    if !function.is_bounded() && !compares {
        let expected = "its values can lie outside [0, 1]; it goes with rounding = \"carried\" or \
                        \"threshold\"";
        checks.wrong("function.kind", function.name(), expected);
    }
    if let Some(control) = control {
        checks.table("control", |checks| control.check(checks));
        let expected = "a threshold moves only with rounding = \"carried\" or \"threshold\"";
        checks.ensure(compares, "control.kind", control.name(), expected);
    }
}

/// Records a problem under `key` if `heads` is not a divisor of `width`.
pub fn check_heads(key: &str, heads: usize, width: usize, checks: &mut Checks) {
    checks.range(key, heads, 1..=LARGEST_DIMENSION);
    if heads > 0 && !width.is_multiple_of(heads) {
        let expected = format!("expected a divisor of the width, {width}");
        checks.wrong(key, heads, expected);
    }
}
