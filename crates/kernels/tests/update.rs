//! Updates of parameters, and sums and products element by element.

mod common;

use common::{
    TOLERANCE, assert_close, assert_within, at_every_level, cases, exact, on_any_threads, values,
};
use learned_dropout_kernels::update::{self, AdamW};
use proptest::prelude::*;

/// More values than one task takes: 16,384.
const COUNT: usize = 40_001;

proptest! {
    #![proptest_config(cases(16))]

    /// Repeats begin anywhere within the values of a task.
    #[test]
    fn values_that_are_repeated(repeats in 1usize..9, n in 1usize..9000) {
        let (x, shared) = (values(repeats * n, 1), values(n, 2));
        let mut expected = vec![0.0; n];
        for (i, x) in x.iter().enumerate() {
            expected[i % n] += f64::from(*x);
        }
        at_every_level(|_| {
            let sums = on_any_threads(|| update::add_repeated(&x, &shared));
            for (i, (sum, x)) in sums.iter().zip(&x).enumerate() {
                assert_eq!(*sum, x + shared[i % n]);
            }
            assert_eq!(sums.len(), x.len());
            let back = on_any_threads(|| update::sum_repeated(&x, n));
            assert_close(&back, &expected, TOLERANCE, "sums");
        });
    }
}

#[test]
fn sums_and_scales() {
    let (left, right) = (values(COUNT, 1), values(COUNT, 2));
    let expected: Vec<f32> = left.iter().zip(&right).map(|(l, r)| l + r).collect();
    let scaled: Vec<f32> = left.iter().map(|value| 0.3 * value).collect();
    let squares: f64 = exact(&left).iter().map(|value| value * value).sum();
    at_every_level(|_| {
        assert_eq!(on_any_threads(|| update::add(&left, &right)), expected);
        let found = on_any_threads(|| {
            let mut found = left.clone();
            update::scale(&mut found, 0.3);
            found
        });
        assert_eq!(found, scaled);
        let found = on_any_threads(|| update::sum_of_squares(&left));
        // Squares and sums are f64: 40,001 additions, each off by 2⁻⁵³ of the sum.
        assert!((found - squares).abs() <= 40_001.0 * 1.2e-16 * squares);
    });
}

#[test]
fn adamw_follows_its_formula() {
    let step = AdamW {
        betas: [0.9, 0.95],
        gradient_scale: 0.5,
        epsilon: 1e-8,
        decay_factor: 0.99,
        rate: 0.02,
        root_scale: 3.0,
    };
    let [p, m, g] = [1, 2, 3].map(|seed| values(COUNT, seed));
    let v: Vec<f32> = values(COUNT, 4).iter().map(|value| value * value).collect();
    let [beta_1, beta_2] = step.betas.map(f64::from);
    let rows = p.iter().zip(&m).zip(v.iter().zip(&g));
    let expected: Vec<[(f64, f64); 3]> = rows
        .map(|((&p, &m), (&v, &g))| {
            let [p, m, v, g] = [p, m, v, g].map(f64::from);
            let g = f64::from(step.gradient_scale) * g;
            let m = beta_1 * m + (1.0 - beta_1) * g;
            let v = beta_2 * v + (1.0 - beta_2) * g * g;
            let root = v.sqrt() * f64::from(step.root_scale) + f64::from(step.epsilon);
            let change = f64::from(step.rate) * m / root;
            let new = f64::from(step.decay_factor) * p - change;
            // Some ten roundings of 2⁻²⁴ each, of values up to the terms of each sum.
            let terms = [
                new.abs() + 2.0 * change.abs() + 0.02 / root,
                m.abs() + g.abs(),
                v,
            ];
            [
                (new, 6e-7 * terms[0]),
                (m, 6e-7 * terms[1]),
                (v, 6e-7 * terms[2]),
            ]
        })
        .collect();
    at_every_level(|_| {
        let found = on_any_threads(|| {
            let [mut p, mut m, mut v] = [p.clone(), m.clone(), v.clone()];
            update::adamw(&mut p, &mut m, &mut v, &g, step);
            [p, m, v]
        });
        for (index, what) in ["parameters", "first moments", "second moments"]
            .iter()
            .enumerate()
        {
            let expected = expected.iter().map(|values| values[index]);
            assert_within(&found[index], expected, what);
        }
    });
}
