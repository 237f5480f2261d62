//! The hidden units of SwiGLU and their gradients at known points and against the formula in f64.

mod common;

use common::{TOLERANCE, assert_close, assert_within, at_every_level, on_any_threads};
use common::{scaled_values, values};
use learned_dropout_kernels::swiglu::{backward, forward};

#[test]
fn values_at_known_points() {
    // Rows of two gates and two up projections. silu(ln 3) = ln 3 · 3/4, silu(−ln 3) = −ln 3 / 4.
    let three = 3.0f32.ln();
    let packed = [three, 0.0, 2.0, 5.0, -three, 100.0, 4.0, -1.0];
    let expected = [1.5 * f64::from(three), 0.0, -f64::from(three), -100.0];
    at_every_level(|_| {
        assert_close(&forward(&packed, 2), &expected, TOLERANCE, "values");
        // silu'(ln 3) = 3/4 + 3/16 ln 3, silu'(0) = 1/2.
        let found = backward(&[1.0, 1.0, 0.0, 2.0], &packed, 2);
        let first = [
            2.0 * (0.75 + 0.1875 * f64::from(three)),
            2.5,
            0.75 * f64::from(three),
            0.0,
        ];
        let second = [0.0, -2.0, 0.0, 200.0];
        assert_close(&found, &[first, second].concat(), TOLERANCE, "gradients");
        assert!(forward(&[f32::NAN, 1.0], 1)[0].is_nan());
        assert!(forward(&[], 3).is_empty());
    });
}

/// More values than one task takes: 16,384.
#[test]
fn values_and_gradients() {
    for (tokens, hidden) in [(700, 33), (3, 20_001)] {
        let packed = scaled_values(2 * tokens * hidden, 1, 3.0);
        let gradient = values(tokens * hidden, 2);
        let element = |index: usize| {
            let (token, unit) = (index / hidden, index % hidden);
            let row = &packed[2 * token * hidden..][..2 * hidden];
            let (gate, up) = (f64::from(row[unit]), f64::from(row[hidden + unit]));
            (gate, up, 1.0 / (1.0 + (-gate).exp()))
        };
        // The sigmoid has about the relative error of exp, 3e-7, and a few roundings of 6e-8.
        let expected = (0..tokens * hidden).map(|index| {
            let (gate, up, sigmoid) = element(index);
            let value = gate * sigmoid * up;
            (value, 8e-7 * value.abs())
        });
        let expected: Vec<(f64, f64)> = expected.collect();
        let slope = |index: usize| {
            let (token, column) = (index / (2 * hidden), index % (2 * hidden));
            let place = token * hidden + column % hidden;
            let (gate, up, sigmoid) = element(place);
            let gradient = f64::from(gradient[place]);
            if column >= hidden {
                let value = gradient * gate * sigmoid;
                return (value, 8e-7 * value.abs());
            }
            let value = gradient * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
            let terms = (gradient * up * sigmoid).abs() * (1.0 + gate.abs());
            (value, 1e-6 * terms)
        };
        let slopes: Vec<(f64, f64)> = (0..packed.len()).map(slope).collect();
        at_every_level(|_| {
            let found = on_any_threads(|| forward(&packed, hidden));
            assert_within(&found, expected.iter().copied(), "values");
            let found = on_any_threads(|| backward(&gradient, &packed, hidden));
            assert_within(&found, slopes.iter().copied(), "gradients");
        });
    }
}
