//! Rounding: from the mask `M` in [0, 1] to the values that multiply the activations.
//!
//! A new one is a file of its own and a line in [`Rounding`].

mod sigmoid;
mod stochastic;
mod threshold;

use burn::tensor::{Tensor, TensorData};
use kernels::random::{Philox, unit};
use serde::{Deserialize, Serialize};

use crate::ops::Keep;
use crate::pass::{NoiseKey, Pass, Place};

/// The steepness that the seed gave its sigmoid roundings.
pub const SIGMOID_SCALE: f64 = 60.0;

/// How a mask is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// In training, 1 with probability `M`, else 0; in inference, 1 where `M ≥ 0.5`, else 0.
    /// The gradient passes straight through.
    #[default]
    Stochastic,
    /// 1 where `M ≥ 0.5`, else 0, in training too; the gradient passes straight through.
    Threshold,
    /// `sigmoid(scale (M − 0.5))`, differentiated as it stands, in training and in inference.
    Sigmoid,
    /// The values of `Sigmoid` with the gradient of `M`: the scaling is detached.
    SigmoidDetached,
    /// `M` itself, in training and in inference.
    None,
}

/// A rounded mask.
pub struct Rounded {
    /// What multiplies the activations, `[batch, time, channels]`, with the rounding's gradient.
    pub multiplier: Tensor<3>,
    /// The side of every element without gradient: 1 where it is kept, else 0. For the roundings
    /// that do not round, 1 where `M ≥ 0.5`.
    pub kept: Tensor<3>,
}

impl Rounding {
    /// Whether the rounded mask holds only 0 and 1.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Stochastic | Self::Threshold)
    }

    /// The rule by which the kernels round in this pass, where they know one.
    pub(crate) fn keep(&self, pass: &Pass, place: Place) -> Option<Keep> {
        match (self, pass) {
            (Self::Stochastic, Pass::Train(key)) => Some(Keep::Random(key.stream_at(place))),
            (Self::Stochastic, Pass::TrainWithSpread { key, spread }) => Some(Keep::Narrowed {
                generator: key.stream_at(place),
                spread: *spread,
            }),
            (Self::Stochastic, Pass::TrainWithConstantNoise(noise)) => {
                Some(Keep::Threshold(*noise))
            }
            (Self::Stochastic, Pass::Evaluate) | (Self::Threshold, _) => Some(Keep::Threshold(0.5)),
            _ => None,
        }
    }

    /// Rounds a mask, `[batch, time, channels]`.
    ///
    /// `scale` is the steepness of the sigmoid roundings; `place` is where the noise comes from.
    pub fn round(&self, mask: Tensor<3>, scale: f64, pass: &Pass, place: Place) -> Rounded {
        let value = mask.clone().detach();
        match self {
            Self::Stochastic => straight_through(mask, stochastic_sides(&value, pass, place)),
            Self::Threshold => {
                let kept = threshold::kept(&value);
                straight_through(mask, kept)
            }
            Self::Sigmoid => Rounded {
                multiplier: sigmoid::value(mask, scale),
                kept: threshold::kept(&value),
            },
            Self::SigmoidDetached => {
                let multiplier = mask - value.clone() + sigmoid::value(value.clone(), scale);
                Rounded {
                    multiplier,
                    kept: threshold::kept(&value),
                }
            }
            Self::None => Rounded {
                multiplier: mask,
                kept: threshold::kept(&value),
            },
        }
    }
}

/// The sides' values with the gradient of the mask.
///
/// The difference to the mask is zero in value: subtracting a number from itself is exact.
fn straight_through(mask: Tensor<3>, kept: Tensor<3>) -> Rounded {
    let zero = mask.clone() - mask.detach();
    Rounded {
        multiplier: zero + kept.clone(),
        kept,
    }
}

fn stochastic_sides(mask: &Tensor<3>, pass: &Pass, place: Place) -> Tensor<3> {
    let noise = |key: &NoiseKey| noise(mask, key.stream_at(place));
    match pass {
        Pass::Train(key) => stochastic::kept(mask, noise(key)),
        Pass::TrainWithSpread { key, spread } => {
            stochastic::kept(mask, (noise(key) - 0.5) * *spread + 0.5)
        }
        Pass::TrainWithConstantNoise(value) => {
            stochastic::kept(mask, mask.clone().full_like(*value))
        }
        Pass::Evaluate => threshold::kept(mask),
        Pass::Sample { key, temperature } => stochastic::kept(
            &stochastic::tempered(mask.clone(), *temperature),
            noise(key),
        ),
    }
}

/// Uniform noise in [0, 1) with the shape of a tensor; element `i` comes from position `i`.
fn noise(like: &Tensor<3>, generator: Philox) -> Tensor<3> {
    let shape = like.dims();
    let count = shape.iter().product::<usize>();
    let mut values = Vec::with_capacity(count.next_multiple_of(4));
    for block in 0..count.div_ceil(4) as u64 {
        values.extend(generator.block(block).map(unit));
    }
    values.truncate(count);
    Tensor::from_data(TensorData::new(values, shape), &like.device())
}
