//! Kernels against scalar references in f64, on ragged sizes, and with several numbers of threads.

use learned_dropout_kernels::linear::{self, Norm};
use learned_dropout_kernels::mask::{self, Keep, Moment};
use learned_dropout_kernels::product::Precision;
use learned_dropout_kernels::random::{Philox, unit};
use learned_dropout_kernels::{
    embedding, experts, feed_forward, gelu, group_product, layer_norm, update,
};
use proptest::prelude::*;

mod common;
use common::bounded::TOLERANCE;
use common::{on_any_threads, values};

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    assert_within(found, expected, 1.0);
}

/// Compares within a multiple of the tolerance.
#[track_caller]
fn assert_within(found: &[f32], expected: &[f64], multiple: f64) {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-2f64, |largest, value| largest.max(value.abs()));
    for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= multiple * TOLERANCE * largest,
            "element {index}: {found}, expected {expected}"
        );
    }
}

/// A linear layer in f64.
struct NaiveLinear<'a> {
    x: &'a [f32],
    norm: Option<Norm<'a>>,
    weight: &'a [f32],
    shape: linear::Shape,
}

impl NaiveLinear<'_> {
    /// Normalized rows without the weight of the norm, and what they were divided by.
    fn normal(&self) -> (Vec<f64>, Vec<f64>) {
        let inputs = self.shape.inputs;
        let mut scales = Vec::new();
        let mut normal: Vec<f64> = self.x.iter().map(|&v| f64::from(v)).collect();
        if let Some(norm) = self.norm {
            for row in normal.chunks_mut(inputs) {
                let mean = row.iter().sum::<f64>() / inputs as f64;
                row.iter_mut().for_each(|v| *v -= mean);
                let variance = row.iter().map(|v| v * v).sum::<f64>() / inputs as f64;
                let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
                row.iter_mut().for_each(|v| *v *= scale);
                scales.push(scale);
            }
        }
        (normal, scales)
    }

    fn gain(&self, channel: usize) -> f64 {
        self.norm
            .map_or(1.0, |norm| f64::from(norm.weight[channel]))
    }

    fn forward(&self) -> Vec<f64> {
        let (normal, _) = self.normal();
        let row = |x: &[f64]| -> Vec<f64> {
            let weights = self.weight.chunks(self.shape.inputs);
            let term = |(c, (x, &w)): (usize, (&f64, &f32))| x * self.gain(c) * f64::from(w);
            weights
                .map(|w| x.iter().zip(w).enumerate().map(term).sum())
                .collect()
        };
        normal.chunks(self.shape.inputs).flat_map(row).collect()
    }

    fn backward(&self, gradient: &[f32]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let linear::Shape {
            tokens,
            inputs,
            outputs,
        } = self.shape;
        let (normal, scales) = self.normal();
        let mut dx = vec![0.0; tokens * inputs];
        let mut dnorm = vec![0.0; self.norm.map_or(0, |_| inputs)];
        let mut dweight = vec![0.0; outputs * inputs];
        for t in 0..tokens {
            let dx = &mut dx[t * inputs..][..inputs];
            for o in 0..outputs {
                let dy = f64::from(gradient[t * outputs + o]);
                for c in 0..inputs {
                    dx[c] += dy * f64::from(self.weight[o * inputs + c]);
                    dweight[o * inputs + c] += dy * normal[t * inputs + c] * self.gain(c);
                }
            }
            if self.norm.is_some() {
                let normal = &normal[t * inputs..][..inputs];
                for c in 0..inputs {
                    dnorm[c] += dx[c] * normal[c];
                    dx[c] *= self.gain(c);
                }
                let mean = dx.iter().sum::<f64>() / inputs as f64;
                let along = dx.iter().zip(normal).map(|(d, n)| d * n).sum::<f64>() / inputs as f64;
                for (d, n) in dx.iter_mut().zip(normal) {
                    *d = (*d - mean - n * along) * scales[t];
                }
            }
        }
        (dx, dnorm, dweight)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn linear_layers(tokens in 0usize..130, inputs in 1usize..40, outputs in 1usize..40, normed in any::<bool>()) {
        let (x, weight) = (values(tokens * inputs, 1), values(outputs * inputs, 2));
        let (gain, gradient) = (values(inputs, 3), values(tokens * outputs, 4));
        let norm = normed.then_some(Norm { weight: &gain, epsilon: 1e-2 });
        let shape = linear::Shape { tokens, inputs, outputs };
        let run = || {
            let y = linear::forward(&x, norm, &weight, shape, Precision::F32);
            let found = linear::backward(&gradient, &x, norm, &weight, shape, Precision::F32);
            (y, (found.x, found.norm, found.weight))
        };
        let (y, (dx, dnorm, dweight)) = on_any_threads(run);
        let layer = NaiveLinear { x: &x, norm, weight: &weight, shape };
        assert_close(&y, &layer.forward());
        let (expected_dx, expected_dnorm, expected_dweight) = layer.backward(&gradient);
        assert_close(&dx, &expected_dx);
        assert_close(&dweight, &expected_dweight);
        assert_close(&dnorm, &expected_dnorm);
    }

    #[test]
    fn feed_forwards(
        tokens in 0usize..110, width in 1usize..20, hidden in 1usize..50, normed in any::<bool>(),
        rounds in any::<bool>(),
    ) {
        let (x, gain) = (values(tokens * width, 1), values(width, 2));
        let (up, down) = (values(hidden * width, 3), values(hidden * width, 4));
        let gradient = values(tokens * width, 5);
        let norm = normed.then_some(Norm { weight: &gain, epsilon: 1e-2 });
        let weights = feed_forward::Weights { norm, up: &up, down: &down };
        let shape = feed_forward::Shape { tokens, width, hidden };
        let precision = if rounds { Precision::Bf16 } else { Precision::F32 };
        let all = |found: feed_forward::Gradients| (found.x, found.norm, found.up, found.down);
        let (y, found) = on_any_threads(|| {
            let y = feed_forward::forward(&x, &weights, shape, precision);
            (y, all(feed_forward::backward(&gradient, &x, &weights, shape, precision)))
        });
        let (same, before) = feed_forward::forward_keeping(&x, &weights, shape, precision);
        prop_assert_eq!(&same, &y);
        let same = feed_forward::backward_kept(&gradient, &x, &weights, &before, shape, precision);
        prop_assert_eq!(&all(same), &found);
        // The parts, which are tested by themselves, one after the other.
        let into = linear::Shape { tokens, inputs: width, outputs: hidden };
        let out = linear::Shape { tokens, inputs: hidden, outputs: width };
        let before = linear::forward(&x, norm, &up, into, precision);
        let units = gelu::forward(&before);
        let expected = linear::forward(&units, None, &down, out, precision);
        let last = linear::backward(&gradient, &units, None, &down, out, precision);
        let dbefore = gelu::backward(&last.x, &before);
        let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
        let exact = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        assert_close(&y, &exact(&expected));
        assert_close(&found.0, &exact(&first.x));
        assert_close(&found.1, &exact(&first.norm));
        assert_close(&found.2, &exact(&first.weight));
        assert_close(&found.3, &exact(&last.weight));
    }

    /// Against a whole feed-forward for every expert, times its gates. One expert has no token.
    #[test]
    fn gated_experts(
        tokens in 1usize..130, width in 1usize..20, hidden in 1usize..40, count in 1usize..5,
        share in 0u64..=8,
    ) {
        let x = values(tokens * width, 1);
        let (up, down) = (values(count * hidden * width, 2), values(count * hidden * width, 3));
        let gradient = values(tokens * width, 4);
        let chosen = Philox::new(7, share);
        let mut gates = values(tokens * count, 5);
        for (index, gate) in gates.iter_mut().enumerate() {
            let unused = index % count == 1 || chosen.below(index as u64, 8) >= share;
            if unused { *gate = 0.0 }
        }
        let weights = experts::Weights { up: &up, down: &down };
        let shape = experts::Shape { tokens, width, hidden, experts: count };
        let (y, found) = on_any_threads(|| {
            let y = experts::forward(&x, &gates, &weights, shape, Precision::F32);
            let found = experts::backward(&gradient, &x, &gates, &weights, shape, Precision::F32);
            (y, (found.x, found.gates, found.up, found.down))
        });
        let (mut expected, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let mut expected_rounded = expected.clone();
        let (mut dgates, mut dup, mut ddown) = (vec![0.0; gates.len()], vec![], vec![]);
        for expert in 0..count {
            let range = expert * hidden * width..(expert + 1) * hidden * width;
            let weights = feed_forward::Weights {
                norm: None, up: &up[range.clone()], down: &down[range],
            };
            let shape = feed_forward::Shape { tokens, width, hidden };
            let gate = |index: usize| gates[index / width * count + expert];
            let output = feed_forward::forward(&x, &weights, shape, Precision::F32);
            let rounded = feed_forward::forward(&x, &weights, shape, Precision::Bf16);
            let gated: Vec<f32> = gradient.iter().enumerate().map(|(i, g)| g * gate(i)).collect();
            let back = feed_forward::backward(&gated, &x, &weights, shape, Precision::F32);
            for index in 0..x.len() {
                expected[index] += f64::from(output[index] * gate(index));
                expected_rounded[index] += f64::from(rounded[index] * gate(index));
                dx[index] += f64::from(back.x[index]);
                if gate(index) != 0.0 {
                    dgates[index / width * count + expert] +=
                        f64::from(gradient[index]) * f64::from(output[index]);
                }
            }
            dup.extend(back.up.into_iter().map(f64::from));
            ddown.extend(back.down.into_iter().map(f64::from));
        }
        assert_close(&y, &expected);
        assert_close(&found.0, &dx);
        let rounded = experts::forward(&x, &gates, &weights, shape, Precision::Bf16);
        assert_close(&rounded, &expected_rounded);
        assert_close(&found.1, &dgates);
        assert_close(&found.2, &dup);
        assert_close(&found.3, &ddown);
    }

    #[test]
    fn rows_of_tables(entries in 1usize..50, width in 1usize..20, count in 0usize..200) {
        let (table, gradient) = (values(entries * width, 1), values(count * width, 2));
        let ids: Vec<u32> = (0..count).map(|i| (i * i % entries) as u32).collect();
        let rows = on_any_threads(|| embedding::gather(&table, &ids, width));
        let mut sums = table.clone();
        embedding::scatter_add(&mut sums, &ids, &gradient, width);
        let mut expected: Vec<f64> = table.iter().map(|&v| f64::from(v)).collect();
        for (i, &id) in ids.iter().enumerate() {
            for c in 0..width {
                let at = id as usize * width + c;
                assert_eq!(rows[i * width + c], table[at]);
                expected[at] += f64::from(gradient[i * width + c]);
            }
        }
        assert_close(&sums, &expected);
    }

    /// Over the edges of what a task takes, 16,384 values, wherever they fall among the repeats.
    #[test]
    fn values_that_are_repeated(repeats in 1usize..9, n in 1usize..9000) {
        let (x, shared) = (values(repeats * n, 1), values(n, 2));
        let sums = on_any_threads(|| update::add_repeated(&x, &shared));
        let back = on_any_threads(|| update::sum_repeated(&x, n));
        let mut expected = vec![0.0; n];
        for (i, x) in x.iter().enumerate() {
            prop_assert_eq!(sums[i], x + shared[i % n]);
            expected[i % n] += f64::from(*x);
        }
        assert_close(&back, &expected);
    }

    #[test]
    fn masks(rows in 1usize..300, width in 1usize..150, scale in 0.1f32..40.0) {
        let count = rows * width;
        let x = values(count, 7);
        let attended: Vec<f32> = values(count, 8).iter().map(|value| value * scale).collect();
        let shift = values(width, 9);
        let noise = Philox::new(11, 12);
        let found = on_any_threads(|| mask::product(&x, &attended, &shift, Keep::Random(noise)));
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
    fn products_of_groups(
        rows in 1usize..200, values_of_row in 1usize..9, group in 1usize..40, lead in 0usize..5,
        kept_only in any::<bool>(),
    ) {
        let width = lead + values_of_row * group;
        let (x, gradient) = (values(rows * width, 7), values(rows * width, 8));
        let mut factors = values(rows * values_of_row, 9);
        factors.iter_mut().step_by(3).for_each(|factor| *factor = 0.0);
        let shape = group_product::Shape { rows, width, values: values_of_row, group };
        let (y, (dx, dfactors)) = on_any_threads(|| {
            let gradients = group_product::backward(&gradient, &x, &factors, shape, kept_only);
            (group_product::forward(&x, &factors, shape), gradients)
        });
        let mut sums = vec![0.0; factors.len()];
        for i in 0..x.len() {
            let (row, channel) = (i / width, i % width);
            let factor = channel.checked_sub(lead).map(|c| row * values_of_row + c / group);
            let by = factor.map_or(1.0, |factor| factors[factor]);
            assert_eq!((y[i], dx[i]), (x[i] * by, gradient[i] * by));
            if let Some(factor) = factor.filter(|&factor| !kept_only || factors[factor] != 0.0) {
                sums[factor] += f64::from(x[i]) * f64::from(gradient[i]);
            }
        }
        assert_close(&dfactors, &sums);
    }

    #[test]
    fn feed_forwards_with_factors(
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
        let weights = feed_forward::Weights { norm, up: &up, down: &down };
        let shape = feed_forward::Shape { tokens, width, hidden };
        let factors = Some(feed_forward::Factors { values: &of_groups, group, kept_only });
        let precision = Precision::F32;
        let (y, found) = on_any_threads(|| {
            let y = feed_forward::forward_masked(&x, &weights, factors, shape, precision);
            let found =
                feed_forward::backward_masked(&gradient, &x, &weights, factors, shape, precision);
            (y, (found.x, found.norm, found.up, found.down, found.factors))
        });
        // The parts, which are tested by themselves, one after the other.
        let into = linear::Shape { tokens, inputs: width, outputs: hidden };
        let out = linear::Shape { tokens, inputs: hidden, outputs: width };
        let of_rows = group_product::Shape { rows: tokens, width: hidden, values: groups, group };
        let before = linear::forward(&x, norm, &up, into, precision);
        let units = gelu::forward(&before);
        let masked = group_product::forward(&units, &of_groups, of_rows);
        let expected = linear::forward(&masked, None, &down, out, precision);
        let last = linear::backward(&gradient, &masked, None, &down, out, precision);
        let (dunits, dfactors) =
            group_product::backward(&last.x, &units, &of_groups, of_rows, kept_only);
        let dbefore = gelu::backward(&dunits, &before);
        let first = linear::backward(&dbefore, &x, norm, &up, into, precision);
        let exact = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        assert_close(&y, &exact(&expected));
        assert_close(&found.0, &exact(&first.x));
        assert_close(&found.1, &exact(&first.norm));
        assert_close(&found.2, &exact(&first.weight));
        assert_close(&found.3, &exact(&last.weight));
        assert_close(&found.4, &exact(&dfactors));
    }

    #[test]
    fn norms(rows in 1usize..200, width in 1usize..70) {
        let (x, weight) = (values(rows * width, 13), values(width, 14));
        let found = on_any_threads(|| layer_norm::forward(&x, &weight, 1e-5));
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
        on_any_threads(|| layer_norm::backward(&gradient, &x, &weight, 1e-5));
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
    assert_close(&gelu::forward(&x), &expected);
}

#[test]
fn a_mask_of_no_number_stays_none() {
    let output = mask::product(
        &[1.0, 1.0],
        &[f32::NAN, 0.0],
        &[0.0, 0.0],
        Keep::Threshold(0.5),
    );
    assert_eq!(output, [0.0, 1.0]);
    assert!(mask::mean(&[f32::NAN, 0.0], &[0.0, 0.0], Moment::Squared).is_nan());
}
