//! Kernels against scalar references in f64, on ragged sizes, and with several numbers of threads.

use learned_dropout_kernels::attention;
use learned_dropout_kernels::cross_entropy::{self, linear_cross_entropy};
use learned_dropout_kernels::mask::{self, Keep, Moment};
use learned_dropout_kernels::matrix::{View, product};
use learned_dropout_kernels::random::{Philox, unit};
use learned_dropout_kernels::{gelu, layer_norm};
use proptest::prelude::*;

/// Errors of f32 sums grow at most with their length, here up to a few hundred terms of 6e-8.
const TOLERANCE: f64 = 2e-5;

fn values(count: usize, seed: u64) -> Vec<f32> {
    let generator = Philox::new(seed, 0);
    (0..count as u64)
        .map(|i| generator.normal_pair(i)[0] as f32)
        .collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-2f64, |largest, value| largest.max(value.abs()));
    for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= TOLERANCE * largest,
            "element {index}: {found}, expected {expected}"
        );
    }
}

/// Runs a kernel on 1, 2 and 5 threads; all must give the same bits.
fn on_any_threads<T: PartialEq + Send>(kernel: impl Fn() -> T + Sync) -> T {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(&kernel)
    };
    let result = run(1);
    assert!(
        run(2) == result && run(5) == result,
        "the result depends on the threads"
    );
    result
}

