//! Feed-forwards against the sequence of their layers, which have tests of their own.

mod common;

use common::{TOLERANCE, assert_close, at_every_level, cases, exact, on_any_threads, values};
use learned_dropout_kernels::feed_forward::{self, Factors, Gradients, Shape, Weights};
use learned_dropout_kernels::linear::{self, Norm};
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::{gelu, group_product};
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

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn outputs_and_gradients(
        tokens in 0usize..110, width in 1usize..20, hidden in 1usize..50, normed in any::<bool>(),
        rounds in any::<bool>(),
    ) {
        let (x, gain) = (values(tokens * width, 1), values(width, 2));
        let (up, down) = (values(hidden * width, 3), values(hidden * width, 4));
        let gradient = values(tokens * width, 5);
        let norm = normed.then_some(Norm { weight: &gain, epsilon: 1e-2 });
        let weights = Weights { norm, up: &up, down: &down };
        let shape = Shape { tokens, width, hidden };
        let precision = if rounds { Precision::Bf16 } else { Precision::F32 };
        let into = linear::Shape { tokens, inputs: width, outputs: hidden };
        let out = linear::Shape { tokens, inputs: hidden, outputs: width };
        at_every_level(|_| {
            let (y, found) = on_any_threads(|| {
                let y = feed_forward::forward(&x, &weights, shape, precision);
                (y, all(feed_forward::backward(&gradient, &x, &weights, shape, precision)))
            });
            let (same, saved) = feed_forward::forward_saving(&x, &weights, shape, precision);
            assert_eq!(same, y);
            let same =
                feed_forward::backward_saved(&gradient, &x, &weights, &saved, shape, precision);
            assert_eq!(all(same), found);
            let before = linear::forward(&x, norm, &up, into, precision);
            let units = gelu::forward(&before);
            let expected = linear::forward(&units, None, &down, out, precision);
            let last = linear::backward(&gradient, &units, None, &down, out, precision);
            let dbefore = gelu::backward(&last.x, &before);
            let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
            assert_close(&y, &exact(&expected), TOLERANCE, "output");
            let expected = [first.x, first.norm, first.weight, last.weight, Vec::new()];
            assert_gradients(&found, &expected);
        });
    }

    #[test]
    fn outputs_and_gradients_with_factors(
        tokens in 1usize..110, width in 1usize..20, groups in 1usize..7, group in 1usize..9,
        kept_only in any::<bool>(),
    ) {
        let hidden = groups * group;
        let (x, gain) = (values(tokens * width, 1), values(width, 2));
        let (up, down) = (values(hidden * width, 3), values(hidden * width, 4));
        let gradient = values(tokens * width, 5);
        let mut of_groups = values(tokens * groups, 6);
        of_groups.iter_mut().step_by(2).for_each(|factor| *factor = 0.0);
        let norm = Some(Norm { weight: &gain, epsilon: 1e-2 });
        let weights = Weights { norm, up: &up, down: &down };
        let shape = Shape { tokens, width, hidden };
        let factors = Some(Factors { values: &of_groups, group, kept_only });
        let precision = Precision::F32;
        let into = linear::Shape { tokens, inputs: width, outputs: hidden };
        let out = linear::Shape { tokens, inputs: hidden, outputs: width };
        let of_rows = group_product::Shape { rows: tokens, width: hidden, values: groups, group };
        at_every_level(|_| {
            let (y, found) = on_any_threads(|| {
                let y = feed_forward::forward_masked(&x, &weights, factors, shape, precision);
                let found = feed_forward::backward_masked(
                    &gradient, &x, &weights, factors, shape, precision,
                );
                (y, all(found))
            });
            let before = linear::forward(&x, norm, &up, into, precision);
            let units = gelu::forward(&before);
            let masked = group_product::forward(&units, &of_groups, of_rows);
            let expected = linear::forward(&masked, None, &down, out, precision);
            let last = linear::backward(&gradient, &masked, None, &down, out, precision);
            let (dunits, dfactors) =
                group_product::backward(&last.x, &units, &of_groups, of_rows, kept_only);
            let dbefore = gelu::backward(&dunits, &before);
            let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
            assert_close(&y, &exact(&expected), TOLERANCE, "output");
            let expected = [first.x, first.norm, first.weight, last.weight, dfactors];
            assert_gradients(&found, &expected);
        });
    }
}
