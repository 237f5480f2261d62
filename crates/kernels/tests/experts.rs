//! Gated experts against a dense feed-forward for each expert, times its gates.

mod common;

use common::{TOLERANCE, assert_close, at_every_level, cases, exact, on_any_threads, values};
use learned_dropout_kernels::activation::Activation;
use learned_dropout_kernels::experts::{self, Shape, Weights};
use learned_dropout_kernels::feed_forward;
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::random::Philox;
use proptest::prelude::*;

/// A layer of experts, and the gradient of its output.
struct Layer<'a> {
    x: &'a [f32],
    gates: &'a [f32],
    weights: Weights<'a>,
    gradient: &'a [f32],
    shape: Shape,
}

/// Output and gradients, summed in f64 over the experts.
struct Expected {
    output: Vec<f64>,
    /// The output with operands rounded to bf16.
    rounded: Vec<f64>,
    x: Vec<f64>,
    gates: Vec<f64>,
    up: Vec<f64>,
    down: Vec<f64>,
}

impl Layer<'_> {
    fn expected(&self) -> Expected {
        let Shape {
            tokens,
            width,
            hidden,
            experts,
        } = self.shape;
        let shape = feed_forward::Shape {
            tokens,
            width,
            hidden,
        };
        let zeros = || vec![0.0; self.x.len()];
        let mut all = Expected {
            output: zeros(),
            rounded: zeros(),
            x: zeros(),
            gates: vec![0.0; self.gates.len()],
            up: vec![],
            down: vec![],
        };
        for expert in 0..experts {
            let range = expert * hidden * width..(expert + 1) * hidden * width;
            let weights = feed_forward::Weights {
                norm: None,
                up: &self.weights.up[range.clone()],
                activation: Activation::Gelu,
                down: &self.weights.down[range],
            };
            let gate = |index: usize| self.gates[index / width * experts + expert];
            let output = feed_forward::forward(self.x, &weights, shape, Precision::F32);
            let rounded = feed_forward::forward(self.x, &weights, shape, Precision::Bf16);
            let gradient = self.gradient.iter().enumerate();
            let gated: Vec<f32> = gradient.map(|(i, g)| g * gate(i)).collect();
            let back = feed_forward::backward(&gated, self.x, &weights, shape, Precision::F32);
            for index in 0..self.x.len() {
                all.output[index] += f64::from(output[index] * gate(index));
                all.rounded[index] += f64::from(rounded[index] * gate(index));
                all.x[index] += f64::from(back.x[index]);
                if gate(index) != 0.0 {
                    all.gates[index / width * experts + expert] +=
                        f64::from(self.gradient[index]) * f64::from(output[index]);
                }
            }
            all.up.extend(exact(&back.up));
            all.down.extend(exact(&back.down));
        }
        all
    }
}

proptest! {
    #![proptest_config(cases(16))]

    /// If there are several experts, no token uses the second one.
    #[test]
    fn outputs_and_gradients(
        tokens in 1usize..130, width in 1usize..20, hidden in 1usize..40, count in 1usize..5,
        share in 0u64..=8,
    ) {
        let x = values(tokens * width, 1);
        let (up, down) = (values(count * hidden * width, 2), values(count * hidden * width, 3));
        let gradient = values(tokens * width, 4);
        let chosen = Philox::new(7, share);
        let mut gates = values(tokens * count, 5);
        for (index, gate) in gates.iter_mut().enumerate() {
            let unused = index % count == 1 || chosen.below(index as u64, 8) >= share;
            if unused { *gate = 0.0 }
        }
        let weights = Weights { up: &up, down: &down };
        let shape = Shape { tokens, width, hidden, experts: count };
        at_every_level(|_| {
            let (y, found) = on_any_threads(|| {
                let y = experts::forward(&x, &gates, &weights, shape, Precision::F32);
                let found =
                    experts::backward(&gradient, &x, &gates, &weights, shape, Precision::F32);
                (y, (found.x, found.gates, found.up, found.down))
            });
            let layer = Layer { x: &x, gates: &gates, weights, gradient: &gradient, shape };
            let expected = layer.expected();
            assert_close(&y, &expected.output, TOLERANCE, "output");
            let rounded = experts::forward(&x, &gates, &weights, shape, Precision::Bf16);
            assert_close(&rounded, &expected.rounded, TOLERANCE, "output in bf16");
            assert_close(&found.0, &expected.x, TOLERANCE, "input");
            assert_close(&found.1, &expected.gates, TOLERANCE, "gates");
            assert_close(&found.2, &expected.up, TOLERANCE, "up");
            assert_close(&found.3, &expected.down, TOLERANCE, "down");
        });
    }
}
