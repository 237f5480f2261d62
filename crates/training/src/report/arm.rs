//! An arm of a report: the runs of one configuration, and what they come to.

use model::{FeedForwardConfig, Site, TransformerConfig};

use super::run_record::{EvaluationPoint, RunRecord};
use super::spread::Spread;
use crate::experiments::{ArmOutline, Published};
use crate::flops;

/// What an arm is in a few words, so that a chart can draw like arms alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Dense feed-forwards, without any dropout.
    Dense,
    /// The same with random dropout.
    Dropout,
    /// Learned masks.
    Masked,
    /// Experts of which each token takes a few.
    Experts,
    /// ReLU.
    Relu,
}

/// The runs of one configuration with different seeds.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Its short name.
    pub name: String,
    /// What tables and charts call it.
    pub label: String,
    /// Numbers that were published about the same arm elsewhere.
    pub published: Published,
    /// Its runs that have begun.
    pub runs: Vec<RunRecord>,
    /// How many runs it is to have.
    pub planned: usize,
}

impl Arm {
    /// An arm of an experiment.
    pub fn new(outline: &ArmOutline, runs: Vec<RunRecord>, planned: usize) -> Self {
        Self {
            name: outline.name.clone(),
            label: outline.label.clone(),
            published: outline.published,
            runs,
            planned,
        }
    }

    /// The runs that are done.
    pub fn finished(&self) -> impl Iterator<Item = &RunRecord> {
        self.runs.iter().filter(|run| run.is_finished())
    }

    /// A value of the finished runs, over their seeds.
    pub fn over_seeds(&self, value: impl Fn(&RunRecord) -> Option<f64>) -> Option<Spread> {
        Spread::of_values(self.finished().filter_map(value))
    }

    /// A value of the finished runs' last evaluations, over their seeds.
    pub fn at_end(&self, value: impl Fn(&EvaluationPoint) -> Option<f64>) -> Option<Spread> {
        self.over_seeds(|run| value(run.evaluations.last()?))
    }

    /// A value of the evaluations at each step that all runs with evaluations have evaluated,
    /// over the seeds; runs that are not done count too.
    pub fn over_time(&self, value: impl Fn(&EvaluationPoint) -> Option<f64>) -> Vec<(f64, Spread)> {
        let runs: Vec<&RunRecord> = self.with_evaluations().collect();
        let Some(longest) = runs.iter().max_by_key(|run| run.evaluations.len()) else {
            return Vec::new();
        };
        let at = |run: &RunRecord, step: u64| {
            let found = run.evaluations.iter().find(|of| of.step == step);
            found.and_then(&value)
        };
        let steps = longest.evaluations.iter().map(|of| of.step);
        steps
            .filter_map(|step| {
                let values: Vec<f64> = runs.iter().filter_map(|run| at(run, step)).collect();
                // A mean over other runs than before would look like a change.
                let all = values.len() == runs.len();
                all.then(|| Spread::of_values(values))
                    .flatten()
                    .map(|of| (step as f64, of))
            })
            .collect()
    }

    /// The share of ones of each layer at the last evaluations, over the seeds.
    pub fn kept_by_layer(&self) -> Vec<(f64, Spread)> {
        let ends: Vec<&EvaluationPoint> = self
            .with_evaluations()
            .filter_map(|run| run.evaluations.last())
            .collect();
        let layers = ends
            .iter()
            .map(|end| end.kept_by_layer.len())
            .max()
            .unwrap_or(0);
        let layer = |layer: usize| {
            let kept = ends
                .iter()
                .filter_map(|end| end.kept_by_layer.get(layer).copied());
            Spread::of_values(kept).map(|of| (layer as f64, of))
        };
        (0..layers).filter_map(layer).collect()
    }

