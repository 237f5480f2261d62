//! Rounding: from the mask `M` in [0, 1] to the factors of the activations.

use kernels::mask::Keep;
use serde::{Deserialize, Serialize};

use crate::pass::{Pass, Place};

/// The steepness of the sigmoid roundings in the original write-up.
pub const SIGMOID_SCALE: f64 = 60.0;

/// How a mask is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// In training, 1 with probability `M`, otherwise 0. At inference, 1 if `M ≥ 0.5`, otherwise 0. The
    /// gradient is straight-through.
    #[default]
    Stochastic,
    /// 1 if `M ≥ 0.5`, otherwise 0, in training and at inference. The gradient is straight-through.
    Threshold,
    /// `sigmoid(scale (M − 0.5))`, with its own gradient, in training and at inference.
    Sigmoid,
    /// The values of `Sigmoid` with the gradient of `M`.
    SigmoidDetached,
    /// `M` itself, in training and at inference.
    None,
    /// The gate carries its value: `max(0, 2 M − 1 − θ)`, in training and at inference. `θ` is the
    /// mask's threshold, 0 if it has no [control](crate::mask_control::MaskControl). The gradient is 2 where the value
    /// is kept, and 0 where it is dropped.
    Carried,
}

impl Rounding {
    /// Whether the rounded mask holds only 0 and 1.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Stochastic | Self::Threshold)
    }

    /// Whether a dropped value is exactly 0, so that what it multiplies need not be computed.
    pub fn drops_whole(&self) -> bool {
        self.is_binary() || *self == Self::Carried
    }

    /// How the kernels round in this pass; none if they cannot. This is the rounding of a mask without a
    /// threshold of its own.
    pub fn keep(&self, pass: &Pass, place: Place) -> Option<Keep> {
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
}
