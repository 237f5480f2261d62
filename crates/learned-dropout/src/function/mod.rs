//! Mask functions on tensors: from the output of the mask's generator to `M`.
//!
//! The functions and their settings are the variants of [`MaskFunction`]. Each has a file here for its
//! tensor operations and an arm of the `match` in [`mask`].

mod cosine;
mod fourier;
mod linear;
mod sigmoid;

pub use fourier::{Coefficients, Series};

use burn::tensor::Tensor;
use model::MaskFunction;
use model::function::SHIFT;
use model::function::fourier::{AMPLITUDE, PHASE};

/// The learned parameters of a mask function, for one mask.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The shift `B`, `[values]`.
    pub shift: Tensor<1>,
    /// The coefficients of a series of several terms; none for a single cosine.
    pub series: Option<Coefficients>,
}

impl From<Tensor<1>> for Learned {
    fn from(shift: Tensor<1>) -> Self {
        Self {
            shift,
            series: None,
        }
    }
}

/// Collects the learned parameters of a function; `tensor` returns a tensor by its name.
pub(crate) fn learned(function: &MaskFunction, tensor: impl Fn(&str) -> Tensor<1>) -> Learned {
    Learned {
        shift: tensor(SHIFT),
        series: match function {
            MaskFunction::Cosine(_) | MaskFunction::Linear(_) | MaskFunction::Sigmoid(_) => None,
            MaskFunction::Fourier(fourier) => (fourier.terms > 1).then(|| Coefficients {
                amplitude: tensor(AMPLITUDE),
                phase: tensor(PHASE),
            }),
        },
    }
}

/// The mask `M`.
///
/// # Shapes
/// - `attended`: `[batch, time, values]`, the output of the mask's attention
/// - `learned`: the learned shift `B`, `[values]`, and the function's other parameters
/// - result: `[batch, time, values]`
pub fn mask(
    function: &MaskFunction,
    attended: Tensor<3>,
    learned: impl Into<Learned>,
) -> Tensor<3> {
    let Learned { shift, series } = learned.into();
    match (function, series) {
        (MaskFunction::Fourier(_), Some(coefficients)) => {
            fourier::mask(attended, shift, coefficients)
        }
        (MaskFunction::Linear(_), _) => linear::mask(attended + shift.unsqueeze()),
        (MaskFunction::Sigmoid(_), _) => sigmoid::mask(attended + shift.unsqueeze()),
        (MaskFunction::Cosine(_) | MaskFunction::Fourier(_), _) => {
            cosine::mask(attended + shift.unsqueeze())
        }
    }
}
