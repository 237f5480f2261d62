//! A Fourier series as the mask function.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::parameter::{FunctionParameter, check_shift};
use super::shift::{Shift, is_learned};
use crate::problem::{Allowed, Checks};

/// Most terms of a series. The period of the last one is 0.4 in the attention's output.
const MOST_TERMS: usize = 16;

/// The initial share of the first term in the sum of the amplitudes.
const FIRST_SHARE: f64 = 0.9;

/// The name of the amplitudes' tensor, after the mask's prefix.
pub const AMPLITUDE: &str = "series.amplitude";
/// The name of the phases' tensor, after the mask's prefix.
pub const PHASE: &str = "series.phase";

/// A Fourier series of `K` terms instead of a single cosine:
///
/// ```text
/// M = 0.5 + 0.5 Σ_{k=1..K} w_k cos(k (z + B) + φ_k)
/// w = softmax(0, a_2, …, a_K),  φ_1 = 0
/// ```
///
/// where `z` is the output of the mask's attention. Each value of the mask has its own learned shift `B`,
/// amplitudes `a` and phases `φ`. The amplitudes `w` are positive and add up to 1, so `M` is in [0, 1] for
/// every `z`. Negative amplitudes are not needed: they equal phases of π.
///
/// - `a_1` and `φ_1` are not learned, since they are redundant: adding a number to all `a` does not change
///   `w`, and `B` has the effect of `φ_1`. With one term only `B` is learned, and the function is the
///   cosine.
/// - Without the other phases, `M` would be an even function of `z + B` whose maximum is 1. With them
///   it is any trigonometric polynomial of degree `K` around 0.5 whose amplitudes add up to 0.5.
/// - Initially all `φ` are 0, and all `a` of the terms after the first are `−ln(9 (K − 1))`. The first term
///   then has nine tenths of the amplitude for any `K`, so that masks start near the cosine, and at
///   exactly 1 if `z + B` is 0. The remaining tenth gives the other terms gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fourier {
    /// `K`, from 1 to 16.
    pub terms: usize,
    /// Initial value of every element of `B`, in [0, π]; see [`Cosine`](super::Cosine).
    pub shift_init: f64,
    /// Whether `B` is learned.
    #[serde(skip_serializing_if = "is_learned")]
    pub shift: Shift,
}

impl Default for Fourier {
    fn default() -> Self {
        Self {
            terms: 4,
            shift_init: 0.0,
            shift: Shift::Learned,
        }
    }
}

impl Fourier {
    pub(super) fn check(&self, checks: &mut Checks) {
        check_shift(self.shift_init, checks);
        let lengths = Allowed::from(1..=MOST_TERMS).advice("1 is the cosine alone");
        checks.range("terms", self.terms, lengths);
    }

    /// The learned parameters except the shift.
    pub(super) fn parameters(&self, values: usize) -> Vec<FunctionParameter> {
        let others = self.terms.saturating_sub(1);
        if others == 0 {
            return Vec::new();
        }
        let each = (1.0 - FIRST_SHARE) / others as f64;
        let parameter = |name, initial| FunctionParameter {
            name,
            count: others.saturating_mul(values),
            initial,
            nearly_open: initial,
        };
        vec![
            parameter(AMPLITUDE, (each / FIRST_SHARE).ln()),
            parameter(PHASE, 0.0),
        ]
    }
}

/// One term of a series, for inference: a cosine mask of `harmonic · z` with its own shift. `M` is the
/// weighted sum of these masks.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// `k`.
    pub harmonic: f32,
    /// `w_k`, one for each value.
    pub weight: Vec<f32>,
    /// `k B + φ_k` in [0, 2π), one for each value.
    pub shift: Vec<f32>,
}

/// The terms of a series with the learned tensors `shift`, `amplitude` and `phase`.
///
/// # Panics
/// If `amplitude` and `phase` differ in length, or their length is not a multiple of that of `shift`.
pub fn terms(shift: &[f32], amplitude: &[f32], phase: &[f32]) -> Vec<Term> {
    assert_eq!(amplitude.len(), phase.len(), "one phase for each amplitude");
    assert!(
        !shift.is_empty() && amplitude.len().is_multiple_of(shift.len()),
        "whole terms"
    );
    let values = shift.len();
    let count = 1 + amplitude.len() / values;
    let logit = |term: usize, value: usize| match term {
        0 => 0.0,
        _ => f64::from(amplitude[(term - 1) * values + value]),
    };
    let total = |value: usize, largest: f64| -> f64 {
        let terms = (0..count).map(|term| (logit(term, value) - largest).exp());
        terms.sum()
    };
    let weight = |term: usize, value: usize| {
        let largest = (0..count).map(|term| logit(term, value));
        let largest = largest.fold(f64::NEG_INFINITY, f64::max);
        ((logit(term, value) - largest).exp() / total(value, largest)) as f32
    };
    let angle = |term: usize, value: usize| {
        let phase = match term {
            0 => 0.0,
            _ => f64::from(phase[(term - 1) * values + value]),
        };
        ((term + 1) as f64 * f64::from(shift[value]) + phase).rem_euclid(2.0 * PI) as f32
    };
    let term = |term: usize| Term {
        harmonic: (term + 1) as f32,
        weight: (0..values).map(|value| weight(term, value)).collect(),
        shift: (0..values).map(|value| angle(term, value)).collect(),
    };
    (0..count).map(term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values and three terms: amplitudes 2 : 1 : 1 and 1 : 1 : 2.
    const AMPLITUDES: [f32; 4] = [
        -std::f32::consts::LN_2,
        0.0,
        -std::f32::consts::LN_2,
        std::f32::consts::LN_2,
    ];

    #[test]
    fn terms_worked_by_hand() {
        let found = terms(&[0.5, 1.0], &AMPLITUDES, &[0.1, 0.2, 0.3, 6.0]);
        let expected = [
            (1.0, [0.5, 0.25], [0.5, 1.0]),
            (2.0, [0.25, 0.25], [1.1, 2.2]),
            // 3 + 6 − 2π
            (3.0, [0.25, 0.5], [1.8, 2.716_814_7]),
        ];
        for (term, (harmonic, weight, shift)) in found.iter().zip(expected) {
            assert_eq!(term.harmonic, harmonic);
            for value in 0..2 {
                assert!(
                    (term.weight[value] - weight[value]).abs() < 1e-6,
                    "{term:?}"
                );
                assert!((term.shift[value] - shift[value]).abs() < 1e-6, "{term:?}");
            }
        }
        assert_eq!(terms(&[0.5], &[], &[])[0].weight, [1.0]);
    }

    #[test]
    fn the_first_term_begins_with_nine_tenths() {
        for count in 2..=MOST_TERMS {
            let series = Fourier {
                terms: count,
                ..Fourier::default()
            };
            let parameters = series.parameters(3);
            let initial = vec![parameters[0].initial as f32; parameters[0].count];
            let found = terms(&[0.0; 3], &initial, &vec![0.0; initial.len()]);
            assert_eq!(found.len(), count);
            assert!((found[0].weight[2] - 0.9).abs() < 1e-6);
        }
    }
}
