//! Cosine masks against their definition in f64.

mod common;

use common::{
    TOLERANCE, assert_close, assert_within, at_every_level, cases, exact, on_any_threads,
    scaled_values, values,
};
use learned_dropout_kernels::mask::{self, Keep, Moment};
use learned_dropout_kernels::random::{Philox, unit};
use proptest::prelude::*;

/// The error of a cosine: noise or a threshold as close to a mask may fall on either side.
const COSINE: f64 = 1e-6;

/// `M` and its slope for each element.
fn masks(attended: &[f32], shift: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let angles = attended.chunks(shift.len()).flat_map(|row| {
        row.iter()
            .zip(shift)
            .map(|(attended, shift)| f64::from(attended + shift))
    });
    angles
        .map(|angle| (0.5 * angle.cos() + 0.5, -0.5 * angle.sin()))
        .unzip()
}

/// The value that `M` is compared with for each element.
fn thresholds(keep: Keep, count: usize) -> Vec<f64> {
    let noise = |generator: Philox, i: usize| f64::from(unit(generator.number(i as u64)));
    let threshold = |i: usize| match keep {
        Keep::Threshold(threshold) => f64::from(threshold),
        Keep::Random(generator) => noise(generator, i),
        Keep::Narrowed { generator, spread } => {
            (noise(generator, i) - 0.5) * f64::from(spread) + 0.5
        }
    };
    (0..count).map(threshold).collect()
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn products_and_gradients(
        rows in 1usize..300, width in 1usize..150, scale in 0.1f32..40.0, rule in 0usize..3,
    ) {
        let count = rows * width;
        let (x, gradient) = (values(count, 7), values(count, 10));
        let (attended, shift) = (scaled_values(count, 8, scale), values(width, 9));
        let generator = Philox::new(11, 12);
        let keep = [
            Keep::Random(generator),
            Keep::Threshold(0.4),
            Keep::Narrowed { generator, spread: 0.5 },
        ][rule];
        let (masks, slopes) = masks(&attended, &shift);
        let thresholds = thresholds(keep, count);
        let mut dattended = vec![0.0; count];
        let mut dshift = vec![0.0; width];
        for i in 0..count {
            dattended[i] = slopes[i] * f64::from(x[i]) * f64::from(gradient[i]);
            dshift[i % width] += dattended[i];
        }
        at_every_level(|_| {
            let product = on_any_threads(|| mask::product(&x, &attended, &shift, keep));
            let rounded = on_any_threads(|| mask::rounded(&attended, &shift, keep));
            let [dx, found_dattended, found_dshift] = on_any_threads(|| {
                let found = mask::product_backward(&gradient, &x, &attended, &shift, keep);
                [found.x, found.attended, found.shift]
            });
            assert_eq!([product.len(), rounded.len(), dx.len()], [count; 3]);
            for i in 0..count {
                if (thresholds[i] - masks[i]).abs() > COSINE {
                    let kept = if masks[i] >= thresholds[i] { 1.0 } else { 0.0 };
                    assert_eq!(rounded[i], kept, "element {i}");
                }
                assert_eq!(product[i], x[i] * rounded[i], "element {i}");
                assert_eq!(dx[i], gradient[i] * rounded[i], "element {i}");
            }
            assert_close(&found_dattended, &dattended, TOLERANCE, "attended");
            assert_close(&found_dshift, &dshift, TOLERANCE, "shift");
        });
    }

    #[test]
    fn values_means_and_gradients(rows in 1usize..300, width in 1usize..150, scale in 0.1f32..40.0) {
        let count = rows * width;
        let (attended, shift) = (scaled_values(count, 8, scale), values(width, 9));
        let (masks, slopes) = masks(&attended, &shift);
        let mean = |term: fn(f64) -> f64| masks.iter().map(|&m| term(m)).sum::<f64>() / count as f64;
        let moments = [
            (Moment::Squared, mean(|m| 0.5 * m * m), (|m| m) as fn(f64) -> f64),
            (Moment::Linear, mean(|m| m), |_| 1.0),
            (Moment::Entropy, mean(|m| -m * (m + 1e-9).log2()), |m| {
                -(m + 1e-9).log2() - m / (m + 1e-9) * std::f64::consts::LOG2_E
            }),
        ];
        let gradient = scaled_values(count, 10, 1.0);
        at_every_level(|_| {
            let found = on_any_threads(|| {
                let mut found = vec![f32::NAN; count];
                mask::values(&mut found, &attended, &shift);
                found
            });
            assert_close(&found, &masks, TOLERANCE, "masks");
            let kept = on_any_threads(|| mask::mean(&attended, &shift, Moment::Kept));
            let share = found.iter().filter(|&&mask| mask >= 0.5).count() as f64 / count as f64;
            assert_eq!(f64::from(kept), f64::from(share as f32));
            for (moment, expected, slope) in moments {
                let found = on_any_threads(|| mask::mean(&attended, &shift, moment));
                assert_close(&[found], &[expected], TOLERANCE, "mean");
                let (dattended, dshift) =
                    on_any_threads(|| mask::mean_backward(&attended, &shift, moment, count as f32));
                // The mask may be off by `COSINE`, which the logarithm magnifies near 0, and so may
                // its slope. Both are then rounded a few times.
                let expected = slopes.iter().zip(&masks).map(|(s, &m)| {
                    let near = [m - COSINE, m + COSINE].map(|near| slope(near.max(0.0)) - slope(m));
                    let change = near[0].abs().max(near[1].abs());
                    let bound = (s.abs() + COSINE) * change + COSINE * slope(m).abs();
                    (s * slope(m), bound + 1e-6)
                });
                assert_within(&dattended, expected, "attended");
                let mut sums = vec![0.0; width];
                exact(&dattended).iter().enumerate().for_each(|(i, d)| sums[i % width] += d);
                assert_close(&dshift, &sums, TOLERANCE, "shift");
            }
            for (moment, expected, slope) in moments {
                let mean = on_any_threads(|| mask::value_mean(&found, moment));
                assert_close(&[mean], &[expected], TOLERANCE, "mean of values");
                let thrice = 3.0 * count as f32;
                let dmask = on_any_threads(|| mask::value_mean_backward(&found, moment, thrice));
                let expected = found.iter().map(|&mask| {
                    let slope = 3.0 * slope(mask.into());
                    (slope, 1e-6 * slope.abs().max(1.0))
                });
                assert_within(&dmask, expected, "gradient of values");
            }
            assert_eq!(on_any_threads(|| mask::value_mean(&found, Moment::Kept)), kept);
            let dmask = mask::value_mean_backward(&found, Moment::Kept, 1.0);
            assert!(dmask.iter().all(|&slope| slope == 0.0));
            let generator = Philox::new(11, 12);
            for keep in [
                Keep::Random(generator),
                Keep::Threshold(0.4),
                Keep::Narrowed { generator, spread: 0.5 },
            ] {
                let rounded = on_any_threads(|| mask::rounded(&attended, &shift, keep));
                assert_eq!(on_any_threads(|| mask::rounded_values(&found, keep)), rounded);
            }
            let (dattended, dshift) =
                on_any_threads(|| mask::mean_backward(&attended, &shift, Moment::Kept, 1.0));
            assert!(dattended.iter().chain(&dshift).all(|&gradient| gradient == 0.0));
            let (dattended, dshift) =
                on_any_threads(|| mask::rounded_backward(&gradient, &attended, &shift));
            let expected: Vec<f64> =
                slopes.iter().zip(&gradient).map(|(s, &g)| s * f64::from(g)).collect();
            assert_close(&dattended, &expected, TOLERANCE, "attended");
            let mut sums = vec![0.0; width];
            expected.iter().enumerate().for_each(|(i, d)| sums[i % width] += d);
            assert_close(&dshift, &sums, TOLERANCE, "shift");
        });
    }
}

#[test]
fn nan_is_not_kept_and_makes_the_mean_nan() {
    at_every_level(|_| {
        let (attended, shift) = ([f32::NAN, 0.0], [0.0, 0.0]);
        let output = mask::product(&[1.0, 1.0], &attended, &shift, Keep::Threshold(0.5));
        assert!(output[0].is_nan() && output[1] == 1.0, "{output:?}");
        assert!(mask::mean(&attended, &shift, Moment::Squared).is_nan());
    });
}
