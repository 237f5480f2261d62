//! Rounding on tensors: from the mask `M` in [0, 1] to the values that multiply the activations.
//!
//! The roundings are the variants of [`Rounding`]. [`round`] computes them; their formulas are in the
//! other files.

mod sigmoid;
mod stochastic;
mod threshold;

use burn::tensor::{Tensor, TensorData};
use kernels::random::Philox;
use model::Rounding;
use model::pass::{NoiseKey, Pass, Place};

/// A rounded mask.
pub struct Rounded {
    /// The factors of the activations, `[batch, time, channels]`, with the rounding's gradient.
    pub multiplier: Tensor<3>,
    /// 1 for every kept element and 0 for every dropped one, without gradient. For the roundings that do
    /// not give 0 and 1, an element counts as kept if `M ≥ 0.5`.
    pub kept: Tensor<3>,
}

/// Rounds a mask, `[batch, time, channels]`.
///
/// `scale` is the steepness of the sigmoid roundings; `place` selects the random stream of the noise.
pub fn round(
    rounding: Rounding,
    mask: Tensor<3>,
    scale: f64,
    pass: &Pass,
    place: Place,
) -> Rounded {
    let value = mask.clone().detach();
    match rounding {
        Rounding::Stochastic => straight_through(mask, stochastic_sides(&value, pass, place)),
        Rounding::Threshold => {
            let kept = threshold::kept(&value);
            straight_through(mask, kept)
        }
        Rounding::Sigmoid => Rounded {
            multiplier: sigmoid::value(mask, scale),
            kept: threshold::kept(&value),
        },
        Rounding::SigmoidDetached => {
            let multiplier = mask - value.clone() + sigmoid::value(value.clone(), scale);
            Rounded {
                multiplier,
                kept: threshold::kept(&value),
            }
        }
        Rounding::None => Rounded {
            multiplier: mask,
            kept: threshold::kept(&value),
        },
        // Without a threshold of its own: θ is 0.
        Rounding::Carried => {
            let gate = (mask * 2.0 - 1.0).clamp_min(0.0);
            let kept = gate.clone().detach().greater_elem(0.0).float();
            Rounded {
                multiplier: gate,
                kept: kept.cast(value.dtype()),
            }
        }
    }
}

/// The values of `kept`, with the gradient of the mask (straight-through estimator).
///
/// `mask − mask` adds only the gradient: its value is exactly 0.
pub(crate) fn straight_through(mask: Tensor<3>, kept: Tensor<3>) -> Rounded {
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

/// Uniform noise in [0, 1) with the shape of a tensor. Element `i` is number `i` of the random stream.
fn noise(like: &Tensor<3>, generator: Philox) -> Tensor<3> {
    let shape = like.dims();
    let values = generator.first_units(shape.iter().product());
    let data = TensorData::new(values, shape);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}