fn naive_attention(packed: &[f32], shape: attention::Shape) -> Vec<f64> {
    let attention::Shape {
        batch,
        time,
        heads,
        size,
    } = shape;
    let width = heads * size;
    let at = |b: usize, t: usize, part: usize, h: usize, c: usize| {
        f64::from(packed[(b * time + t) * 3 * width + part * width + h * size + c])
    };
    let mut output = vec![0.0; batch * time * width];
    for (b, t, h) in
        (0..batch).flat_map(|b| (0..time).flat_map(move |t| (0..heads).map(move |h| (b, t, h))))
    {
        let score = |s: usize| -> f64 {
            let dot: f64 = (0..size)
                .map(|c| at(b, t, 0, h, c) * at(b, s, 1, h, c))
                .sum();
            dot / (size as f64).sqrt()
        };
        let weights: Vec<f64> = (0..=t).map(|s| score(s).exp()).collect();
        let total: f64 = weights.iter().sum();
        for c in 0..size {
            let sum: f64 = (0..=t).map(|s| weights[s] * at(b, s, 2, h, c)).sum();
            output[(b * time + t) * width + h * size + c] = sum / total;
        }
    }
    output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn products_of_views(rows in 1usize..40, inner in 1usize..40, columns in 1usize..40, gap in 0usize..5) {
        let left = values(rows * (inner + gap), 1);
        let right = values(columns * inner, 2);
        let multiply = || {
            let mut output = vec![1.0; rows * (columns + gap)];
            let left = View::new(&left, rows, inner, inner + gap);
            let right = View::new(&right, columns, inner, inner).transposed();
            product(&mut output, columns + gap, left, right, 2.0, true, true);
            output
        };
        let expected: Vec<f64> = (0..rows * (columns + gap)).map(|index| {
            let (row, column) = (index / (columns + gap), index % (columns + gap));
            if column >= columns { return 1.0 }
            let terms = (0..inner).map(|i| {
                f64::from(left[row * (inner + gap) + i]) * f64::from(right[column * inner + i])
            });
            1.0 + 2.0 * terms.sum::<f64>()
        }).collect();
        assert_close(&on_any_threads(multiply), &expected);
    }

    #[test]
    fn attention_of_heads(batch in 1usize..4, time in 1usize..50, heads in 1usize..4, size in 1usize..33) {
        let shape = attention::Shape { batch, time, heads, size };
        let packed = values(batch * time * 3 * heads * size, 3);
        let attend = || {
            let mut output = vec![0.0; batch * time * heads * size];
            attention::forward(&mut output, &packed, shape, None);
            output
        };
        assert_close(&on_any_threads(attend), &naive_attention(&packed, shape));
        let gradient = values(batch * time * heads * size, 4);
        on_any_threads(|| {
            let mut output = vec![0.0; packed.len()];
            attention::backward(&mut output, &gradient, &packed, shape, None);
            output
        });
    }

    #[test]
    fn losses(tokens in 1usize..70, width in 1usize..20, vocabulary in 1usize..200) {
        let (hidden, weight) = (values(tokens * width, 5), values(vocabulary * width, 6));
        let targets: Vec<u32> = (0..tokens).map(|i| (i * 31 % vocabulary) as u32).collect();
        let shape = cross_entropy::Shape { tokens, width, vocabulary };
        let (loss, gradients) = on_any_threads(|| {
            let (loss, gradients) = linear_cross_entropy(&hidden, &weight, &targets, shape, true);
            let gradients = gradients.expect("asked for");
            (loss, (gradients.hidden, gradients.weight))
        });
        let mut expected = 0.0;
        let mut dhidden = vec![0.0; tokens * width];
        for token in 0..tokens {
            let logit = |word: usize| -> f64 {
                (0..width)
                    .map(|c| f64::from(hidden[token * width + c]) * f64::from(weight[word * width + c]))
                    .sum()
            };
            let total: f64 = (0..vocabulary).map(|word| logit(word).exp()).sum();
            let target = targets[token] as usize;
            expected += (total.ln() - logit(target)) / tokens as f64;
            for word in 0..vocabulary {
                let share = logit(word).exp() / total - f64::from(u8::from(word == target));
                for c in 0..width {
                    dhidden[token * width + c] +=
                        share * f64::from(weight[word * width + c]) / tokens as f64;
                }
            }
        }
        assert_close(&[loss], &[expected]);
        assert_close(&gradients.0, &dhidden);
    }

    #[test]
    fn masks(rows in 1usize..300, width in 1usize..150, scale in 0.1f32..40.0) {
        let count = rows * width;
        let x = values(count, 7);
        let attended: Vec<f32> = values(count, 8).iter().map(|value| value * scale).collect();
        let shift = values(width, 9);
        let noise = Philox::new(11, 12);
        let found = on_any_threads(|| {
            let mut output = vec![0.0; count];
            mask::product(&mut output, &x, &attended, &shift, Keep::Random(noise));
            output
        });
        let exact = |i: usize| {
            0.5 * f64::from(attended[i] + shift[i % width]).cos() + 0.5
        };
        for (i, &found) in found.iter().enumerate() {
            let number = f64::from(unit(noise.number(i as u64)));
            // The cosine is known to 1e-6: noise as close as that may fall on either side.
            if (number - exact(i)).abs() > 1e-6 {
                let expected = if number <= exact(i) { x[i] } else { 0.0 };
                assert_eq!(found, expected, "element {i}");
            }
        }
        let mean = on_any_threads(|| mask::mean(&attended, &shift, Moment::Squared));
        let expected = (0..count).map(|i| 0.5 * exact(i).powi(2)).sum::<f64>() / count as f64;
        assert_close(&[mean], &[expected]);
    }

    #[test]
    fn norms(rows in 1usize..200, width in 1usize..70) {
        let (x, weight) = (values(rows * width, 13), values(width, 14));
        let found = on_any_threads(|| {
            let mut output = vec![0.0; x.len()];
            layer_norm::forward(&mut output, &x, &weight, 1e-5);
            output
        });
        let expected: Vec<f64> = x.chunks(width).flat_map(|row| {
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
            let variance =
                row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
            let normal = move |v: f32| (f64::from(v) - mean) / (variance + 1e-5).sqrt();
            row.iter().zip(&weight).map(|(&v, &w)| normal(v) * f64::from(w)).collect::<Vec<_>>()
        }).collect();
        if width > 1 {
            assert_close(&found, &expected);
        }
        let gradient = values(x.len(), 15);
        on_any_threads(|| {
            let (mut dx, mut dweight) = (vec![0.0; x.len()], vec![0.0; width]);
            layer_norm::backward(&mut dx, &mut dweight, &gradient, &x, &weight, 1e-5);
            (dx, dweight)
        });
    }
}

#[test]
fn gelu_at_known_points() {
    // x Φ(x), from tables of the normal distribution.
    let x = [0.0, 1.0, -1.0, 2.0, -3.0, 30.0, -30.0];
    let expected = [
        0.0,
        0.841_344_746,
        -0.158_655_254,
        1.954_499_736,
        -0.004_049_694,
        30.0,
        0.0,
    ];
    let mut found = [0.0; 7];
    gelu::forward(&mut found, &x);
    assert_close(&found, &expected);
}

#[test]
fn a_mask_of_no_number_stays_none() {
    let mut output = [0.0; 2];
    mask::product(
        &mut output,
        &[1.0, 1.0],
        &[f32::NAN, 0.0],
        &[0.0, 0.0],
        Keep::Threshold(0.5),
    );
    assert_eq!(output, [0.0, 1.0]);
    assert!(mask::mean(&[f32::NAN, 0.0], &[0.0, 0.0], Moment::Squared).is_nan());
}

#[test]
#[should_panic(expected = "inner dimensions differ")]
fn products_that_do_not_fit_are_refused() {
    let values = [0.0; 6];
    let (left, right) = (View::new(&values, 2, 3, 3), View::new(&values, 2, 3, 3));
    product(&mut [0.0; 4], 2, left, right, 1.0, false, false);
}
