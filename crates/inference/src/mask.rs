//! Learned masks at inference: their values, their rounding and what is measured of them.

use kernels::cached_attention::Cache;
use kernels::decode::Matrix;
use kernels::random::{Philox, unit};
use model::{MaskConfig, MaskShape, Rounding, Site};

use crate::engine::Engine;
use crate::mask_function::Function;
use crate::sequence::{Sequence, Span, attend};

/// Stochastic rounding at inference, for models that were trained with it.
///
/// An element is kept with probability `M^a / (M^a + (1 − M)^a)`, `a = 1 / temperature`: at 1
/// with probability `M`, as in training; towards 0 it becomes the threshold at 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskSampling {
    /// Above 0, finite. Values that are not turn the sampling off.
    pub temperature: f32,
    /// The same seed, tokens and model give the same masks.
    pub seed: u64,
}

/// What decides over the values of masks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MaskRule {
    /// The model's rounding as in its evaluation.
    #[default]
    Model,
    /// Random rounding of masks whose rounding is stochastic.
    Sampled(MaskSampling),
    /// Not the masks at all: each value is kept with this probability. Made to measure speed with
    /// weights that were never trained; the masks are computed nevertheless.
    Random {
        /// From 0 to 1.
        kept: f32,
        /// The same seed and tokens give the same masks.
        seed: u64,
    },
}

/// Where the masks' random streams start, so that they share none with the sampling of tokens.
const FIRST_STREAM: u64 = 1 << 32;

/// What was measured of one layer's masks, or of one mask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerMask {
    /// Share of ones in the rounded mask; where the rounding is not binary, share of `M ≥ 0.5`.
    pub kept: f64,
    /// Mean of `M² / 2`.
    pub penalty: f64,
}

/// What was measured of one mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteMask {
    /// Where it stands.
    pub site: Site,
    /// In which block; none in front of all.
    pub layer: Option<usize>,
    /// What was measured.
    pub measured: LayerMask,
}

/// What was measured of the masks of all layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MaskStatistics {
    /// Mean of the masks' `kept`.
    pub kept: f64,
    /// Mean of the masks' `penalty`.
    pub penalty: f64,
    /// The means of each block's masks, from the first block to the last; empty if no mask stands in
    /// a block.
    pub layers: Vec<LayerMask>,
    /// Each mask, in the order of the forward pass.
    pub masks: Vec<SiteMask>,
}

/// The values of one mask for some tokens, before their rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskValues {
    /// Where the mask stands.
    pub site: Site,
    /// In which block; none in front of all.
    pub layer: Option<usize>,
    /// Values of the mask for each token.
    pub width: usize,
    /// Neighbouring channels, hidden units or heads that share a value.
    pub group: usize,
    /// M of each token, `[tokens, width]`, from 0 to 1. What is at least 0.5 is kept, where the
    /// rounding is stochastic or a threshold.
    pub values: Vec<f32>,
}

/// Running sums over the elements of one mask.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MaskSums {
    kept: u64,
    penalty: f64,
    elements: u64,
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

/// The statistics of some masks; none if no mask was computed.
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

/// The weights of one mask.
pub(crate) struct Mask {
    pub shape: MaskShape,
    pub layer: usize,
    /// Its number among all masks.
    pub number: usize,
    pub query_key_value: Matrix,
    pub output: Option<Matrix>,
    pub function: Function,
}

/// The tensors that make a mask, row by row, one row for each token.
#[derive(Debug, Default)]
pub(crate) struct MaskActivations {
    packed: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    /// What the masked values are multiplied by, `[tokens, values]`.
    pub(crate) factors: Vec<f32>,
}

impl Mask {
    /// An empty cache for the mask's attention.
    pub(crate) fn cache(&self, context: usize) -> Option<Cache> {
        let MaskShape {
            attention, heads, ..
        } = self.shape;
        Cache::new(heads, attention / heads, context)
    }

    /// Computes the factors of tokens from the mask's input, `[tokens, input]`.
    pub(crate) fn compute(
        &self,
        engine: &Engine,
        sequences: &mut [Sequence],
        spans: &[Span],
        input: &[f32],
        tensors: &mut MaskActivations,
    ) {
        let Some(config) = &engine.config().learned_dropout else {
            return;
        };
        let MaskActivations {
            packed,
            attended,
            projected,
            factors,
        } = tensors;
        let MaskShape {
            attention, values, ..
        } = self.shape;
        let tokens = input.len() / self.shape.input;
        packed.resize(tokens * 3 * attention, 0.0);
        attended.resize(tokens * attention, 0.0);
        engine.multiply(&self.query_key_value, input, packed);
        let caches = sequences
            .iter_mut()
            .map(|sequence| &mut sequence.mask_caches[self.number]);
        attend(engine, caches, spans, packed, None, attended);
        let attended = match &self.output {
            Some(output) => {
                projected.resize(tokens * values, 0.0);
                engine.multiply(output, attended, projected);
                projected
            }
            None => attended,
        };
        factors.resize(tokens * values, 0.0);
        self.function.values(factors, attended);
        for (span, sequence) in spans.iter().zip(sequences) {
            let factors = &mut factors[span.first * values..][..span.count * values];
            if let Some(record) = sequence.mask_values.as_mut().filter(|_| span.measured) {
                record[self.number].extend_from_slice(factors);
            }
            for (token, factors) in (sequence.seen..).zip(factors.chunks_exact_mut(values)) {
                let row = MaskRow {
                    config,
                    rule: sequence.mask_rule,
                    site: self.shape.site,
                    layer: self.layer,
                    token,
                };
                let sums = row.round(factors);
                if span.measured {
                    sequence.sums[self.number].add(sums);
                }
            }
        }
    }

