//! Rounding of masks at inference.

use kernels::gate::excess;
use kernels::random::{Philox, unit};
use model::{MaskConfig, Rounding, Site};

use crate::mask_statistics::MaskSums;

/// Stochastic rounding at inference, for models that were trained with it.
///
/// An element is kept with probability `M^a / (M^a + (1 − M)^a)`, `a = 1 / temperature`. At temperature 1
/// the probability is `M`, as in training; near 0 masks are rounded at 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskSampling {
    /// Finite and above 0; with other values, masks are rounded as in evaluation.
    pub temperature: f32,
    /// Seed of the rounding. The same seed, tokens and model give the same masks.
    pub seed: u64,
}

/// How masks are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MaskRule {
    /// As in the model's evaluation.
    #[default]
    Model,
    /// At random, for models with stochastic rounding; others as in evaluation.
    Sampled(MaskSampling),
    /// Replaces masks by random ones: each value is kept with the same probability. This serves to measure
    /// speed with untrained weights; the actual masks are computed all the same.
    Random {
        /// The probability, from 0 to 1.
        kept: f32,
        /// Seed of the random masks. The same seed and tokens give the same masks.
        seed: u64,
    },
}

/// Number of the masks' first random stream. The sampling of tokens uses lower ones.
const FIRST_STREAM: u64 = 1 << 32;

/// The mask of one token.
pub(crate) struct MaskRow<'a> {
    pub(crate) config: &'a MaskConfig,
    /// What `2 M − 1` is compared with, if the mask has a threshold.
    pub(crate) threshold: Option<f32>,
    pub(crate) rule: MaskRule,
    pub(crate) site: Site,
    pub(crate) layer: usize,
    /// The token's number in the sequence, from 0.
    pub(crate) token: u64,
}

impl MaskRow<'_> {
    fn stream(&self, seed: u64) -> Philox {
        let site = (self.site as u64) << 24;
        Philox::new(seed, FIRST_STREAM + site + self.layer as u64)
    }

    /// Rounds the values of the mask function in place.
    pub(crate) fn round(&self, masks: &mut [f32]) -> MaskSums {
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
            let excess = self.threshold.map(|threshold| excess(mask, threshold));
            let mut kept = excess.map_or(mask >= 0.5, |excess| excess > 0.0);
            *value = match (self.config.rounding, &noise) {
                (Rounding::Stochastic, Some((stream, exponent))) => {
                    kept = unit(stream.number(index)) <= tempered(mask, *exponent);
                    f32::from(kept)
                }
                // What is no number passes, so that it shows.
                (Rounding::Stochastic | Rounding::Threshold, _) => match excess.unwrap_or(mask) {
                    nan if nan.is_nan() => nan,
                    _ => f32::from(kept),
                },
                (Rounding::Sigmoid | Rounding::SigmoidDetached, _) => {
                    1.0 / (1.0 + (-scale * (mask - 0.5)).exp())
                }
                (Rounding::None, _) => mask,
                (Rounding::Carried, _) => match excess.unwrap_or_default() {
                    dropped if dropped < 0.0 => 0.0,
                    gate => gate,
                },
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
    // Both are 0 only for a tiny temperature and a mask near 0.5.
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
            threshold: None,
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

    /// `2 M − 1 − θ` is 0.5, 0 and −0.5.
    #[test]
    fn gates_worked_by_hand() {
        for (rounding, expected) in [
            (Rounding::Carried, [0.5, 0.0, 0.0]),
            (Rounding::Threshold, [1.0, 0.0, 0.0]),
        ] {
            let config = MaskConfig {
                rounding,
                ..MaskConfig::default()
            };
            let gate = |threshold| MaskRow {
                threshold: Some(threshold),
                ..row(&config, MaskRule::Model)
            };
            let mut values = [0.875, 0.625, 0.375];
            let sums = gate(0.25).round(&mut values);
            assert_eq!((values, sums.kept), (expected, 1));
            // What is no number shows, and is not taken for something dropped.
            let mut values = [0.5];
            gate(f32::NAN).round(&mut values);
            assert!(values[0].is_nan());
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
}