    /// The share that the masks at a site keep at the last evaluations, the mean over all their values. None
    /// without such masks, and if they drop nothing whole.
    pub(super) fn kept_at(&self, site: Site) -> Option<Spread> {
        let model = self.model()?;
        let masks = model.masks_at(site)?;
        if !masks.rounding.drops_whole() {
            return None;
        }
        let layers = if site.is_in_blocks() { model.layers } else { 1 };
        let values: Vec<f64> = (0..layers)
            .filter_map(|layer| Some(model.mask_shape(site, layer)?.values as f64))
            .collect();
        self.at_end(|end| {
            let kept = values.iter().enumerate();
            let kept = kept.map(|(layer, count)| count * end.used.kept_in(site, layer));
            let measured = end.used.has_site(site);
            measured.then(|| kept.sum::<f64>() / values.iter().sum::<f64>())
        })
    }

    /// The share of kept hidden units that are not 0 at the last evaluations, with ReLU: the mean over the kept
    /// units of all layers, so that the share of all units that are not 0 is its product with the kept share.
    pub(super) fn nonzero_units(&self) -> Option<Spread> {
        let model = self.model()?;
        if !model.feed_forward.activation()?.gives_zeros() {
            return None;
        }
        let site = Site::FeedForwardHidden;
        let masks = model.masks_at(site);
        let drops = masks.is_some_and(|masks| masks.rounding.drops_whole());
        self.at_end(|end| {
            let (mut kept, mut used) = (0.0, 0.0);
            for layer in 0..model.layers {
                let units = model.feed_forward.hidden(model.width, layer) as f64;
                let of_layer = units
                    * if drops {
                        end.used.kept_in(site, layer)
                    } else {
                        1.0
                    };
                kept += of_layer;
                used += of_layer * end.used.density_in(layer)?;
            }
            // Where nothing is kept nothing is used.
            Some(if kept > 0.0 { used / kept } else { 0.0 })
        })
    }

    /// Runs that charts show: those that are not failed, or else all.
    pub(super) fn shown(&self) -> impl Iterator<Item = &RunRecord> {
        let any_good = self.runs.iter().any(|run| run.failure.is_none());
        let good = move |run: &&RunRecord| run.failure.is_none() || !any_good;
        self.runs.iter().filter(good)
    }

    fn with_evaluations(&self) -> impl Iterator<Item = &RunRecord> {
        self.shown().filter(|run| !run.evaluations.is_empty())
    }

    /// The model; none if no run has begun.
    pub fn model(&self) -> Option<TransformerConfig> {
        self.runs.first()?.config.model.transformer(None).ok()
    }

    /// What it is; none if no run has begun.
    pub fn family(&self) -> Option<Family> {
        let model = self.model()?;
        Some(match model.feed_forward {
            _ if model.learned_dropout.is_some() => Family::Masked,
            FeedForwardConfig::MixtureOfExperts(_) | FeedForwardConfig::ReluRoutedExperts(_) => {
                Family::Experts
            }
            FeedForwardConfig::Relu(_) => Family::Relu,
            FeedForwardConfig::Dense(_) | FeedForwardConfig::Swiglu(_) => match model.dropout {
                0.0 => Family::Dense,
                _ => Family::Dropout,
            },
        })
    }

    /// Operations of the forward pass per token, if everything is computed; none if no run has
    /// begun.
    pub fn forward_flops(&self) -> Option<f64> {
        self.model().map(|model| flops::forward_per_token(&model))
    }

    /// Operations of the forward pass per token that make the masks; none without masks.
    pub fn mask_flops(&self) -> Option<f64> {
        let masked = self.model().filter(|model| model.learned_dropout.is_some());
        masked.map(|model| flops::mask_generation_per_token(&model))
    }

    /// Operations of the forward pass per token that the finished runs' last evaluations left,
    /// over their seeds; see [`RunRecord::executed_flops`].
    pub fn executed_flops(&self) -> Option<Spread> {
        self.over_seeds(RunRecord::executed_flops)
    }
}
