//! LayerNorm against its definition in f64.

mod common;

use common::{TOLERANCE, assert_close, at_every_level, cases, on_any_threads, values};
use learned_dropout_kernels::layer_norm;
use proptest::prelude::*;

const EPSILON: f32 = 1e-5;

/// The output, and the gradients of input and weight.
fn expected(gradient: &[f32], x: &[f32], weight: &[f32]) -> [Vec<f64>; 3] {
    let width = weight.len();
    let (mut output, mut dx, mut dweight) = (vec![], vec![], vec![0.0; width]);
    for (x, gradient) in x.chunks(width).zip(gradient.chunks(width)) {
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / width as f64;
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let mean = mean_of(&x);
        let squares: Vec<f64> = x.iter().map(|x| (x - mean).powi(2)).collect();
        let scale = 1.0 / (mean_of(&squares) + f64::from(EPSILON)).sqrt();
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * scale).collect();
        let weighted = gradient.iter().zip(weight);
        let dnormal: Vec<f64> = weighted
            .map(|(&g, &w)| f64::from(g) * f64::from(w))
            .collect();
        let products: Vec<f64> = dnormal.iter().zip(&normal).map(|(d, n)| d * n).collect();
        let (mean, along) = (mean_of(&dnormal), mean_of(&products));
        for (c, (normal, dnormal)) in normal.iter().zip(&dnormal).enumerate() {
            output.push(normal * f64::from(weight[c]));
            dx.push((dnormal - mean - normal * along) * scale);
            dweight[c] += f64::from(gradient[c]) * normal;
        }
    }
    [output, dx, dweight]
}

proptest! {
    #![proptest_config(cases(16))]

    /// Rows of one channel equal their mean, so only its rounding error is left. The gradient of
    /// the input is divided by the deviation, which may be tiny in rows of few channels.
    #[test]
    fn outputs_and_gradients(rows in 1usize..200, width in 1usize..70) {
        let (x, weight) = (values(rows * width, 13), values(width, 14));
        let gradient = values(rows * width, 15);
        let [output, dx, dweight] = expected(&gradient, &x, &weight);
        at_every_level(|_| {
            let found = on_any_threads(|| layer_norm::forward(&x, &weight, EPSILON));
            let (found_dx, found_dweight) =
                on_any_threads(|| layer_norm::backward(&gradient, &x, &weight, EPSILON));
            if width > 1 {
                assert_close(&found, &output, TOLERANCE, "output");
                assert_close(&found_dweight, &dweight, TOLERANCE, "weight");
            }
            if width > 8 {
                assert_close(&found_dx, &dx, TOLERANCE, "input");
            }
        });
    }
}
