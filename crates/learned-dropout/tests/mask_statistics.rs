//! The statistics of masks, whichever way they are computed.

mod support;

use burn::tensor::{Bool, Tensor, TensorData};
use learned_dropout::statistics::MaskValues;
use learned_dropout::{DropoutInput, LearnedDropoutConfig, Mask, MaskFunction, Pass, Rounding};
use model::function::{Cosine, Fourier};
use model::pass::NoiseKey;
use support::{assert_close, device, random, read};

/// The statistics of rows of a mask and of its rounded values. `before` is the mask measured before.
fn expected(mask: &Mask, rows: &[usize], before: Option<&Mask>) -> MaskValues {
    let width = mask.values().dims()[2];
    let rows_of = |values: Tensor<3>| -> Vec<f32> {
        let values = read(values);
        let rows = rows.iter().flat_map(|&row| &values[row * width..][..width]);
        rows.copied().collect()
    };
    let (values, kept) = (rows_of(mask.values()), rows_of(mask.kept()));
    let share = |hits: usize, count: usize| (hits as f64 / count as f64) as f32;
    let count = |is: &dyn Fn(f32) -> bool| {
        let hits = values.iter().filter(|&&value| is(value)).count();
        share(hits, values.len())
    };
    let mean = |of: &dyn Fn(f64) -> f64| {
        let sum: f64 = values.iter().map(|&value| of(value.into())).sum();
        (sum / values.len() as f64) as f32
    };
    let column = |value: usize, side: f32| {
        let mut column = kept.iter().skip(value).step_by(width);
        column.all(|&kept| kept == side)
    };
    let columns = |side: f32| share((0..width).filter(|&v| column(v, side)).count(), width);
    MaskValues {
        kept: share(kept.iter().filter(|&&kept| kept == 1.0).count(), kept.len()),
        near_one: count(&|value| value > 0.9),
        near_zero: count(&|value| value < 0.1),
        entropy: mean(&|value| -value * (value + 1e-9).log2()),
        penalty: mean(&|value| value * value / 2.0),
        never_kept: columns(0.0),
        always_kept: columns(1.0),
        changed: before.map(|before| {
            let before = rows_of(before.values());
            let pairs = before.iter().zip(&values);
            let moved = pairs.filter(|(old, new)| (**old >= 0.5) != (**new >= 0.5));
            share(moved.count(), values.len())
        }),
    }
}

#[track_caller]
fn assert_same(found: MaskValues, expected: MaskValues) {
    let numbers = |of: MaskValues| {
        [
            of.kept,
            of.near_one,
            of.near_zero,
            of.entropy,
            of.penalty,
            of.never_kept,
            of.always_kept,
            of.changed.unwrap_or(-1.0),
        ]
    };
    assert_close(&numbers(found), &numbers(expected), 1e-5);
}

#[test]
fn statistics_are_those_of_the_values() {
    let functions = [
        MaskFunction::Cosine(Cosine {
            shift_init: 1.5,
            ..Cosine::default()
        }),
        MaskFunction::Fourier(Fourier::default()),
    ];
    let roundings = [Rounding::Stochastic, Rounding::Threshold, Rounding::Sigmoid];
    let passes = [
        Pass::Evaluate,
        Pass::Train(NoiseKey { seed: 3, step: 1 }),
        Pass::Sample {
            key: NoiseKey { seed: 3, step: 1 },
            temperature: 0.5,
        },
    ];
    for training in [false, true] {
        let device = match training {
            true => device().autodiff(),
            false => device(),
        };
        for (function, rounding) in functions.iter().flat_map(|f| roundings.map(|r| (f, r))) {
            let dropout = LearnedDropoutConfig::new(6, 2)
                .with_seed(Some(7))
                .with_function(function.clone())
                .with_rounding(rounding)
                .init(&device);
            let mask = |seed: u64, pass: &Pass| {
                let x = random([2, 9, 6], seed, &device) * 3.0;
                dropout.forward_input(DropoutInput::new(x).pass(*pass)).mask
            };
            let all: Vec<usize> = (0..18).collect();
            let mut last: Option<Mask> = None;
            for (seed, pass) in passes.iter().enumerate() {
                let mask = mask(seed as u64, pass);
                // Measured alone, it isn't compared, and the next one isn't compared with it.
                let other = self::expected(&mask, &all, None);
                assert_same(mask.statistics_alone().read(), other);
                let other = self::expected(&mask, &all, last.as_ref());
                assert_same(mask.statistics().read(), other);
                last = Some(mask);
            }
        }
    }
}

#[test]
fn padding_is_left_out() {
    let device = device();
    let dropout = LearnedDropoutConfig::new(6, 2)
        .with_seed(Some(7))
        .with_function(MaskFunction::Cosine(Cosine {
            shift_init: 1.5,
            ..Cosine::default()
        }))
        .init(&device);
    let padding = [[false, true, false, false], [false, false, true, true]];
    let padding = Tensor::<2, Bool>::from_data(TensorData::from(padding), &device);
    let masked = |seed: u64| {
        let x = random([2, 4, 6], seed, &device) * 3.0;
        let input = DropoutInput::new(x).padding(padding.clone());
        dropout.forward_input(input).mask
    };
    let (first, second) = (masked(1), masked(2));
    let rows = [0, 2, 3, 4, 5];
    assert_same(first.statistics().read(), expected(&first, &rows, None));
    assert_same(
        second.statistics().read(),
        expected(&second, &rows, Some(&first)),
    );
}

#[test]
fn an_empty_mask_has_statistics_of_zero() {
    let device = device();
    let dropout = LearnedDropoutConfig::new(6, 2).init(&device);
    let masked = dropout.forward_with_mask(Tensor::<3>::zeros([0, 4, 6], &device));
    let found = masked.mask.statistics().read();
    assert_eq!([found.kept, found.entropy, found.always_kept], [0.0; 3]);
}
