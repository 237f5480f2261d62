//! Random values, masks and scalar references that several tests share.
#![allow(dead_code)]

use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::random::{Philox, unit};

pub mod bounded;

/// Values from a normal distribution, times `scale`.
pub fn scaled_values(count: usize, seed: u64, scale: f32) -> Vec<f32> {
    let values = values(count, seed).into_iter();
    values.map(|value| scale * value).collect()
}

/// Runs a kernel on 1, 2 and 5 threads; all must give the same bits.
pub fn on_any_threads<T: PartialEq + Send>(kernel: impl Fn() -> T + Sync) -> T {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(&kernel)
    };
    let result = run(1);
    assert!(
        run(2) == result && run(5) == result,
        "the result depends on the threads"
    );
    result
}

/// Values from a normal distribution.
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let generator = Philox::new(seed, 0);
    (0..count as u64)
        .map(|i| generator.normal_pair(i)[0] as f32)
        .collect()
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

/// Whether a token keeps a group, read from the lists.
pub fn keeps(kept: &KeptGroups, token: usize, group: usize) -> bool {
    kept.of(group).contains(&(token as u32))
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

/// Asserts that values differ by at most `tolerance` times the largest one.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .fold(1e-2f64, |largest, value| largest.max(value.abs()));
    for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= tolerance * largest,
            "{what}, element {index}: {found}, expected {expected}"
        );
    }
}
