//! The shares of a model that tokens use, as its evaluations measured them.

use std::collections::BTreeMap;
use std::path::Path;

use model::Site;

use super::{EvaluationMetrics, MaskMetrics, Metrics};
use crate::run_folder::METRICS_FILE;

/// The shares of a model that tokens use on average; each from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsedShares {
    /// The share of kept mask values at each site with a measured mask: the mean over its masks.
    pub kept: BTreeMap<Site, f64>,
    /// The share of the experts, or of the hidden units of feed-forwards with ReLU: the mean over the
    /// layers, if it was measured.
    pub density: Option<f64>,
}

impl UsedShares {
    /// From the kept share of each mask with the mask's site, and from the density of the
    /// feed-forwards.
    pub fn new(masks: impl IntoIterator<Item = (Site, f64)>, density: Option<f64>) -> Self {
        let mut of_sites: BTreeMap<Site, Vec<f64>> = BTreeMap::new();
        for (site, kept) in masks {
            of_sites.entry(site).or_default().push(kept);
        }
        let mean = |shares: Vec<f64>| shares.iter().sum::<f64>() / shares.len() as f64;
        let kept = of_sites
            .into_iter()
            .map(|(site, shares)| (site, mean(shares)));
        Self {
            kept: kept.collect(),
            density,
        }
    }

    /// The same share of kept values at every site.
    pub fn with_kept(self, share: f64) -> Self {
        Self {
            kept: Site::ALL.map(|site| (site, share)).into(),
            ..self
        }
    }

    /// The shares in an evaluation.
    pub fn of_evaluation(evaluation: &EvaluationMetrics) -> Self {
        let masks = evaluation.mask.as_ref().map(Self::of_masks);
        let used = evaluation.feed_forward.as_ref();
        Self {
            density: used.map(|used| used.density),
            ..masks.unwrap_or_default()
        }
    }

    /// The kept shares in statistics of masks.
    pub fn of_masks(masks: &MaskMetrics) -> Self {
        let layers = masks.layers.iter();
        let kept = layers.map(|layer| (layer.site.unwrap_or(Self::OLD_SITE), layer.kept));
        Self::new(kept, None)
    }

    /// The shares in the last evaluation up to a checkpoint; empty if the folder is not a checkpoint
    /// of a run or the run has no such evaluation.
    pub fn at_checkpoint(checkpoint: &Path) -> Self {
        let step = crate::checkpoints::read_state(checkpoint).map(|state| state.step);
        let of_run = checkpoint.ancestors().nth(2);
        let (Ok(step), Some(run)) = (step, of_run) else {
            return Self::default();
        };
        let lines = std::fs::read_to_string(run.join(METRICS_FILE)).unwrap_or_default();
        let evaluation = |line: &str| match serde_json::from_str(line) {
            Ok(Metrics::Evaluation(evaluation)) if evaluation.step <= step => Some(evaluation),
            _ => None,
        };
        let last = lines.lines().filter_map(evaluation).next_back();
        last.map_or_else(Self::default, |last| Self::of_evaluation(&last))
    }

    /// The share of kept values at a site; 1 if it was not measured.
    pub fn kept_at(&self, site: Site) -> f64 {
        self.kept.get(&site).copied().unwrap_or(1.0)
    }

    /// The site of masks in old metrics, which name no site.
    pub(crate) const OLD_SITE: Site = Site::FeedForwardOutput;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{FeedForwardMetrics, LayerMetrics, MaskMetrics};

    #[test]
    fn masks_of_one_site_are_averaged() {
        let layer = |site, kept| LayerMetrics {
            site,
            kept,
            ..LayerMetrics::default()
        };
        let layers = vec![
            layer(Some(Site::AttentionHeads), 0.5),
            layer(None, 0.25),
            layer(Some(Site::AttentionHeads), 1.0),
        ];
        let evaluation = EvaluationMetrics {
            mask: MaskMetrics::of_layers(layers),
            feed_forward: Some(FeedForwardMetrics {
                density: 0.125,
                ..FeedForwardMetrics::default()
            }),
            ..EvaluationMetrics::default()
        };
        let used = UsedShares::of_evaluation(&evaluation);
        assert_eq!(used.density, Some(0.125));
        assert_eq!(used.kept_at(Site::AttentionHeads), 0.75);
        assert_eq!(used.kept_at(Site::FeedForwardOutput), 0.25);
        assert_eq!(used.kept_at(Site::Embedding), 1.0);
        let used = used.with_kept(0.5);
        assert_eq!(used.kept_at(Site::Embedding), 0.5);
        assert_eq!(used.density, Some(0.125));
    }
}
