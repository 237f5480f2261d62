//! Why no model can be made from a configuration: all reasons at once.

use std::fmt;

use crate::config::TransformerConfig;
use crate::feed_forward::FeedForwardConfig;
use crate::mask_config::{MaskConfig, MaskGradient};
use crate::mask_shape::{MaskShape, channels};
use crate::problem::{ConfigProblem, LARGEST_DIMENSION};
use crate::rounding::Rounding;
use crate::site::{MaskInput, Site};

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
}

impl MaskConfig {
    fn validate(&self, model: &TransformerConfig, problems: &mut Vec<ConfigProblem>) {
        check_sites(model, self, problems);
        self.function.validate("learned_dropout.function", problems);
        let mut problem = |key: &str, found: &dyn std::fmt::Display, expected: &str| {
            let key = format!("learned_dropout.{key}");
            problems.push(ConfigProblem::new(key, found, expected));
        };
        if !(self.sigmoid_scale > 0.0 && self.sigmoid_scale.is_finite()) {
            let expected = "expected a finite number above 0 (the original's is 60)";
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

/// Records a problem with the heads under `key` if `width` cannot be divided among `heads`.
pub fn check_heads(key: &str, heads: usize, width: usize, problems: &mut Vec<ConfigProblem>) {
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

/// Records why there can be no masks like this; keys are relative to the model's table.
fn check_sites(config: &TransformerConfig, mask: &MaskConfig, problems: &mut Vec<ConfigProblem>) {
    let mut problem = |key: &str, found: &dyn fmt::Display, expected: String| {
        let key = format!("learned_dropout.{key}");
        problems.push(ConfigProblem::new(key, found, expected));
    };
    let sites: Vec<Site> = mask.site.iter().collect();
    if sites.is_empty() {
        let expected = "expected at least one site; leave out the table `learned_dropout` for none";
        problem("site", &mask.site, expected.into());
    } else if sites.len() < mask.site.count_named() {
        problem("site", &mask.site, "expected each site only once".into());
    }
    let input_too_late = matches!(mask.input, MaskInput::LayerInput | MaskInput::Residual);
    if input_too_late && mask.site.contains(Site::Embedding) {
        let expected = "the mask on the embedding stands before all blocks, so it can be computed \
                        only from \"hidden\", the embedding itself, or from \"embedding\"";
        problem("input", &mask.input.name(), expected.into());
    }
    let feed_forward = &config.feed_forward;
    let dense = matches!(feed_forward, FeedForwardConfig::Dense(_));
    if mask.site.contains(Site::FeedForwardHidden) && !dense {
        let expected = format!(
            "only the dense feed-forward has hidden units for a mask; \"{}\" decides by itself what \
             it computes: choose another site or feed_forward.kind = \"dense\"",
            feed_forward.name()
        );
        problem("site", &mask.site, expected);
    }
    if mask.group == 0 || mask.group > LARGEST_DIMENSION {
        let expected = format!("expected a whole number from 1 to {LARGEST_DIMENSION}");
        problem("group", &mask.group, expected);
        return;
    }
    if mask.group > 1 && !sites.is_empty() && sites.iter().all(|site| site.is_per_head()) {
        let expected = format!("expected 1: masks at {} have one value per head", mask.site);
        problem("group", &mask.group, expected);
    }
    if let Some(rank) = mask
        .rank
        .filter(|rank| !(1..=LARGEST_DIMENSION).contains(rank))
    {
        let expected = format!("expected a whole number from 1 to {LARGEST_DIMENSION}");
        problem("rank", &rank, expected);
        return;
    }
    for site in sites {
        let channels = channels(site, config);
        if !site.is_per_head() && !channels.is_multiple_of(mask.group) {
            let expected = format!("expected a divisor of the {channels} channels at {site}");
            problem("group", &mask.group, expected);
            continue;
        }
        let shape = MaskShape::new(config, mask, site);
        if !shape.projected && shape.input != shape.values {
            let expected = format!(
                "give the width of the masks' attention, for example {}: without it the attention \
                 is as wide as its input and makes the values itself, but at {site} the input \
                 (\"{}\") has {} channels and the mask {} values",
                (config.width / 16).max(1),
                mask.input.name(),
                shape.input,
                shape.values
            );
            problem("rank", &"missing", expected);
        }
        let heads = shape.heads;
        if mask.heads.is_some() && (heads == 0 || !shape.attention.is_multiple_of(heads)) {
            let expected = format!(
                "expected a divisor of {}, the width of the masks' attention at {site}",
                shape.attention
            );
            problem("heads", &heads, expected);
        }
    }
}
