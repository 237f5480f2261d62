//! Feed-forwards against the sequence of their layers, which have tests of their own.

mod common;

use common::{
    TOLERANCE, activation, assert_close, assert_within, at_every_level, cases, exact,
    on_any_threads, values,
};
use learned_dropout_kernels::feed_forward::{
    self, Factors, Gradients, OutputGradients, Shape, Wanted, Weights,
};
use learned_dropout_kernels::group_product;
use learned_dropout_kernels::linear::{self, Norm};
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::unit_sum::UnitSum;
use proptest::prelude::*;

/// The gradients of input, norm, weights and factors.
fn all(found: Gradients) -> [Vec<f32>; 5] {
    [found.x, found.norm, found.up, found.down, found.factors]
}

#[track_caller]
fn assert_gradients(found: &[Vec<f32>; 5], expected: &[Vec<f32>; 5]) {
    let names = ["input", "norm", "up", "down", "factors"];
    for ((found, expected), name) in found.iter().zip(expected).zip(names) {
        assert_close(found, &exact(expected), TOLERANCE, name);
    }
}

/// Asserts that a sum is that of some units, with an error of a share of their magnitudes.
#[track_caller]
fn assert_sum(found: UnitSum, units: &[f32]) {
    let magnitude: f64 = units.iter().map(|&unit| f64::from(unit.abs())).sum();
    let sum = units.iter().map(|&unit| f64::from(unit)).sum();
    assert_within(&[found.sum], [(sum, 1e-6 * magnitude)], "sum");
    let not_zero = units.iter().filter(|unit| **unit != 0.0).count();
    assert_eq!(found.not_zero, not_zero);
}

/// What a forward pass can give besides the output.
const ALL: Wanted = Wanted {
    before: true,
    sum: true,
};

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn outputs_and_gradients(
        tokens in 0usize..110, width in 1usize..20, hidden in 1usize..50, normed in any::<bool>(),
        rounds in any::<bool>(), activation in activation(), dsum in -2.0f32..2.0,
    ) {
        let (x, gain) = (values(tokens * width, 1), values(width, 2));
        let (up, down) = (values(hidden * width, 3), values(hidden * width, 4));
        let gradient = values(tokens * width, 5);
        let norm = normed.then_some(Norm { weight: &gain, epsilon: 1e-2 });
        let weights = Weights { norm, up: &up, activation, down: &down };
        let shape = Shape { tokens, width, hidden };
        let precision = if rounds { Precision::Bf16 } else { Precision::F32 };
        let into = linear::Shape { tokens, inputs: width, outputs: hidden };
        let out = linear::Shape { tokens, inputs: hidden, outputs: width };
        at_every_level(|_| {
            let (y, found) = on_any_threads(|| {
                let y = feed_forward::forward(&x, &weights, shape, precision);
                (y, all(feed_forward::backward(&gradient, &x, &weights, shape, precision)))
            });
            let (same, saved, sum) = on_any_threads(|| {
                let same = feed_forward::forward_with(&x, &weights, None, ALL, shape, precision);
                (same.y, same.before, same.sum)
            });
            assert_eq!(same, y);
            let backward = |sum, before: &[f32]| {
                let gradients = OutputGradients { y: &gradient, sum };
                all(feed_forward::backward_with(
                    gradients, &x, &weights, None, before, shape, precision,
                ))
            };
            assert_eq!(backward(0.0, &saved), found);
            let summed = on_any_threads(|| backward(dsum, &[]));
            assert_eq!(backward(dsum, &saved), summed);
            let before = linear::forward(&x, norm, &up, into, precision);
            let units = activation.forward(&before);
            let expected = linear::forward(&units, None, &down, out, precision);
            let last = linear::backward(&gradient, &units, None, &down, out, precision);
            let dbefore = activation.backward(&last.x, &before);
            let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
            assert_close(&y, &exact(&expected), TOLERANCE, "output");
            assert_sum(sum, &units);
            let expected = [first.x, first.norm, first.weight, last.weight.clone(), Vec::new()];
            assert_gradients(&found, &expected);
            let dunits: Vec<f32> = last.x.iter().map(|dunit| dunit + dsum).collect();
            let dbefore = activation.backward(&dunits, &before);
            let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
            let expected = [first.x, first.norm, first.weight, last.weight, Vec::new()];
            assert_gradients(&summed, &expected);
        });
    }

    #[test]
    fn outputs_and_gradients_with_factors(
        tokens in 1usize..110, width in 1usize..20, groups in 1usize..7, group in 1usize..9,
        kept_only in any::<bool>(), activation in activation(), dsum in -2.0f32..2.0,
        sums in any::<bool>(),
    ) {
        let hidden = groups * group;
        let (x, gain) = (values(tokens * width, 1), values(width, 2));
        let (up, down) = (values(hidden * width, 3), values(hidden * width, 4));
        let gradient = values(tokens * width, 5);
        let mut of_groups = values(tokens * groups, 6);
        of_groups.iter_mut().step_by(2).for_each(|factor| *factor = 0.0);
        let norm = Some(Norm { weight: &gain, epsilon: 1e-2 });
        let weights = Weights { norm, up: &up, activation, down: &down };
        let shape = Shape { tokens, width, hidden };
        let factors = Some(Factors { values: &of_groups, group, kept_only });
        let precision = Precision::F32;
        let into = linear::Shape { tokens, inputs: width, outputs: hidden };
        let out = linear::Shape { tokens, inputs: hidden, outputs: width };
        let of_rows = group_product::Shape { rows: tokens, width: hidden, values: groups, group };
        at_every_level(|_| {
            let (y, sum, found) = on_any_threads(|| {
                let y = feed_forward::forward_masked(&x, &weights, factors, shape, precision);
                let with = feed_forward::forward_with(&x, &weights, factors, ALL, shape, precision);
                assert_eq!(with.y, y);
                if !sums {
                    let found = feed_forward::backward_masked(
                        &gradient, &x, &weights, factors, shape, precision,
                    );
                    return (y, with.sum, all(found));
                }
                let gradients = OutputGradients { y: &gradient, sum: dsum };
                let backward = |before: &[f32]| {
                    all(feed_forward::backward_with(
                        gradients, &x, &weights, factors, before, shape, precision,
                    ))
                };
                let found = backward(&[]);
                assert_eq!(backward(&with.before), found);
                (y, with.sum, found)
            });
            let before = linear::forward(&x, norm, &up, into, precision);
            let units = activation.forward(&before);
            let masked = group_product::forward(&units, &of_groups, of_rows);
            let expected = linear::forward(&masked, None, &down, out, precision);
            let last = linear::backward(&gradient, &masked, None, &down, out, precision);
            let (mut dunits, dfactors) =
                group_product::backward(&last.x, &units, &of_groups, of_rows, kept_only);
            let kept = |unit: usize| of_groups[unit / group] != 0.0;
            for (unit, dunit) in dunits.iter_mut().enumerate() {
                *dunit += if sums && kept(unit) { dsum } else { 0.0 };
            }
            let kept: Vec<f32> =
                (0..units.len()).filter(|&unit| kept(unit)).map(|unit| units[unit]).collect();
            assert_sum(sum, &kept);
            let dbefore = activation.backward(&dunits, &before);
            let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
            assert_close(&y, &exact(&expected), TOLERANCE, "output");
            let expected = [first.x, first.norm, first.weight, last.weight, dfactors];
            assert_gradients(&found, &expected);
        });
    }
}
