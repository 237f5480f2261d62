//! Activation functions and their gradients at known points, and GELU against the normal
//! distribution in f64.

mod common;

use common::{
    TOLERANCE, activated, assert_close, assert_within, at_every_level, normal, on_any_threads,
    scaled_values, values,
};
use learned_dropout_kernels::activation::Activation;

#[test]
fn gelu_at_known_points() {
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
    at_every_level(|_| {
        assert_close(
            &Activation::Gelu.forward(&x),
            &expected,
            TOLERANCE,
            "values",
        )
    });
}

/// More values than one task takes: 16,384.
#[test]
fn gelu_values_and_gradients() {
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
        let found = on_any_threads(|| Activation::Gelu.forward(&x));
        assert_within(&found, x.iter().map(value), "values");
        let found = on_any_threads(|| Activation::Gelu.backward(&gradient, &x));
        assert_within(&found, x.iter().zip(&gradient).map(derivative), "gradients");
    });
}

#[test]
fn relu_at_known_points() {
    let x = [-1.5, 0.0, 2.0, 3.0, -0.0, f32::INFINITY];
    let gradient = [1.0, 2.0, -3.0, 4.0, 5.0, 6.0];
    let (relu, squared) = (Activation::Relu, Activation::SquaredRelu);
    at_every_level(|_| {
        assert_eq!(relu.forward(&x), [0.0, 0.0, 2.0, 3.0, 0.0, f32::INFINITY]);
        assert_eq!(
            squared.forward(&x),
            [0.0, 0.0, 4.0, 9.0, 0.0, f32::INFINITY]
        );
        let expected = [0.0, 0.0, -3.0, 4.0, 0.0, 6.0];
        assert_eq!(relu.backward(&gradient, &x), expected);
        // From the values it is the same.
        assert_eq!(relu.backward(&gradient, &relu.forward(&x)), expected);
        let expected = [0.0, 0.0, -12.0, 24.0, 0.0, f32::INFINITY];
        assert_eq!(squared.backward(&gradient, &x), expected);
        for activation in Activation::ALL {
            assert!(activation.forward(&[f32::NAN])[0].is_nan());
        }
    });
}

/// The slope between two points close to each other, in f64, is the derivative between them.
#[test]
fn gradients_are_slopes() {
    let value = |activation, x| activated(activation, x).0;
    let x = scaled_values(20_000, 1, 2.0);
    at_every_level(|_| {
        for activation in Activation::ALL {
            let found = on_any_threads(|| activation.forward(&x));
            let expected = x.iter().map(|&x| {
                let x = f64::from(x);
                (value(activation, x), 1e-6 * (x * x).max(x.abs()))
            });
            assert_within(&found, expected, "values");
            let found = on_any_threads(|| activation.backward(&vec![1.0; x.len()], &x));
            let expected = x.iter().map(|&x| {
                let (x, step) = (f64::from(x), 1e-6);
                let slope = value(activation, x + step) - value(activation, x - step);
                // Within a step of 0 ReLU has no derivative.
                let bound = if x.abs() <= step {
                    1.0
                } else {
                    2e-6 * (1.0 + x.abs())
                };
                (slope / (2.0 * step), bound)
            });
            assert_within(&found, expected, "gradients");
        }
    });
}
