//! The shares of a model that tokens use, as its evaluations measured them.

use std::collections::BTreeMap;
use std::path::Path;

use model::Site;

use super::{EvaluationMetrics, MaskMetrics, Metrics};
use crate::run_folder::METRICS_FILE;

/// The shares of a model that tokens use on average; each from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsedShares {
    /// The share of kept mask values at each site with a measured mask, mask by mask from the first layer. One
    /// share alone holds for all layers.
    kept: BTreeMap<Site, Vec<f64>>,
    /// The share of the experts, or of the hidden units of feed-forwards with ReLU that are kept: the mean over
    /// the layers, if it was measured.
    pub density: Option<f64>,
    /// The same layer by layer; empty if it was not measured so.
    densities: Vec<f64>,
    /// The share of the hidden units of used experts that are not 0, layer by layer; empty if it was not measured.
    unit_densities: Vec<f64>,
}

impl UsedShares {
    /// From the kept share of each mask with the mask's site, and from the density of the
    /// feed-forwards.
    pub fn new(masks: impl IntoIterator<Item = (Site, f64)>, density: Option<f64>) -> Self {
        let mut of_sites: BTreeMap<Site, Vec<f64>> = BTreeMap::new();
        for (site, kept) in masks {
            of_sites.entry(site).or_default().push(kept);
        }
        Self {
            kept: of_sites,
            density,
            densities: Vec::new(),
            unit_densities: Vec::new(),
        }
    }

    /// The same with the densities of the layers, from the first.
    pub fn with_densities(self, densities: Vec<f64>) -> Self {
        Self { densities, ..self }
    }

    /// The same with the densities of the hidden units of used experts, layer by layer.
    pub fn with_unit_densities(self, unit_densities: Vec<f64>) -> Self {
        Self {
            unit_densities,
            ..self
        }
    }

    /// The same share of kept values at every site.
    pub fn with_kept(self, share: f64) -> Self {
        Self {
            kept: Site::ALL.map(|site| (site, vec![share])).into(),
            ..self
        }
    }

    /// The shares in an evaluation.
    pub fn of_evaluation(evaluation: &EvaluationMetrics) -> Self {
        let masks = evaluation.mask.as_ref().map(Self::of_masks);
        let used = evaluation.feed_forward.as_ref();
        Self {
            density: used.map(|used| used.density),
            densities: used.map_or_else(Vec::new, |used| {
                used.layers.iter().map(|layer| layer.density).collect()
            }),
            unit_densities: used.map_or_else(Vec::new, |used| {
                let layers = used.layers.iter();
                layers.filter_map(|layer| layer.unit_density).collect()
            }),
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

    /// Whether the share of kept values at a site was measured.
    pub fn has_site(&self, site: Site) -> bool {
        self.kept.contains_key(&site)
    }

    /// The share of kept values at a site, the mean over its masks; 1 if it was not measured.
    pub fn kept_at(&self, site: Site) -> f64 {
        self.kept.get(&site).map_or(1.0, |shares| {
            shares.iter().sum::<f64>() / shares.len() as f64
        })
    }

    /// The share of kept values at a site of a layer; 1 if it was not measured.
    pub fn kept_in(&self, site: Site, layer: usize) -> f64 {
        let of_layer = self.kept.get(&site).and_then(|shares| shares.get(layer));
        of_layer.copied().unwrap_or_else(|| self.kept_at(site))
    }

    /// The density of a layer, if it was measured.
    pub fn density_in(&self, layer: usize) -> Option<f64> {
        self.densities.get(layer).copied().or(self.density)
    }

    /// The share of the hidden units of used experts in a layer that are not 0, if it was measured.
    pub fn unit_density_in(&self, layer: usize) -> Option<f64> {
        self.unit_densities.get(layer).copied()
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
