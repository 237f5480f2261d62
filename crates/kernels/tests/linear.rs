//! Linear layers against scalar sums in f64.

mod common;

use common::{TOLERANCE, assert_close, at_every_level, cases, on_any_threads, values};
use learned_dropout_kernels::linear::{self, Norm, Shape};
use learned_dropout_kernels::product::Precision;
use proptest::prelude::*;

/// A linear layer in f64.
struct Naive<'a> {
    x: &'a [f32],
    norm: Option<Norm<'a>>,
    weight: &'a [f32],
    shape: Shape,
}

impl Naive<'_> {
    /// Normalized rows without the weight of the norm, and their reciprocal deviations.
    fn normal(&self) -> (Vec<f64>, Vec<f64>) {
        let inputs = self.shape.inputs;
        let mut scales = Vec::new();
        let mut normal: Vec<f64> = self.x.iter().map(|&v| f64::from(v)).collect();
        if let Some(norm) = self.norm {
            for row in normal.chunks_mut(inputs) {
                let mean = row.iter().sum::<f64>() / inputs as f64;
                row.iter_mut().for_each(|v| *v -= mean);
                let variance = row.iter().map(|v| v * v).sum::<f64>() / inputs as f64;
                let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
                row.iter_mut().for_each(|v| *v *= scale);
                scales.push(scale);
            }
        }
        (normal, scales)
    }

    fn gain(&self, channel: usize) -> f64 {
        self.norm
            .map_or(1.0, |norm| f64::from(norm.weight[channel]))
    }

    fn forward(&self) -> Vec<f64> {
        let (normal, _) = self.normal();
        let row = |x: &[f64]| -> Vec<f64> {
            let weights = self.weight.chunks(self.shape.inputs);
            let term = |(c, (x, &w)): (usize, (&f64, &f32))| x * self.gain(c) * f64::from(w);
            weights
                .map(|w| x.iter().zip(w).enumerate().map(term).sum())
                .collect()
        };
        normal.chunks(self.shape.inputs).flat_map(row).collect()
    }

    fn backward(&self, gradient: &[f32]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let Shape {
            tokens,
            inputs,
            outputs,
        } = self.shape;
        let (normal, scales) = self.normal();
        let mut dx = vec![0.0; tokens * inputs];
        let mut dnorm = vec![0.0; self.norm.map_or(0, |_| inputs)];
        let mut dweight = vec![0.0; outputs * inputs];
        for t in 0..tokens {
            let dx = &mut dx[t * inputs..][..inputs];
            for o in 0..outputs {
                let dy = f64::from(gradient[t * outputs + o]);
                for c in 0..inputs {
                    dx[c] += dy * f64::from(self.weight[o * inputs + c]);
                    dweight[o * inputs + c] += dy * normal[t * inputs + c] * self.gain(c);
                }
            }
            if self.norm.is_some() {
                let normal = &normal[t * inputs..][..inputs];
                for c in 0..inputs {
                    dnorm[c] += dx[c] * normal[c];
                    dx[c] *= self.gain(c);
                }
                let mean = dx.iter().sum::<f64>() / inputs as f64;
                let along = dx.iter().zip(normal).map(|(d, n)| d * n).sum::<f64>() / inputs as f64;
                for (d, n) in dx.iter_mut().zip(normal) {
                    *d = (*d - mean - n * along) * scales[t];
                }
            }
        }
        (dx, dnorm, dweight)
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn outputs_and_gradients(
        tokens in 0usize..130, inputs in 1usize..40, outputs in 1usize..40, normed in any::<bool>(),
    ) {
        let (x, weight) = (values(tokens * inputs, 1), values(outputs * inputs, 2));
        let (gain, gradient) = (values(inputs, 3), values(tokens * outputs, 4));
        let norm = normed.then_some(Norm { weight: &gain, epsilon: 1e-2 });
        let shape = Shape { tokens, inputs, outputs };
        let naive = Naive { x: &x, norm, weight: &weight, shape };
        let expected = naive.forward();
        let (expected_dx, expected_dnorm, expected_dweight) = naive.backward(&gradient);
        at_every_level(|_| {
            let (y, (dx, dnorm, dweight)) = on_any_threads(|| {
                let y = linear::forward(&x, norm, &weight, shape, Precision::F32);
                let found = linear::backward(&gradient, &x, norm, &weight, shape, Precision::F32);
                (y, (found.x, found.norm, found.weight))
            });
            assert_close(&y, &expected, TOLERANCE, "output");
            assert_close(&dx, &expected_dx, TOLERANCE, "input");
            assert_close(&dweight, &expected_dweight, TOLERANCE, "weight");
            assert_close(&dnorm, &expected_dnorm, TOLERANCE, "norm");
        });
    }
}
