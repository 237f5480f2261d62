//! The hidden units of experts: their activation, and what is measured of units that ReLU makes 0.

use crate::gelu;
use crate::lane_sums::sum_of;
use crate::level::levelled;

/// What experts apply to the up projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The exact GELU.
    #[default]
    Gelu,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// The number of values beside the output of a token: with ReLU the sum of the units of the experts that it
    /// uses, and the number of those units that are not 0.
    pub fn measures(self) -> usize {
        match self {
            Self::Gelu => 0,
            Self::Relu => 2,
        }
    }

    /// Replaces the inputs of units, `[rows, hidden]`, by the units.
    pub(crate) fn in_place(self, units: &mut [f32]) {
        match self {
            Self::Gelu => gelu::in_place(units),
            Self::Relu => relu(units),
        }
    }

    /// Writes the measures behind the `width` values of each row of `output`.
    pub(crate) fn measure(self, output: &mut [f32], width: usize, units: &[f32], hidden: usize) {
        if self == Self::Gelu {
            return;
        }
        let outputs = output.chunks_exact_mut(width + self.measures());
        for (output, units) in outputs.zip(units.chunks_exact(hidden)) {
            output[width] = sum_of(units, |unit| unit);
            output[width + 1] = units.iter().filter(|unit| **unit != 0.0).count() as f32;
        }
    }

    /// Writes the units to `units`, and replaces their gradient by that of their inputs, `before`.
    pub(crate) fn value_and_gradient(
        self,
        units: &mut [f32],
        gradient: &mut [f32],
        before: &[f32],
    ) {
        match self {
            Self::Gelu => gelu::value_and_gradient(units, gradient, before),
            Self::Relu => relu_value_and_gradient(units, gradient, before),
        }
    }
}

levelled! {
    fn relu(units: &mut [f32]) {
        for unit in units {
            // NaN stays NaN, so that it shows.
            *unit = if *unit < 0.0 { 0.0 } else { *unit };
        }
    }
}

levelled! {
    fn relu_value_and_gradient(units: &mut [f32], gradient: &mut [f32], before: &[f32]) {
        for ((unit, gradient), &before) in units.iter_mut().zip(gradient).zip(before) {
            *unit = if before < 0.0 { 0.0 } else { before };
            *gradient = if *unit > 0.0 { *gradient } else { 0.0 };
        }
    }
}

levelled! {
    /// Adds the gradient of the sum of a row's units, which is 1 where a unit is not 0.
    pub(crate) fn add_to_positive(gradient: &mut [f32], units: &[f32], of_sum: f32) {
        for (gradient, &unit) in gradient.iter_mut().zip(units) {
            *gradient += if unit > 0.0 { of_sum } else { 0.0 };
        }
    }
}
