//! The precision of matrix products in training.

use burn::tensor::Device;
use learned_dropout::ops::Precision;
use serde::{Deserialize, Serialize};

/// The precision that a configuration asks for, `train.precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionChoice {
    /// The fastest of the device. A run decides it when it begins, and keeps it.
    #[default]
    Auto,
    /// Nothing is rounded.
    F32,
    /// Operands are rounded to bf16, sums are f32. A processor without bf16 instructions computes
    /// the same values, but no faster than f32.
    Bf16,
}

/// The device does not have this precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "bf16 products are available on the CPU only; choose the precision f32 or auto, or the device cpu"
)]
pub struct PrecisionError;

impl PrecisionChoice {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision on a device.
    ///
    /// # Errors
    /// bf16 is asked for on a device other than the CPU.
    pub fn on(self, device: &Device) -> Result<Precision, PrecisionError> {
        self.resolve(*device == Device::flex())
    }

    fn resolve(self, is_cpu: bool) -> Result<Precision, PrecisionError> {
        match (self, is_cpu) {
            (Self::F32, _) | (Self::Auto, false) => Ok(Precision::F32),
            (Self::Auto, true) => Ok(Precision::fastest()),
            (Self::Bf16, true) => Ok(Precision::Bf16),
            (Self::Bf16, false) => Err(PrecisionError),
        }
    }
}

impl From<Precision> for PrecisionChoice {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cpu_has_bf16() {
        let cpu = Device::flex();
        for device in [cpu.clone(), cpu.autodiff()] {
            assert_eq!(PrecisionChoice::F32.on(&device), Ok(Precision::F32));
            assert_eq!(PrecisionChoice::Bf16.on(&device), Ok(Precision::Bf16));
            assert_eq!(PrecisionChoice::Auto.on(&device), Ok(Precision::fastest()));
        }
        assert_eq!(PrecisionChoice::F32.resolve(false), Ok(Precision::F32));
        assert_eq!(PrecisionChoice::Auto.resolve(false), Ok(Precision::F32));
        assert_eq!(PrecisionChoice::Bf16.resolve(false), Err(PrecisionError));
    }
}
