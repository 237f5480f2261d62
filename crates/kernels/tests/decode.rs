//! Products of few tokens against sums in f64.

mod common;

use common::{
    TOLERANCE, activated, activation, assert_close, at_every_level, cases, exact, factors, keeps,
    mask, values,
};
use learned_dropout_kernels::activation::Activation;
use learned_dropout_kernels::decode::{ByInput, FeedForward, Format, Matrix};
use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::team::Team;
use proptest::prelude::*;

fn rounded(values: &[f32], format: Format) -> Vec<f64> {
    values
        .iter()
        .map(|&value| f64::from(format.round(value)))
        .collect()
}

fn dot(x: &[f32], row: impl Iterator<Item = f64>) -> f64 {
    x.iter().zip(row).map(|(&x, w)| f64::from(x) * w).sum()
}

fn format() -> impl Strategy<Value = Format> {
    prop::sample::select(&Format::ALL)
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn matrices(
        tokens in 0usize..10, outputs in 0usize..40, inputs in 1usize..70, wide in any::<bool>(),
        format in format(),
    ) {
        // Large enough for several tasks.
        let (outputs, inputs) = if wide { (outputs * 9, inputs * 16) } else { (outputs, inputs) };
        let (x, weight) = (values(tokens * inputs, 1), values(outputs * inputs, 2));
        let weights = rounded(&weight, format);
        let expected: Vec<f64> = x
            .chunks(inputs)
            .flat_map(|x| weights.chunks(inputs).map(move |row| dot(x, row.iter().copied())))
            .collect();
        at_every_level(|_| {
            let (alone, three) = (Team::new(1), Team::new(3));
            let matrix = Matrix::new(&weight, outputs, inputs, format);
            let multiply = |team: &Team, x: &[f32]| {
                let mut y = vec![f32::NAN; x.len() / inputs * outputs];
                matrix.multiply(team, &mut y, x);
                y
            };
            let found = multiply(&alone, &x);
            assert_close(&found, &expected, TOLERANCE, "few tokens");
            assert!(multiply(&three, &x) == found, "depends on the team");
            for (token, x) in x.chunks(inputs).enumerate() {
                let of_token = &found[token * outputs..][..outputs];
                assert!(multiply(&alone, x) == of_token, "depends on other tokens");
            }
        });
    }

    /// The inputs of tokens that keep no group are read for the outputs behind the groups.
    #[test]
    fn matrices_with_groups_of_outputs(
        tokens in 0usize..10, groups in 1usize..5, group in 1usize..70, rest in 0usize..70,
        inputs in 1usize..200, kind in 0usize..6, format in format(),
    ) {
        let outputs = groups * group + rest;
        let (x, weight) = (values(tokens * inputs, 1), values(outputs * inputs, 2));
        let mask = mask(tokens, groups, kind);
        let kept = KeptGroups::new(&mask, tokens, groups);
        at_every_level(|_| {
            let matrix = Matrix::new(&weight, outputs, inputs, format);
            let mut whole = vec![f32::NAN; tokens * outputs];
            matrix.multiply(&Team::new(1), &mut whole, &x);
            for threads in [1, 3] {
                let mut found = vec![-7.0; tokens * outputs];
                matrix.multiply_kept(&Team::new(threads), &mut found, &x, &kept, group);
                for (place, (found, whole)) in found.iter().zip(&whole).enumerate() {
                    let (token, index) = (place / outputs, place % outputs / group);
                    let is_kept = index >= groups || keeps(&kept, token, index);
                    assert_eq!(*found, if is_kept { *whole } else { -7.0 }, "{token} {index}");
                }
            }
        });
    }

    #[test]
    fn matrices_by_input(
        tokens in 0usize..10, outputs in 1usize..40, inputs in 1usize..70, wide in any::<bool>(),
        format in format(), kept in 0usize..5,
    ) {
        let (outputs, inputs) = if wide { (outputs * 16, inputs * 9) } else { (outputs, inputs) };
        let (mut x, weight) = (values(tokens * inputs, 1), values(outputs * inputs, 2));
        for (index, x) in x.iter_mut().enumerate() {
            if index * index % 5 >= kept { *x = 0.0 }
        }
        let weights = rounded(&weight, format);
        let expected: Vec<f64> = x
            .chunks(inputs)
            .flat_map(|x| weights.chunks(inputs).map(move |row| dot(x, row.iter().copied())))
            .collect();
        at_every_level(|_| {
            let matrix = ByInput::new(&weight, outputs, inputs, format);
            let multiply = |team: &Team, x: &[f32]| {
                let mut y = vec![f32::NAN; x.len() / inputs * outputs];
                matrix.multiply(team, &mut y, x);
                y
            };
            let (alone, three) = (Team::new(1), Team::new(3));
            let found = multiply(&alone, &x);
            assert_close(&found, &expected, TOLERANCE, "few tokens");
            assert!(multiply(&three, &x) == found, "depends on the team");
            for (token, x) in x.chunks(inputs).enumerate() {
                let of_token = &found[token * outputs..][..outputs];
                assert!(multiply(&alone, x) == of_token, "depends on other tokens");
            }
            let mut many = vec![f32::NAN; expected.len()];
            matrix.multiply_many(&mut many, &x, Precision::F32);
            assert_close(&many, &expected, TOLERANCE, "many tokens");
        });
    }

    #[test]
    fn feed_forwards(
        tokens in 0usize..10, width in 1usize..50, groups in 1usize..12,
        group in prop::sample::select(&[1usize, 3, 8, 16, 33]),
        format in format(), kind in 0usize..9, wide in any::<bool>(), activation in activation(),
        carried in any::<bool>(),
    ) {
        // Large enough for several parts.
        let width = if wide { 16 * width } else { width };
        let hidden = groups * group;
        let scale = 1.0 / (width as f32).sqrt();
        let scaled = |count, seed| values(count, seed).iter().map(|v| v * scale).collect::<Vec<_>>();
        let (x, up, down) = (values(tokens * width, 1), scaled(hidden * width, 2), scaled(hidden * width, 3));
        let of_groups = factors(&mask(tokens, groups, kind), carried);
        let kept = KeptGroups::with_factors(&of_groups, tokens, groups);
        let (exact_up, exact_down) = (rounded(&up, format), rounded(&down, format));
        let mut expected = vec![0.0; tokens * width];
        for (token, (x, y)) in x.chunks(width).zip(expected.chunks_mut(width)).enumerate() {
            for unit in (0..hidden).filter(|unit| keeps(&kept, token, unit / group)) {
                let before = dot(x, exact_up[unit * width..][..width].iter().copied());
                let factor = f64::from(of_groups[token * groups + unit / group]);
                let value = factor * activated(activation, before).0;
                for (channel, y) in y.iter_mut().enumerate() {
                    *y += value * exact_down[channel * hidden + unit];
                }
            }
        }
        at_every_level(|_| {
            let (alone, three) = (Team::new(1), Team::new(3));
            let layer = FeedForward::new(&up, &down, width, group, activation, format);
            let forward = |team: &Team, kept: &KeptGroups| {
                let mut y = vec![f32::NAN; x.len()];
                layer.forward(team, &mut y, &x, kept);
                y
            };
            let found = forward(&alone, &kept);
            assert_close(&found, &expected, TOLERANCE, "few tokens");
            assert!(forward(&three, &kept) == found, "depends on the team");
            if kind == 1 && !carried {
                assert!(forward(&three, &KeptGroups::all(tokens, groups)) == found);
            }
        });
    }
}

