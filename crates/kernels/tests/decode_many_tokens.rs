//! Products of many tokens with weights stored for decoding, against those of few tokens.

mod common;

use common::{
    activation, assert_within, at_every_level, cases, mask, on_any_threads, uniform_values,
};
use learned_dropout_kernels::activation::Activation;
use learned_dropout_kernels::decode::{Columns, FeedForward, Format, Matrix};
use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::team::Team;
use proptest::prelude::*;

/// Asserts that values differ by at most a bound.
#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], bound: f64, what: &str) {
    let expected = expected.iter().map(|&value| (f64::from(value), bound));
    assert_within(found, expected, what);
}

/// Sizes of groups; with 32 or more, few kept ones are computed alone.
fn group() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..70, 32usize..40]
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn matrices_of_all_formats(
        tokens in 0usize..230, outputs in 1usize..300, inputs in 1usize..70,
        format in prop::sample::select(&Format::ALL[..]),
    ) {
        let weight = uniform_values(outputs * inputs, 1, 1.0);
        let x = uniform_values(tokens * inputs, 2, 1.0);
        at_every_level(|_| {
            let matrix = Matrix::new(&weight, outputs, inputs, format);
            let mut expected = vec![0.0; tokens * outputs];
            matrix.multiply(&Team::new(1), &mut expected, &x);
            let many = |precision| {
                on_any_threads(|| {
                    let mut y = vec![f32::NAN; tokens * outputs];
                    matrix.multiply_many(&mut y, &x, precision);
                    y
                })
            };
            // Sums of at most 69 terms of at most 1, each rounded to 2⁻²⁴ of at most 69.
            assert_near(&many(Precision::F32), &expected, 69.0 * 69.0 * 6e-8, "f32");
            // Operands of at most 1 are off by at most 2⁻⁹ each.
            assert_near(&many(Precision::Bf16), &expected, 69.0 * 2.1 / 512.0, "bf16");
            let mut row = vec![0.0; inputs];
            matrix.row(outputs - 1, &mut row);
            let last = weight[(outputs - 1) * inputs..].iter();
            assert_eq!(row, last.map(|&weight| format.round(weight)).collect::<Vec<f32>>());
        });
    }

    #[test]
    fn matrices_with_groups_of_outputs(
        tokens in 0usize..230, groups in 1usize..5, group in group(), rest in 0usize..230,
        inputs in 1usize..70, kind in 0usize..6, format in prop::sample::select(&Format::ALL[..]),
    ) {
        let outputs = groups * group + rest;
        let weight = uniform_values(outputs * inputs, 1, 1.0);
        let x = uniform_values(tokens * inputs, 2, 1.0);
        let mask = mask(tokens, groups, kind);
        let kept = KeptGroups::new(&mask, tokens, groups);
        at_every_level(|_| {
            let matrix = Matrix::new(&weight, outputs, inputs, format);
            let only_kept = |mut y: Vec<f32>| {
                for (place, value) in y.iter_mut().enumerate() {
                    let (token, index) = (place / outputs, place % outputs / group);
                    if index < groups && mask[token * groups + index] == 0.0 {
                        *value = 0.0;
                    }
                }
                y
            };
            let mut expected = vec![f32::NAN; tokens * outputs];
            matrix.multiply(&Team::new(1), &mut expected, &x);
            let expected = only_kept(expected);
            let many = |precision| {
                on_any_threads(|| {
                    let mut y = vec![f32::NAN; tokens * outputs];
                    matrix.multiply_many_kept(&mut y, &x, &kept, group, precision);
                    only_kept(y)
                })
            };
            // As above.
            assert_near(&many(Precision::F32), &expected, 69.0 * 69.0 * 6e-8, "f32");
            assert_near(&many(Precision::Bf16), &expected, 69.0 * 2.1 / 512.0, "bf16");
        });
    }

    #[test]
    fn feed_forwards_with_and_without_masks(
        tokens in 1usize..210, width in 1usize..50, group in 1usize..9, groups in 1usize..40,
        activation in activation(), carried in any::<bool>(),
    ) {
        let hidden = group * groups;
        let [up, down] = [1, 2].map(|seed| uniform_values(hidden * width, seed, 0.5));
        let x = uniform_values(tokens * width, 3, 1.0);
        let mask: Vec<f32> = uniform_values(tokens * groups, 4, 1.0)
            .into_iter()
            .map(|value| if value <= 0.2 { 0.0 } else if carried { value } else { 1.0 })
            .collect();
        // At most 320 hidden units times 0.5, each off by 50 roundings of at most 25; a square of
        // at most 625 by as many of twice 25 · 25.
        let error = match activation {
            Activation::SquaredRelu => 50.0 * 2.0 * 25.0 * 25.0 * 6e-8,
            _ => 50.0 * 25.0 * 6e-8,
        };
        let bound = 320.0 * 0.5 * error;
        at_every_level(|_| {
            let layer = FeedForward::new(&up, &down, width, group, activation, Format::F16);
            for mask in [None, Some(&mask[..])] {
                let kept = match mask {
                    Some(mask) => KeptGroups::with_factors(mask, tokens, groups),
                    None => KeptGroups::all(tokens, groups),
                };
                let mut expected = vec![0.0; tokens * width];
                layer.forward(&Team::new(1), &mut expected, &x, &kept);
                let found = on_any_threads(|| {
                    let mut y = vec![f32::NAN; tokens * width];
                    layer.forward_many(&mut y, &x, mask, Precision::F32);
                    y
                });
                assert_near(&found, &expected, bound, "whole");
                let found = on_any_threads(|| {
                    let mut y = vec![f32::NAN; tokens * width];
                    layer.forward_grouped(&mut y, &x, &kept, Precision::F32);
                    y
                });
                assert_near(&found, &expected, bound, "by groups");
            }
        });
    }

    #[test]
    fn matrices_with_groups_of_inputs(
        tokens in 1usize..130, outputs in 1usize..60, group in 1usize..20, groups in 1usize..12,
        format in prop::sample::select(&Format::ALL[..]), share in -1.1f32..1.1,
        carried in any::<bool>(),
    ) {
        let inputs = group * groups;
        let weight = uniform_values(outputs * inputs, 1, 1.0);
        let mask: Vec<f32> = uniform_values(tokens * groups, 4, 1.0)
            .into_iter()
            .map(|value| if value >= share { 0.0 } else if carried { value } else { 1.0 })
            .collect();
        let x = uniform_values(tokens * inputs, 2, 1.0);
        let mut masked = x.clone();
        for (x, factor) in masked.chunks_exact_mut(group).zip(&mask) {
            x.iter_mut().for_each(|x| *x *= factor);
        }
        let kept = KeptGroups::with_factors(&mask, tokens, groups);
        // Sums of at most 209 terms of at most 1, each rounded to 2⁻²⁴ of at most 209.
        let bound = 209.0 * 209.0 * 6e-8;
        at_every_level(|_| {
            let mut expected = vec![0.0; tokens * outputs];
            let matrix = Matrix::new(&weight, outputs, inputs, format);
            matrix.multiply(&Team::new(1), &mut expected, &masked);
            let columns = Columns::new(&weight, outputs, inputs, group, format);
            let few = |threads| {
                let mut y = vec![f32::NAN; tokens * outputs];
                columns.multiply(&Team::new(threads), &mut y, &x, &kept);
                y
            };
            let many = on_any_threads(|| {
                let mut y = vec![f32::NAN; tokens * outputs];
                columns.multiply_many(&mut y, &x, &kept, Precision::F32);
                y
            });
            assert_near(&few(2), &expected, bound, "few tokens");
            assert_near(&many, &expected, bound, "many tokens");
            assert_eq!(few(1), few(3));
        });
    }
}
