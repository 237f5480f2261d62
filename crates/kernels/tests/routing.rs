//! Gates, ReLU and shares, worked by hand.

mod common;

use common::{assert_within, at_every_level};
use learned_dropout_kernels::routing::{
    best_gates, best_gates_backward, mean, mean_softmax, mean_softmax_backward, used_share,
};

/// Values up to 1, each rounded a few times.
#[track_caller]
fn assert_near(found: &[f32], expected: &[f64]) {
    assert_within(found, expected.iter().map(|&value| (value, 1e-6)), "values");
}

#[test]
fn gates() {
    let scores = [3.0f32, 1.0, 6.0, 2.0, 2.0, 2.0].map(f32::ln);
    let third = 1.0 / 3.0;
    at_every_level(|_| {
        let found = best_gates(&scores, 3, 2);
        assert_near(&found, &[third, 0.0, 2.0 * third, 0.5, 0.5, 0.0]);
        assert_near(&best_gates(&scores[3..], 3, 1), &[1.0, 0.0, 0.0]);
        // 1/3 (1 − 1/3), −2/3 · 1/3.
        let gradient = best_gates_backward(&[1.0, 5.0, 0.0], &found[..3], 3);
        assert_near(&gradient, &[2.0 / 9.0, 0.0, -2.0 / 9.0]);
    });
}

#[test]
fn mean_probabilities() {
    let scores = [3.0f32, 1.0, 6.0, 2.0, 2.0, 2.0].map(f32::ln);
    let third = 1.0 / 3.0;
    at_every_level(|_| {
        assert_near(&mean_softmax(&scores[..3], 3), &[0.3, 0.1, 0.6]);
        let both = [0.3 + third, 0.1 + third, 0.6 + third].map(|sum| sum / 2.0);
        assert_near(&mean_softmax(&scores, 3), &both);
        // p (g − Σ g p) / 2 with Σ g p = 0.3 and 1/3.
        let found = mean_softmax_backward(&[1.0, 0.0, 0.0], &scores);
        let first = [0.3 * 0.7, -0.1 * 0.3, -0.6 * 0.3];
        let second = [third * (1.0 - third), -third * third, -third * third];
        let expected = [first, second].concat();
        assert_near(
            &found,
            &expected.iter().map(|value| value / 2.0).collect::<Vec<_>>(),
        );
    });
}

#[test]
fn means_and_shares() {
    at_every_level(|_| {
        let values = [0.0, 0.0, 2.0, 3.0, -0.0, 4.0];
        assert_eq!(mean(&values), 1.5);
        assert_eq!(used_share(&values, 3), [0.5, 0.0, 1.0]);
    });
}
