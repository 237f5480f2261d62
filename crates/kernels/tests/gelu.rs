//! GELU and its gradient at known points and against the normal distribution in f64.

mod common;

use common::{TOLERANCE, assert_close, assert_within, at_every_level, normal, on_any_threads};
use common::{scaled_values, values};
use learned_dropout_kernels::gelu;

#[test]
fn values_at_known_points() {
    // x Φ(x), from tables of the normal distribution.
    let x = [0.0, 1.0, -1.0, 2.0, -3.0, 30.0, -30.0];
    let expected = [
        0.0,
        0.841_344_746,
        -0.158_655_254,
        1.954_499_736,
        -0.004_049_694,
        30.0,
        0.0,
    ];
    at_every_level(|_| assert_close(&gelu::forward(&x), &expected, TOLERANCE, "values"));
}

/// More values than one task takes: 16,384.
#[test]
fn values_and_gradients() {
    let (x, gradient) = (scaled_values(40_001, 1, 2.0), values(40_001, 2));
    // Φ has an error of half of the 5e-7 of erf, and the density a relative error of 3e-7.
    let value = |&x: &f32| {
        let x = f64::from(x);
        (x * normal(x).0, 4e-7 * x.abs())
    };
    let derivative = |(&x, &gradient): (&f32, &f32)| {
        let (x, gradient) = (f64::from(x), f64::from(gradient));
        let (distribution, density) = normal(x);
        let bound = 5e-7 * (1.0 + x.abs() * density);
        (
            gradient * (distribution + x * density),
            bound * gradient.abs(),
        )
    };
    at_every_level(|_| {
        let found = on_any_threads(|| gelu::forward(&x));
        assert_within(&found, x.iter().map(value), "values");
        let found = on_any_threads(|| gelu::backward(&gradient, &x));
        assert_within(&found, x.iter().zip(&gradient).map(derivative), "gradients");
    });
}
