//! Mask functions on slices: from the output of the mask's attention to `M`.

use learned_dropout::function::MaskFunction;
use learned_dropout::function::fourier::{Term, terms};

/// A mask function with what it has learned for one mask.
pub(crate) enum Function {
    /// The cosine, with its shift `B` for each value.
    Cosine(Vec<f32>),
    /// A sum of cosines.
    Series(Vec<Term>),
}

impl Function {
    /// A function whose tensors `take` gives by their names.
    pub(crate) fn new(function: &MaskFunction, mut take: impl FnMut(&str) -> Vec<f32>) -> Self {
        let mut learned = function.parameters(1).into_iter();
        let mut next = || learned.next().map(|parameter| take(parameter.name));
        let shift = next().expect("every function has a shift");
        match (next(), next()) {
            (Some(amplitude), Some(phase)) => Self::Series(terms(&shift, &amplitude, &phase)),
            _ => Self::Cosine(shift),
        }
    }

    /// Writes `M` of the attention's output; both are `[tokens, values]`.
    pub(crate) fn values(&self, output: &mut [f32], attended: &[f32]) {
        match self {
            Self::Cosine(shift) => kernels::mask::values(output, attended, shift),
            Self::Series(terms) => series(terms, output, attended),
        }
    }
}

/// `M = Σ w_k (0.5 cos(k z + k B + φ_k) + 0.5)`.
fn series(terms: &[Term], output: &mut [f32], attended: &[f32]) {
    output.fill(0.0);
    let mut part = vec![0.0; output.len()];
    let mut angles = vec![0.0; output.len()];
    for term in terms {
        for (angle, attended) in angles.iter_mut().zip(attended) {
            *angle = term.harmonic * attended;
        }
        kernels::mask::values(&mut part, &angles, &term.shift);
        let rows = output.chunks_exact_mut(term.weight.len());
        for (row, part) in rows.zip(part.chunks_exact(term.weight.len())) {
            for ((sum, part), weight) in row.iter_mut().zip(part).zip(&term.weight) {
                *sum += weight * part;
            }
        }
    }
    for mask in output {
        // Rounded amplitudes add up to a little more than 1 at times.
        *mask = mask.min(1.0);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use kernels::random::{Philox, unit};
    use learned_dropout::function::fourier::Coefficients;
    use learned_dropout::function::{Fourier, Learned};

    use super::*;

    fn computed(function: &MaskFunction, others: f32) -> Vec<f32> {
        let learned = |name: &str| match name {
            "shift" => vec![0.5, 1.0],
            _ => vec![others; 2 * (function.terms() - 1)],
        };
        let mut found = vec![f32::NAN; 6];
        let attended = [0.0, 0.1, -2.0, 3.0, 40.0, 1e6];
        Function::new(function, learned).values(&mut found, &attended);
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

    #[test]
    fn series_are_those_of_the_library() {
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
            Function::new(&function, |name| learned(name, count(name)))
                .values(&mut found, &attended);

            let device = Device::flex();
            let flat = |values: Vec<f32>| Tensor::<1>::from_floats(&values[..], &device);
            let expected = function.mask(
                flat(attended).reshape([1, tokens, values]),
                Learned {
                    shift: flat(learned("shift", values)),
                    series: Some(Coefficients {
                        amplitude: flat(learned("series.amplitude", others)),
                        phase: flat(learned("series.phase", others)),
                    }),
                },
            );
            for (found, expected) in found.iter().zip(expected.into_data().iter::<f32>()) {
                // Angles of up to 16 · 8 are known to 1e-5.
                assert!(
                    (found - expected).abs() < 2e-5,
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
