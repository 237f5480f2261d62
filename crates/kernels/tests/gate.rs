//! Gates at known points and against their definition in f64.

mod common;

use std::f32::consts::{FRAC_PI_2, FRAC_PI_3};

use common::{TOLERANCE, assert_close, at_every_level, cases, on_any_threads};
use common::{scaled_values, values};
use learned_dropout_kernels::gate::{GateFactor, backward, forward};
use learned_dropout_kernels::mask;
use proptest::prelude::*;

/// The error of a cosine: a threshold as close to it may fall on either side.
const COSINE: f64 = 2e-6;

#[test]
fn values_at_known_points() {
    // Cosines of 0.5, 0, 1 and −0.5 by a shift of a third of π, with a threshold of 0.2.
    let shift = [FRAC_PI_3, FRAC_PI_3];
    let attended = [0.0, FRAC_PI_2 - FRAC_PI_3, -FRAC_PI_3, FRAC_PI_3];
    let root = 3.0f64.sqrt() / 2.0;
    at_every_level(|_| {
        let (factors, kept) = forward(&attended, &shift, 0.2, GateFactor::Excess);
        assert_close(&factors, &[0.3, 0.0, 0.8, 0.0], TOLERANCE, "excess");
        assert_eq!((factors[1], factors[3], kept), (0.0, 0.0, 0.5));
        let (factors, kept) = forward(&attended, &shift, 0.2, GateFactor::One);
        assert_eq!((factors, kept), (vec![1.0, 0.0, 1.0, 0.0], 0.5));
        let gradient = [1.0, 5.0, 3.0, 2.0];
        let found = backward(&gradient, &attended, &shift, 0.2, GateFactor::Excess);
        assert_close(&found.0, &[-root, 0.0, 0.0, 0.0], TOLERANCE, "gradient");
        assert_close(&found.1, &[-root, 0.0], TOLERANCE, "gradient of the shift");
        let found = backward(&gradient, &attended, &shift, 0.2, GateFactor::One);
        let expected = [-0.5 * root, -2.5, 0.0, -root];
        assert_close(&found.0, &expected, TOLERANCE, "straight-through gradient");
    });
}

#[test]
fn what_is_no_number_passes_and_nothing_keeps_nothing() {
    for factor in [GateFactor::Excess, GateFactor::One] {
        at_every_level(|_| {
            let (factors, kept) = forward(&[f32::NAN, 0.0], &[0.0, 0.0], 0.0, factor);
            assert!(factors[0].is_nan());
            assert_eq!((factors[1], kept), (1.0, 0.5));
            assert_eq!(forward(&[], &[0.0], 0.0, factor), (Vec::new(), 0.0));
        });
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn factors_and_gradients(
        rows in 1usize..300, width in 1usize..150, scale in 0.1f32..40.0, threshold in -1.2f32..1.2,
    ) {
        let count = rows * width;
        let gradient = values(count, 10);
        let (attended, shift) = (scaled_values(count, 8, scale), values(width, 9));
        at_every_level(|_| {
            // A value is kept exactly where the masks of the decode engine keep it.
            let mut masks = vec![0.0; count];
            mask::values(&mut masks, &attended, &shift);
            let kept = |i: usize| (2.0 * masks[i] - 1.0) - threshold > 0.0;
            let share = (0..count).filter(|&i| kept(i)).count() as f64 / count as f64;
            for factor in [GateFactor::Excess, GateFactor::One] {
                let (factors, found) =
                    on_any_threads(|| forward(&attended, &shift, threshold, factor));
                assert_eq!(found, share as f32);
                let (dattended, dshift) = on_any_threads(|| {
                    backward(&gradient, &attended, &shift, threshold, factor)
                });
                let mut expected = vec![0.0; count];
                let mut sums = vec![0.0; width];
                for i in 0..count {
                    let angle = f64::from(attended[i] + shift[i % width]);
                    let excess = angle.cos() - f64::from(threshold);
                    assert_eq!(factors[i] != 0.0, kept(i), "element {i}");
                    if excess.abs() > COSINE {
                        assert_eq!(kept(i), excess > 0.0, "element {i}");
                    }
                    let factor_here = match factor {
                        GateFactor::Excess => excess.max(0.0),
                        GateFactor::One => f64::from(u8::from(kept(i))),
                    };
                    assert!((f64::from(factors[i]) - factor_here).abs() < COSINE, "element {i}");
                    let slope = match factor {
                        GateFactor::Excess => f64::from(u8::from(kept(i))) * -angle.sin(),
                        GateFactor::One => -0.5 * angle.sin(),
                    };
                    expected[i] = slope * f64::from(gradient[i]);
                    sums[i % width] += expected[i];
                }
                assert_close(&dattended, &expected, TOLERANCE, "attended");
                assert_close(&dshift, &sums, TOLERANCE, "shift");
            }
        });
    }
}
