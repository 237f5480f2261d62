//! Masks of several cosines against their formula in f64.

mod common;

use common::{assert_close, at_every_level, cases, on_any_threads, values};
use learned_dropout_kernels::series::{self, Series};
use proptest::prelude::*;

/// A cosine has an error of 1e-6, and its argument, up to 60 here, a relative error of 6e-8. Sums
/// over rows add as many of both.
const TOLERANCE: f64 = 2e-5;

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn masks_and_gradients(rows in 0usize..150, width in 1usize..40, terms in 1usize..5) {
        let attended = values(rows * width, 1);
        let gradient = values(rows * width, 2);
        let angles = values(terms * width, 3);
        let weights = vec![0.9 / terms as f32; terms * width];
        let series = Series { angles: &angles, weights: &weights, values: width };
        let mut expected = [
            vec![0.5; rows * width], vec![0.0; rows * width],
            vec![0.0; terms * width], vec![0.0; terms * width],
        ];
        for (place, &z) in attended.iter().enumerate() {
            for term in 0..terms {
                let learned = term * width + place % width;
                let (k, weight) = ((term + 1) as f64, f64::from(weights[learned]));
                let (sine, cosine) = (k * f64::from(z) + f64::from(angles[learned])).sin_cos();
                let half = 0.5 * f64::from(gradient[place]);
                expected[0][place] += 0.5 * weight * cosine;
                expected[1][place] -= half * weight * k * sine;
                expected[2][learned] -= half * weight * sine;
                expected[3][learned] += half * cosine;
            }
        }
        at_every_level(|_| {
            let found = on_any_threads(|| {
                let found = series::backward(&gradient, &attended, series);
                let masks = series::forward(&attended, series);
                [masks, found.attended, found.angles, found.weights]
            });
            let names = ["masks", "attended", "angles", "weights"];
            for ((found, expected), name) in found.iter().zip(&expected).zip(names) {
                assert_close(found, expected, TOLERANCE, name);
            }
        });
    }
}

#[test]
fn nan_stays_nan() {
    let series = Series {
        angles: &[0.0; 4],
        weights: &[0.5; 4],
        values: 2,
    };
    at_every_level(|_| {
        let masks = series::forward(&[f32::NAN, 0.0, f32::INFINITY, 0.0], series);
        assert!(masks[0].is_nan() && masks[2].is_nan());
        assert_eq!([masks[1], masks[3]], [1.0, 1.0]);
    });
}
