//! Random values, masks, scalar references and comparisons that several tests share.
#![allow(dead_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use learned_dropout_kernels::activation::Activation;
use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::level::Level;
use learned_dropout_kernels::random::{Philox, unit};
use proptest::prelude::{ProptestConfig, Strategy, prop};

pub mod bounded;

/// The error of f32 sums grows at most with their length, here up to a few hundred terms of 6e-8.
pub const TOLERANCE: f64 = 2e-5;

/// The number of random cases: the value of the variable `PROPTEST_CASES`, or `default` without it.
pub fn cases(default: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(default),
    }
}

/// Runs a test at every level of this processor, on a pool of two threads.
pub fn at_every_level(test: impl Fn(Level) + Sync) {
    for level in Level::available() {
        level.run_on(2, || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(level))) {
                eprintln!("at the level {}", level.name());
                resume_unwind(panic);
            }
        });
    }
}

/// Runs a kernel on 1, 2 and 5 threads at the level in use. All must give the same bits.
pub fn on_any_threads<T: PartialEq + Send>(kernel: impl Fn() -> T + Sync) -> T {
    let level = Level::current();
    let result = level.run_on(1, &kernel);
    for threads in [2, 5] {
        let same = level.run_on(threads, &kernel) == result;
        assert!(same, "{threads} threads change the result");
    }
    result
}

/// Values from a normal distribution.
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let generator = Philox::new(seed, 0);
    (0..count as u64)
        .map(|i| generator.normal_pair(i)[0] as f32)
        .collect()
}

/// Values from a normal distribution, times `scale`.
pub fn scaled_values(count: usize, seed: u64, scale: f32) -> Vec<f32> {
    let values = values(count, seed).into_iter();
    values.map(|value| scale * value).collect()
}

/// Uniform values from `-scale` to `scale`.
pub fn uniform_values(count: usize, seed: u64, scale: f32) -> Vec<f32> {
    let generator = Philox::new(seed, 2);
    (0..count as u64)
        .map(|i| scale * (2.0 * unit(generator.number(i)) - 1.0))
        .collect()
}

/// The same values in f64.
pub fn exact(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Mask values `[tokens, groups]`: `kind` 0 keeps none, 1 all, 2 one group, and others about half.
pub fn mask(tokens: usize, groups: usize, kind: usize) -> Vec<f32> {
    let generator = Philox::new(kind as u64, 1);
    let keeps = |place: usize| match kind {
        0 => false,
        1 => true,
        2 => place % groups == groups / 2,
        _ => unit(generator.number(place as u64)) < 0.5,
    };
    let values = (0..tokens * groups).map(|place| f32::from(u8::from(keeps(place))));
    values.collect()
}

/// A mask whose ones are replaced by other numbers, but for a few, if `carried`.
pub fn factors(mask: &[f32], carried: bool) -> Vec<f32> {
    let factor = |(mask, value): (&f32, f32)| match carried && value.abs() > 0.1 {
        true => mask * value,
        false => *mask,
    };
    mask.iter()
        .zip(values(mask.len(), 77))
        .map(factor)
        .collect()
}

/// Whether a token keeps a group, read from the lists.
pub fn keeps(kept: &KeptGroups, token: usize, group: usize) -> bool {
    kept.tokens_of(group).contains(&(token as u32))
}

/// The value of an activation function and its derivative.
pub fn activated(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::Gelu => {
            let (distribution, density) = normal(x);
            (x * distribution, distribution + x * density)
        }
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::SquaredRelu => (x.max(0.0).powi(2), 2.0 * x.max(0.0)),
    }
}

/// Any activation function.
pub fn activation() -> impl Strategy<Value = Activation> {
    prop::sample::select(&Activation::ALL)
}

/// `(Φ(x), φ(x))` of the standard normal distribution.
///
/// Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/(3·5) + …), exact enough in f64 for |x| ≤ 8.
pub fn normal(x: f64) -> (f64, f64) {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() > 8.0 {
        return (if x > 0.0 { 1.0 } else { 0.0 }, density);
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    (0.5 + density * sum, density)
}

/// The largest magnitude of some values, but at least 0.01.
pub fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values
        .into_iter()
        .fold(1e-2, |largest, value| largest.max(value.abs()))
}

/// Asserts that values differ from the expected ones by at most `tolerance` times the largest of
/// those.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    let bound = tolerance * largest(expected.iter().copied());
    assert_within(found, expected.iter().map(|&value| (value, bound)), what);
}

/// Asserts that each value differs from the expected one by at most its bound. `expected` are pairs
/// of both.
#[track_caller]
pub fn assert_within(found: &[f32], expected: impl IntoIterator<Item = (f64, f64)>, what: &str) {
    let mut expected = expected.into_iter();
    for (index, &found) in found.iter().enumerate() {
        let (expected, bound) = expected.next().expect(what);
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= bound,
            "{what}, element {index}: {found}, expected {expected} ± {bound}"
        );
    }
    assert!(expected.next().is_none(), "{what}: too few values");
}
