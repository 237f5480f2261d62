//! Mask functions: from the output of the mask's attention to [0, 1].
//!
//! A new one is a file of its own and a line in [`MaskFunction`].

mod cosine;
pub mod fourier;

pub use cosine::Cosine;
pub use fourier::Fourier;

use std::f64::consts::PI;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use self::fourier::Coefficients;
use crate::config::ConfigProblem;

/// The name of the shift's tensor, after that of the mask.
const SHIFT: &str = "shift";

/// The choice of mask function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MaskFunction {
    /// `M = 0.5 cos(z + B) + 0.5`.
    Cosine(Cosine),
    /// `M = 0.5 + 0.5 Σ w_k cos(k (z + B) + φ_k)`.
    Fourier(Fourier),
}

impl Default for MaskFunction {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

/// What a mask function learns for one mask.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The shift `B`, `[values]`.
    pub shift: Tensor<1>,
    /// The coefficients of a series of several terms.
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

/// A tensor that a mask function learns; it has one dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionParameter {
    /// Its name, after that of the mask.
    pub name: &'static str,
    /// Its elements.
    pub count: usize,
    /// What every element begins with.
    pub initial: f64,
}

impl MaskFunction {
    /// Records what no module can be made from.
    pub fn validate(&self, key: &str, problems: &mut Vec<ConfigProblem>) {
        match self {
            Self::Cosine(cosine) => cosine.validate(key, problems),
            Self::Fourier(fourier) => fourier.validate(key, problems),
        }
    }

    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cosine(_) => "cosine",
            Self::Fourier(_) => "fourier",
        }
    }

    /// The value that every element of the learned shift `B` starts with, in radians.
    pub fn shift_init(&self) -> f64 {
        match self {
            Self::Cosine(cosine) => cosine.shift_init,
            Self::Fourier(fourier) => fourier.shift_init,
        }
    }

    /// The number of cosines that are added up.
    pub fn terms(&self) -> usize {
        match self {
            Self::Cosine(_) => 1,
            Self::Fourier(fourier) => fourier.terms,
        }
    }

    /// All that is learned for a mask of so many values.
    pub fn parameters(&self, values: usize) -> Vec<FunctionParameter> {
        let mut parameters = vec![FunctionParameter {
            name: SHIFT,
            count: values,
            initial: self.shift_init(),
        }];
        if let Self::Fourier(fourier) = self {
            parameters.extend(fourier.parameters(values));
        }
        parameters
    }

    /// What is learned, from tensors by their names.
    pub(crate) fn learned(&self, tensor: impl Fn(&str) -> Tensor<1>) -> Learned {
        Learned {
            shift: tensor(SHIFT),
            series: (self.terms() > 1).then(|| Coefficients {
                amplitude: tensor(fourier::AMPLITUDE),
                phase: tensor(fourier::PHASE),
            }),
        }
    }

    /// The mask `M` in [0, 1].
    ///
    /// # Shapes
    /// - `attended`: `[batch, time, values]`, the output of the mask's attention
    /// - `learned`: the learned shift `B`, `[values]`, and what else the function learns
    /// - result: `[batch, time, values]`
    pub fn mask(&self, attended: Tensor<3>, learned: impl Into<Learned>) -> Tensor<3> {
        let Learned { shift, series } = learned.into();
        match (self, series) {
            (Self::Fourier(_), Some(coefficients)) => Fourier::mask(attended, shift, coefficients),
            (Self::Cosine(_) | Self::Fourier(_), _) => Cosine::mask(attended + shift.unsqueeze()),
        }
    }
}

/// Records a problem with an initial shift.
fn check_shift(key: &str, shift_init: f64, problems: &mut Vec<ConfigProblem>) {
    if !(0.0..=PI).contains(&shift_init) {
        problems.push(ConfigProblem::new(
            format!("{key}.shift_init"),
            shift_init,
            "expected a value from 0 to π (3.14159…)",
        ));
    }
}
