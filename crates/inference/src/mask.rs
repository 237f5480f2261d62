//! Learned masks at inference: their value, their rounding and what is measured of them.

use kernels::random::{Philox, unit};
use learned_dropout::MaskConfig;
use learned_dropout::function::MaskFunction;
use learned_dropout::rounding::Rounding;

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

/// Where the masks' random streams start, so that they share none with the sampling of tokens.
const FIRST_STREAM: u64 = 1 << 32;

/// What was measured of one layer's mask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerMask {
    /// Share of ones in the rounded mask; where the rounding is not binary, share of `M ≥ 0.5`.
    pub kept: f64,
    /// Mean of `M² / 2`.
    pub penalty: f64,
}

/// What was measured of the masks of all layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MaskStatistics {
    /// Mean of the layers' `kept`.
    pub kept: f64,
    /// Mean of the layers' `penalty`.
    pub penalty: f64,
    /// The layers, from the first to the last.
    pub layers: Vec<LayerMask>,
}

/// Running sums over the elements of one layer's masks.
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
}

/// The statistics of some layers; none if no mask was computed.
pub(crate) fn statistics(sums: &[MaskSums]) -> Option<MaskStatistics> {
    if sums.first()?.elements == 0 {
        return None;
    }
    let layers: Vec<LayerMask> = sums
        .iter()
        .map(|sums| LayerMask {
            kept: sums.kept as f64 / sums.elements as f64,
            penalty: sums.penalty / sums.elements as f64,
        })
        .collect();
    let mean =
        |value: fn(&LayerMask) -> f64| layers.iter().map(value).sum::<f64>() / layers.len() as f64;
    Some(MaskStatistics {
        kept: mean(|layer| layer.kept),
        penalty: mean(|layer| layer.penalty),
        layers,
    })
}

/// The mask of one token: multiplies the activations of that token in one layer.
pub(crate) struct TokenMask<'a> {
    pub config: &'a MaskConfig,
    /// The learned shift `B`, one value for each channel.
    pub shift: &'a [f32],
    pub sampling: Option<MaskSampling>,
    pub layer: usize,
    /// Tokens of the session before this one.
    pub token: u64,
}

impl TokenMask<'_> {
    /// Masks `values` with the rounded mask of `attended`, the output of the mask's attention.
    pub(crate) fn apply(&self, attended: &[f32], values: &mut [f32]) -> MaskSums {
        let noise = self
            .sampling
            .filter(|sampling| sampling.temperature > 0.0 && sampling.temperature.is_finite())
            .map(|sampling| {
                let stream = Philox::new(sampling.seed, FIRST_STREAM + self.layer as u64);
                (stream, 1.0 / sampling.temperature)
            });
        let first = self.token * values.len() as u64;
        let scale = self.config.sigmoid_scale as f32;
        let mut sums = MaskSums {
            elements: values.len() as u64,
            ..MaskSums::default()
        };
        let elements = values.iter_mut().zip(attended).zip(self.shift);
        for (channel, ((value, &attended), &shift)) in elements.enumerate() {
            let mask = match self.config.function {
                MaskFunction::Cosine(_) => 0.5 * (attended + shift).cos() + 0.5,
            };
            let mut kept = mask >= 0.5;
            let multiplier = match (self.config.rounding, &noise) {
                (Rounding::Stochastic, Some((stream, exponent))) => {
                    let number = unit(stream.number(first + channel as u64));
                    kept = number <= tempered(mask, *exponent);
                    f32::from(kept)
                }
                (Rounding::Stochastic | Rounding::Threshold, _) => f32::from(kept),
                (Rounding::Sigmoid | Rounding::SigmoidDetached, _) => {
                    1.0 / (1.0 + (-scale * (mask - 0.5)).exp())
                }
                (Rounding::None, _) => mask,
            };
            *value *= multiplier;
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
    use std::f32::consts::PI;

    fn mask<'a>(
        config: &'a MaskConfig,
        shift: &'a [f32],
        sampling: Option<MaskSampling>,
    ) -> TokenMask<'a> {
        TokenMask {
            config,
            shift,
            sampling,
            layer: 0,
            token: 0,
        }
    }

    #[test]
    fn threshold_of_masks_worked_by_hand() {
        // cos 0 = 1 → M = 1; cos π = −1 → M = 0; cos(π/3) = 1/2 → M = 0.75; the shift counts.
        let config = MaskConfig::default();
        let mut values = [2.0, 3.0, 5.0, 7.0];
        let sums =
            mask(&config, &[0.0, 0.0, 0.0, PI], None).apply(&[0.0, PI, PI / 3.0, 0.0], &mut values);
        assert_eq!(values, [2.0, 0.0, 5.0, 0.0]);
        assert_eq!((sums.kept, sums.elements), (2, 4));
        // (1 + 0 + 0.5625 + 0) / 2
        assert!((sums.penalty - 0.78125).abs() < 1e-6);
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
            let mut values = [1.0];
            mask(&config, &[0.0], None).apply(&[PI / 3.0], &mut values);
            assert!(
                (values[0] - expected).abs() < 1e-6,
                "{rounding:?}: {}",
                values[0]
            );
        }
    }

    #[test]
    fn sampled_masks_keep_as_often_as_their_formula_says() {
        let config = MaskConfig::default();
        let shift = vec![PI / 3.0; 20_000];
        let kept = |temperature| {
            let sampling = Some(MaskSampling {
                temperature,
                seed: 4,
            });
            let sums =
                mask(&config, &shift, sampling).apply(&vec![0.0; 20_000], &mut vec![1.0; 20_000]);
            sums.kept as f64 / sums.elements as f64
        };
        // M = 0.75; a share of 20,000 draws has a deviation of 0.0031: five of them.
        assert!((kept(1.0) - 0.75).abs() < 0.016);
        // 0.75² / (0.75² + 0.25²) = 0.9
        assert!((kept(0.5) - 0.9).abs() < 0.016);
        assert_eq!(kept(1e-3), 1.0);
        assert_eq!(kept(0.0), 1.0);
        assert_eq!(kept(f32::NAN), 1.0);
    }

    #[test]
    fn statistics_are_means_over_layers() {
        let sums = [
            MaskSums {
                kept: 3,
                penalty: 2.0,
                elements: 4,
            },
            MaskSums {
                kept: 1,
                penalty: 0.0,
                elements: 4,
            },
        ];
        let found = statistics(&sums).unwrap();
        assert_eq!((found.kept, found.penalty), (0.5, 0.25));
        assert_eq!(
            found.layers[0],
            LayerMask {
                kept: 0.75,
                penalty: 0.5
            }
        );
        assert_eq!(statistics(&[MaskSums::default()]), None);
        assert_eq!(statistics(&[]), None);
    }
}
