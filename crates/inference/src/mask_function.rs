//! Mask functions on slices: from the output of the mask's generator to `M`.

use model::MaskFunction;
use model::function::fourier::{Term, terms};

/// A mask function with its learned parameters, for one mask.
pub(crate) enum LearnedFunction {
    /// The cosine, with its shift `B` for each value.
    Cosine(Vec<f32>),
    /// A sum of cosines.
    Series(Vec<Term>),
    /// `0.5 (z + B) + 0.5`, with the shift.
    Linear(Vec<f32>),
    /// `sigmoid(z + B)`, with the shift.
    Sigmoid(Vec<f32>),
}

impl LearnedFunction {
    /// Creates a function; `take` returns a tensor by its name.
    pub(crate) fn new(function: &MaskFunction, mut take: impl FnMut(&str) -> Vec<f32>) -> Self {
        let mut learned = function.parameters(1).into_iter();
        let mut next = || learned.next().map(|parameter| take(parameter.name));
        let shift = next().expect("every function has a shift");
        match function {
            MaskFunction::Cosine(_) => Self::Cosine(shift),
            MaskFunction::Fourier(_) => match (next(), next()) {
                (Some(amplitude), Some(phase)) => Self::Series(terms(&shift, &amplitude, &phase)),
                // A series of one term is the cosine.
                _ => Self::Cosine(shift),
            },
            MaskFunction::Linear(_) => Self::Linear(shift),
            MaskFunction::Sigmoid(_) => Self::Sigmoid(shift),
        }
    }

    /// Computes `M` from the generator's output; both are `[tokens, values]`.
    pub(crate) fn values(&self, output: &mut [f32], attended: &[f32]) {
        match self {
            Self::Cosine(shift) => kernels::mask::values(output, attended, shift),
            Self::Series(terms) => series(terms, output, attended),
            Self::Linear(shift) => shifted(output, attended, shift, |z| 0.5 * z + 0.5),
            Self::Sigmoid(shift) => shifted(output, attended, shift, |z| 1.0 / (1.0 + (-z).exp())),
        }
    }
}

/// Applies a function to the generator's output with its shift.
fn shifted(output: &mut [f32], attended: &[f32], shift: &[f32], function: impl Fn(f32) -> f32) {
    let rows = output.chunks_exact_mut(shift.len());
    for (row, attended) in rows.zip(attended.chunks_exact(shift.len())) {
        for ((value, z), shift) in row.iter_mut().zip(attended).zip(shift) {
            *value = function(z + shift);
        }
    }
}

/// `M = Σ w_k (0.5 cos(k z + k B + φ_k) + 0.5)`.
fn series(terms: &[Term], output: &mut [f32], attended: &[f32]) {
    output.fill(0.0);
    let mut term_mask = vec![0.0; output.len()];
    let mut angles = vec![0.0; output.len()];
    for term in terms {
        for (angle, attended) in angles.iter_mut().zip(attended) {
            *angle = term.harmonic * attended;
        }
        kernels::mask::values(&mut term_mask, &angles, &term.shift);
        let rows = output.chunks_exact_mut(term.weight.len());
        for (row, term_row) in rows.zip(term_mask.chunks_exact(term.weight.len())) {
            for ((sum, value), weight) in row.iter_mut().zip(term_row).zip(&term.weight) {
                *sum += weight * value;
            }
        }
    }
    for mask in output {
        // The sum of rounded amplitudes can be slightly larger than 1.
        *mask = mask.min(1.0);
    }
}

#[cfg(test)]
mod tests {
    use kernels::random::{Philox, unit};
    use model::function::Fourier;

    use super::*;

    fn computed(function: &MaskFunction, others: f32) -> Vec<f32> {
        let learned = |name: &str| match name {
            "shift" => vec![0.5, 1.0],
            _ => vec![others; function.parameters(2)[1].count],
        };
        let mut found = vec![f32::NAN; 6];
        let attended = [0.0, 0.1, -2.0, 3.0, 40.0, 1e6];
        LearnedFunction::new(function, learned).values(&mut found, &attended);
        found
    }

    #[test]
    fn one_term_is_the_cosine() {
        let series = MaskFunction::Fourier(Fourier {
            terms: 1,
            ..Fourier::default()
        });
        let cosine = computed(&MaskFunction::default(), 0.0);
        assert_eq!(computed(&series, 0.0), cosine);
        // Terms without amplitude change nothing.
        let faint = MaskFunction::Fourier(Fourier::default());
        assert_eq!(computed(&faint, -1e3), cosine);
    }

    /// `0.5 + 0.5 Σ_k w_k cos(k (z + B) + φ_k)` in f64, with `w = softmax(0, a_2, …)` and `φ_1 = 0`.
    fn formula(z: f32, shift: f32, amplitude: &[f32], phase: &[f32]) -> f64 {
        let exponentials = amplitude.iter().map(|a| f64::from(*a).exp());
        let exponentials: Vec<f64> = [1.0].into_iter().chain(exponentials).collect();
        let total: f64 = exponentials.iter().sum();
        let phases = [0.0].into_iter().chain(phase.iter().map(|p| f64::from(*p)));
        let angle = f64::from(z) + f64::from(shift);
        let terms = exponentials.iter().zip(phases).enumerate();
        let sum: f64 = terms
            .map(|(k, (w, phase))| w / total * ((k + 1) as f64 * angle + phase).cos())
            .sum();
        0.5 + 0.5 * sum
    }

    #[test]
    fn series_are_those_of_the_formula() {
        let (values, tokens) = (5, 7);
        for terms in 2..=16 {
            let noise = Philox::new(3, terms as u64);
            let learned = |name: &str, count: usize| -> Vec<f32> {
                let first = name.len() as u64 * 1000;
                let random = (first..).map(|at| 8.0 * (unit(noise.number(at)) - 0.5));
                random.take(count).collect()
            };
            let function = MaskFunction::Fourier(Fourier {
                terms,
                ..Fourier::default()
            });
            let others = (terms - 1) * values;
            let attended = learned("z", tokens * values);
            let count = |name: &str| if name == "shift" { values } else { others };
            let mut found = vec![0.0; attended.len()];
            LearnedFunction::new(&function, |name| learned(name, count(name)))
                .values(&mut found, &attended);

            let of_value = |name: &str, value: usize| -> Vec<f32> {
                let all = learned(name, others).into_iter();
                all.skip(value).step_by(values).collect()
            };
            for (index, (found, z)) in found.iter().zip(&attended).enumerate() {
                let value = index % values;
                let shift = learned("shift", values)[value];
                let amplitude = of_value("series.amplitude", value);
                let phase = of_value("series.phase", value);
                let expected = formula(*z, shift, &amplitude, &phase);
                // Angles of up to 16 · 8 are known to 1e-5.
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-5,
                    "{found}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn masks_of_huge_values_stay_in_range() {
        let series = MaskFunction::Fourier(Fourier::default());
        let found = computed(&series, 0.3);
        assert!(
            found.iter().all(|mask| (0.0..=1.0).contains(mask)),
            "{found:?}"
        );
    }
}