    /// Multiplies `channels`, rows of them `stride` apart, by the factors of their groups.
    pub(crate) fn apply(&self, factors: &[f32], channels: &mut [f32], stride: usize) {
        let MaskShape { values, group, .. } = self.shape;
        let rows = channels
            .chunks_mut(stride)
            .zip(factors.chunks_exact(values));
        for (row, factors) in rows {
            for (group, factor) in row.chunks_mut(group).zip(factors) {
                group.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

/// The mask of one token.
struct MaskRow<'a> {
    config: &'a MaskConfig,
    rule: MaskRule,
    site: Site,
    layer: usize,
    /// Tokens of the sequence before this one.
    token: u64,
}

impl MaskRow<'_> {
    fn stream(&self, seed: u64) -> Philox {
        let site = (self.site as u64) << 24;
        Philox::new(seed, FIRST_STREAM + site + self.layer as u64)
    }

    /// Replaces the values of the mask function by factors.
    fn round(&self, masks: &mut [f32]) -> MaskSums {
        let noise = match self.rule {
            MaskRule::Sampled(sampling)
                if sampling.temperature > 0.0 && sampling.temperature.is_finite() =>
            {
                Some((self.stream(sampling.seed), 1.0 / sampling.temperature))
            }
            _ => None,
        };
        let random = match self.rule {
            MaskRule::Random { kept, seed } => Some((self.stream(seed), kept)),
            _ => None,
        };
        let first = self.token * masks.len() as u64;
        let scale = self.config.sigmoid_scale as f32;
        let mut sums = MaskSums {
            elements: masks.len() as u64,
            ..MaskSums::default()
        };
        for (index, value) in (first..).zip(masks) {
            let mask = *value;
            let mut kept = mask >= 0.5;
            *value = match (self.config.rounding, &noise) {
                (Rounding::Stochastic, Some((stream, exponent))) => {
                    kept = unit(stream.number(index)) <= tempered(mask, *exponent);
                    f32::from(kept)
                }
                (Rounding::Stochastic | Rounding::Threshold, _) => f32::from(kept),
                (Rounding::Sigmoid | Rounding::SigmoidDetached, _) => {
                    1.0 / (1.0 + (-scale * (mask - 0.5)).exp())
                }
                (Rounding::None, _) => mask,
            };
            if let Some((stream, share)) = &random {
                kept = unit(stream.number(index)) < *share;
                *value = f32::from(kept);
            }
            sums.kept += u64::from(kept);
            sums.penalty += f64::from(mask * mask / 2.0);
        }
        sums
    }
}

fn tempered(mask: f32, exponent: f32) -> f32 {
    let keep = mask.powf(exponent);
    let drop = (1.0 - mask).max(0.0).powf(exponent);
    // Both vanish only for a tiny temperature and a mask at the middle.
    if keep + drop > 0.0 {
        keep / (keep + drop)
    } else {
        f32::from(mask >= 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(config: &MaskConfig, rule: MaskRule) -> MaskRow<'_> {
        MaskRow {
            config,
            rule,
            site: Site::FeedForwardOutput,
            layer: 0,
            token: 0,
        }
    }

    #[test]
    fn threshold_of_masks_worked_by_hand() {
        let config = MaskConfig::default();
        let mut values = [1.0, 0.0, 0.75, 0.25];
        let sums = row(&config, MaskRule::Model).round(&mut values);
        assert_eq!(values, [1.0, 0.0, 1.0, 0.0]);
        assert_eq!((sums.kept, sums.elements), (2, 4));
        // (1 + 0 + 0.5625 + 0.0625) / 2
        assert!((sums.penalty - 0.8125).abs() < 1e-6);
    }

    #[test]
    fn roundings_worked_by_hand() {
        let cases = [
            (Rounding::Threshold, 1.0),
            (Rounding::None, 0.75),
            // sigmoid(4 · 0.25) = 1 / (1 + 1/e)
            (Rounding::Sigmoid, 0.731_058_6),
            (Rounding::SigmoidDetached, 0.731_058_6),
        ];
        for (rounding, expected) in cases {
            let config = MaskConfig {
                rounding,
                sigmoid_scale: 4.0,
                ..MaskConfig::default()
            };
            let mut values = [0.75];
            row(&config, MaskRule::Model).round(&mut values);
            assert!(
                (values[0] - expected).abs() < 1e-6,
                "{rounding:?}: {}",
                values[0]
            );
        }
    }

    fn share(rule: MaskRule) -> f64 {
        let config = MaskConfig::default();
        let sums = row(&config, rule).round(&mut vec![0.75; 20_000]);
        sums.kept as f64 / sums.elements as f64
    }

    #[test]
    fn sampled_masks_keep_as_often_as_their_formula_says() {
        let kept = |temperature| {
            share(MaskRule::Sampled(MaskSampling {
                temperature,
                seed: 4,
            }))
        };
        // A share of 20,000 draws has a deviation of 0.0031: five of them.
        assert!((kept(1.0) - 0.75).abs() < 0.016);
        // 0.75² / (0.75² + 0.25²) = 0.9
        assert!((kept(0.5) - 0.9).abs() < 0.016);
        assert_eq!(kept(1e-3), 1.0);
        assert_eq!(kept(0.0), 1.0);
        assert_eq!(kept(f32::NAN), 1.0);
    }

    #[test]
    fn random_masks_keep_the_share_that_was_asked_for() {
        let kept = |kept| share(MaskRule::Random { kept, seed: 4 });
        assert!((kept(0.25) - 0.25).abs() < 0.016);
        assert_eq!((kept(0.0), kept(1.0)), (0.0, 1.0));
    }

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
