//! The Fourier series as a mask function.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, activation::softmax};

use crate::ops::cosine_series;

/// The learned coefficients of the terms after the first, as part of a module.
///
/// Both are `[(K − 1) · values]`, term after term. They have one dimension because weight decay applies
/// only to parameters with two or more. It would draw the amplitudes to equal shares and the phases to 0,
/// which makes the function no simpler.
#[derive(Module, Debug)]
pub struct Series {
    /// `a`, the logarithms of the amplitudes relative to the first term's.
    pub amplitude: Param<Tensor<1>>,
    /// `φ`, in radians.
    pub phase: Param<Tensor<1>>,
}

/// The values of a [`Series`].
#[derive(Clone, Debug)]
pub struct Coefficients {
    /// `a`, `[(K − 1) · values]`.
    pub amplitude: Tensor<1>,
    /// `φ`, `[(K − 1) · values]`, in radians.
    pub phase: Tensor<1>,
}

impl Coefficients {
    /// Applies a function to both tensors.
    pub(crate) fn map(self, form: impl Fn(Tensor<1>) -> Tensor<1>) -> Self {
        Self {
            amplitude: form(self.amplitude),
            phase: form(self.phase),
        }
    }
}

impl Series {
    pub(crate) fn new(values: Coefficients) -> Self {
        Self {
            amplitude: Param::from_tensor(values.amplitude),
            phase: Param::from_tensor(values.phase),
        }
    }

    pub(crate) fn values(&self) -> Coefficients {
        Coefficients {
            amplitude: self.amplitude.val(),
            phase: self.phase.val(),
        }
    }
}

/// The mask of [`model::function::Fourier`].
///
/// `attended`: `[batch, time, values]`, `z`; `shift`: `[values]`, `B`.
pub(super) fn mask(attended: Tensor<3>, shift: Tensor<1>, coefficients: Coefficients) -> Tensor<3> {
    let [values] = shift.dims();
    let [phase, others] = [coefficients.phase, coefficients.amplitude]
        .map(|tensor| tensor.reshape([-1, values as isize]));
    let (device, dtype) = (shift.device(), shift.dtype());
    let first = Tensor::<2>::zeros([1, values], (&device, dtype));
    let weights = softmax(Tensor::cat(vec![first.clone(), others], 0), 0);
    let [terms, _] = weights.dims();
    let harmonics = Tensor::<1, Int>::arange(1..terms as i64 + 1, &device).float();
    let harmonics = harmonics.cast(dtype);
    let turned = harmonics.reshape([terms, 1]) * shift.unsqueeze();
    let angles = turned + Tensor::cat(vec![first, phase], 0);
    cosine_series(attended, angles, weights)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Two values and three terms: amplitudes 2 : 1 : 1 and 1 : 1 : 2.
    const AMPLITUDES: [f32; 4] = [
        -std::f32::consts::LN_2,
        0.0,
        -std::f32::consts::LN_2,
        std::f32::consts::LN_2,
    ];

    #[test]
    fn a_mask_worked_by_hand() {
        let device = Device::flex();
        let tensor = |values: [f32; 4]| Tensor::<1>::from_floats(values, &device);
        let half = std::f32::consts::FRAC_PI_2;
        let coefficients = Coefficients {
            amplitude: tensor(AMPLITUDES),
            phase: tensor([0.0, 0.0, 0.0, half]),
        };
        // z + B = 0 and π/2
        let attended = TensorData::new(vec![-0.25, half - 0.5], [1, 1, 2]);
        let attended = Tensor::from_data(attended, &device);
        let shift = Tensor::from_floats([0.25, 0.5], &device);
        let found = mask(attended, shift, coefficients);
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        // 1; and 0.5 + 0.5 (0.25 cos(π/2) + 0.25 cos(π) + 0.5 cos(3π/2 + π/2)) = 0.625
        for (found, expected) in found.iter().zip([1.0, 0.625]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }
}