/// Weights that are read become part of the output: here NaN.
#[test]
fn down_weights_of_zeros_are_not_read() {
    let (tokens, width, group, groups) = (5, 24, 6, 3);
    let hidden = group * groups;
    // Tokens 0 to 3 are computed together: unit 3 is positive for tokens 1 and 4, unit 5 for none.
    let positive = |unit: usize, token: usize| match unit {
        3 => token % 3 == 1,
        5 | 8 | 12..=17 => false,
        _ => true,
    };
    let dead = |unit| (0..tokens).all(|token| !positive(unit, token));
    // Channel t of token t is 1, so that its product with a unit is weight t.
    let x: Vec<f32> = (0..tokens * width)
        .map(|place| f32::from(u8::from(place / width == place % width)))
        .collect();
    let mut up = vec![0.0; hidden * width];
    for unit in 0..hidden {
        for token in 0..tokens {
            up[unit * width + token] = if positive(unit, token) { 2.0 } else { -2.0 };
        }
    }
    let down: Vec<f32> = (0..width * hidden)
        .map(|place| if dead(place % hidden) { f32::NAN } else { 0.5 })
        .collect();
    let of_groups: Vec<f32> = (0..tokens * groups)
        .map(|place| (place % 3) as f32)
        .collect();
    at_every_level(|_| {
        for (activation, value) in [(Activation::Relu, 2.0), (Activation::SquaredRelu, 4.0)] {
            for format in Format::ALL {
                let layer = FeedForward::new(&up, &down, width, group, activation, format);
                for kept in [
                    KeptGroups::all(tokens, groups),
                    KeptGroups::with_factors(&of_groups, tokens, groups),
                ] {
                    let mut y = vec![f32::NAN; x.len()];
                    layer.forward(&Team::new(2), &mut y, &x, &kept);
                    for (token, y) in y.chunks(width).enumerate() {
                        let mut sum = 0.0;
                        for unit in (0..hidden).filter(|&unit| positive(unit, token)) {
                            let group = unit / group;
                            if keeps(&kept, token, group) {
                                let factors = kept.factors_of(group);
                                sum += factors.map_or(1.0, |_| of_groups[token * groups + group]);
                            }
                        }
                        assert_eq!(y, vec![0.5 * value * sum; width], "token {token}");
                    }
                }
            }
        }
    });
}

