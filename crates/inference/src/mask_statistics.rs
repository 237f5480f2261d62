//! Statistics of masks at inference.

use model::Site;

/// Statistics of one layer's masks, or of one mask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerMask {
    /// Share of ones in the rounded mask; if the rounding is not binary, share of `M ≥ 0.5`.
    pub kept: f64,
    /// Mean of `M² / 2`.
    pub penalty: f64,
}

/// Statistics of one mask, with its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteMask {
    /// The site of the mask.
    pub site: Site,
    /// The number of the block; none for the mask on the embedding.
    pub layer: Option<usize>,
    /// The statistics.
    pub measured: LayerMask,
}

/// Statistics of all masks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MaskStatistics {
    /// Mean of the masks' `kept`.
    pub kept: f64,
    /// Mean of the masks' `penalty`.
    pub penalty: f64,
    /// The means over each block's masks, from the first block to the last; empty if no block has masks.
    pub layers: Vec<LayerMask>,
    /// Every mask, in the order of the forward pass.
    pub masks: Vec<SiteMask>,
}

/// The values of one mask for some tokens, before their rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskValues {
    /// The site of the mask.
    pub site: Site,
    /// The number of the block; none for the mask on the embedding.
    pub layer: Option<usize>,
    /// Number of mask values per token.
    pub width: usize,
    /// Number of neighbouring channels or hidden units that share a value.
    pub group: usize,
    /// `M` of each token, `[tokens, width]`, from 0 to 1; with the linear mask function also outside.
    pub values: Vec<f32>,
    /// Values of at least this are kept: 0.5, or what the mask's threshold says.
    pub kept_from: f32,
}

/// Running sums over the elements of one mask.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MaskSums {
    pub(crate) kept: u64,
    pub(crate) penalty: f64,
    pub(crate) elements: u64,
}

impl MaskSums {
    pub(crate) fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.penalty += other.penalty;
        self.elements += other.elements;
    }

    fn measured(&self) -> LayerMask {
        LayerMask {
            kept: self.kept as f64 / self.elements as f64,
            penalty: self.penalty / self.elements as f64,
        }
    }
}

/// Statistics of some masks; none if no mask was computed.
pub(crate) fn statistics(
    masks: impl Iterator<Item = (Site, usize, MaskSums)>,
) -> Option<MaskStatistics> {
    let masks: Vec<SiteMask> = masks
        .filter(|(_, _, sums)| sums.elements > 0)
        .map(|(site, layer, sums)| SiteMask {
            site,
            layer: site.is_in_blocks().then_some(layer),
            measured: sums.measured(),
        })
        .collect();
    let blocks = masks.iter().filter_map(|mask| mask.layer).max();
    let layers = (0..blocks.map_or(0, |last| last + 1))
        .map(|layer| mean(masks.iter().filter(|mask| mask.layer == Some(layer))))
        .collect();
    let LayerMask { kept, penalty } = mean(masks.iter());
    (!masks.is_empty()).then_some(MaskStatistics {
        kept,
        penalty,
        layers,
        masks,
    })
}

fn mean<'a>(masks: impl Iterator<Item = &'a SiteMask> + Clone) -> LayerMask {
    let count = masks.clone().count() as f64;
    let mean = |value: fn(&LayerMask) -> f64| {
        let values = masks.clone().map(|mask| value(&mask.measured));
        values.sum::<f64>() / count
    };
    LayerMask {
        kept: mean(|mask| mask.kept),
        penalty: mean(|mask| mask.penalty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_means_over_masks() {
        let sums = |kept, penalty| MaskSums {
            kept,
            penalty,
            elements: 4,
        };
        let none = MaskSums::default();
        let found = statistics(
            [
                (Site::Embedding, 0, sums(0, 0.0)),
                (Site::AttentionHeads, 0, sums(4, 2.0)),
                (Site::FeedForwardHidden, 0, sums(2, 2.0)),
                (Site::FeedForwardHidden, 1, sums(2, 0.0)),
            ]
            .into_iter(),
        )
        .unwrap();
        assert_eq!((found.kept, found.penalty), (0.5, 0.25));
        let layers: Vec<f64> = found.layers.iter().map(|layer| layer.kept).collect();
        assert_eq!(layers, [0.75, 0.5]);
        assert_eq!(found.masks.len(), 4);
        assert_eq!(found.masks[0].layer, None);
        assert_eq!(statistics([(Site::Embedding, 0, none)].into_iter()), None);
        assert_eq!(statistics([].into_iter()), None);
    }
}