#[test]
fn large_layers_are_cut_into_parts() {
    let (width, hidden, group) = (512, 2048, 32);
    let (up, down, x) = (
        values(hidden * width, 1),
        values(hidden * width, 2),
        values(width, 3),
    );
    at_every_level(|_| {
        let layer = FeedForward::new(&up, &down, width, group, Activation::Gelu, Format::F32);
        assert_eq!(
            (layer.width(), layer.groups(), layer.format()),
            (width, 64, Format::F32)
        );
        assert_eq!(layer.bytes(), 4 * 2 * hidden * width);
        let kept = KeptGroups::all(1, layer.groups());
        let run = |threads| {
            let mut y = vec![0.0; width];
            layer.forward(&Team::new(threads), &mut y, &x, &kept);
            y
        };
        let matrix =
            |weight: &[f32], outputs, inputs| Matrix::new(weight, outputs, inputs, Format::F32);
        let (mut units, mut expected) = (vec![0.0; hidden], vec![0.0; width]);
        matrix(&up, hidden, width).multiply(&Team::new(2), &mut units, &x);
        let units = Activation::Gelu.forward(&units);
        matrix(&down, width, hidden).multiply(&Team::new(2), &mut expected, &units);
        let found = run(1);
        assert_close(&found, &exact(&expected), TOLERANCE, "feed-forward");
        assert_eq!(run(2), found);
        assert_eq!(run(5), found);
    });
}

#[test]
fn rows_may_be_longer_than_a_task() {
    let (outputs, inputs) = (6, 20_000);
    let weight = vec![0.5; outputs * inputs];
    at_every_level(|_| {
        let matrix = Matrix::new(&weight, outputs, inputs, Format::F32);
        let mut y = vec![0.0; outputs];
        matrix.multiply(&Team::new(2), &mut y, &vec![1.0; inputs]);
        assert_eq!(y, [10_000.0; 6]);
    });
}

#[test]
#[should_panic(expected = "groups do not divide")]
fn groups_that_do_not_divide_are_refused() {
    FeedForward::new(&[0.0; 12], &[0.0; 12], 2, 4, Activation::Gelu, Format::F32);
}

#[test]
#[should_panic(expected = "input")]
fn inputs_of_another_length_are_refused() {
    let matrix = Matrix::new(&[0.0; 12], 3, 4, Format::Bf16);
    matrix.multiply(&Team::new(1), &mut [0.0; 3], &[0.0; 5]);
}
