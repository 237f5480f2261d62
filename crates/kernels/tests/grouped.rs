//! Grouped feed-forwards against scalar sums in f64 and against the dense kernels.

mod common;

use common::{
    TOLERANCE, activated, activation, assert_close, assert_within, at_every_level, cases, exact,
    factors, mask, on_any_threads, values,
};
use learned_dropout_kernels::activation::Activation;
use learned_dropout_kernels::feed_forward::{
    self, Factors, OutputGradients, Shape, Wanted, Weights,
};
use learned_dropout_kernels::grouped::{self, Prepared};
use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::linear::Norm;
use learned_dropout_kernels::matrix::View;
use learned_dropout_kernels::product::{
    Engine, OutputBlock, Packed, Precision, bfloat, multiply_scattered,
};
use proptest::prelude::*;

/// A feed-forward in f64.
struct Naive<'a> {
    x: &'a [f32],
    weights: Weights<'a>,
    /// `[tokens, groups]`, 0 where a group is dropped.
    factors: &'a [f32],
    groups: usize,
    shape: Shape,
}

struct NaiveGradients {
    y: Vec<f64>,
    x: Vec<f64>,
    norm: Vec<f64>,
    up: Vec<f64>,
    down: Vec<f64>,
    factors: Vec<f64>,
    /// The sum of the kept units, and that of their magnitudes.
    sum: (f64, f64),
    /// The smallest magnitude of the input of the activation function.
    nearest_to_zero: f64,
}

impl Naive<'_> {
    /// A normalized row without the weight of the norm, and the reciprocal deviation.
    fn normal(&self, token: usize) -> (Vec<f64>, f64) {
        let width = self.shape.width;
        let mut row: Vec<f64> = self.x[token * width..][..width]
            .iter()
            .map(|&v| f64::from(v))
            .collect();
        let Some(norm) = self.weights.norm else {
            return (row, 1.0);
        };
        let mean = row.iter().sum::<f64>() / width as f64;
        row.iter_mut().for_each(|v| *v -= mean);
        let variance = row.iter().map(|v| v * v).sum::<f64>() / width as f64;
        let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
        row.iter_mut().for_each(|v| *v *= scale);
        (row, scale)
    }

    fn compute(&self, gradient: &[f32], dsum: f32) -> NaiveGradients {
        let Shape {
            tokens,
            width,
            hidden,
        } = self.shape;
        let Weights {
            norm,
            up,
            activation,
            down,
        } = self.weights;
        let (groups, group) = (self.groups, hidden / self.groups);
        let gain = |c: usize| norm.map_or(1.0, |norm| f64::from(norm.weight[c]));
        let mut all = NaiveGradients {
            y: vec![0.0; tokens * width],
            x: vec![0.0; tokens * width],
            norm: vec![0.0; norm.map_or(0, |_| width)],
            up: vec![0.0; hidden * width],
            down: vec![0.0; hidden * width],
            factors: vec![0.0; tokens * groups],
            sum: (0.0, 0.0),
            nearest_to_zero: f64::INFINITY,
        };
        for t in 0..tokens {
            let (row, scale) = self.normal(t);
            let mut dnormal = vec![0.0; width];
            for u in 0..hidden {
                let place = t * groups + u / group;
                let factor = f64::from(self.factors[place]);
                if factor == 0.0 {
                    continue;
                }
                let up_row = &up[u * width..][..width];
                let before: f64 = (0..width)
                    .map(|c| row[c] * gain(c) * f64::from(up_row[c]))
                    .sum();
                let (unit, derivative) = activated(activation, before);
                all.sum.0 += unit;
                all.sum.1 += unit.abs();
                all.nearest_to_zero = all.nearest_to_zero.min(before.abs());
                let mut dproduct = 0.0;
                for c in 0..width {
                    let dy = f64::from(gradient[t * width + c]);
                    all.y[t * width + c] += factor * unit * f64::from(down[c * hidden + u]);
                    all.down[c * hidden + u] += factor * unit * dy;
                    dproduct += dy * f64::from(down[c * hidden + u]);
                }
                all.factors[place] += unit * dproduct;
                let dbefore = (factor * dproduct + f64::from(dsum)) * derivative;
                for c in 0..width {
                    all.up[u * width + c] += dbefore * row[c] * gain(c);
                    dnormal[c] += dbefore * f64::from(up_row[c]);
                }
            }
            if norm.is_some() {
                for c in 0..width {
                    all.norm[c] += dnormal[c] * row[c];
                    dnormal[c] *= gain(c);
                }
                let mean = dnormal.iter().sum::<f64>() / width as f64;
                let along: f64 = dnormal.iter().zip(&row).map(|(d, n)| d * n).sum();
                let along = along / width as f64;
                for (d, n) in dnormal.iter_mut().zip(&row) {
                    *d = (*d - mean - n * along) * scale;
                }
            }
            all.x[t * width..][..width].copy_from_slice(&dnormal);
        }
        all
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn feed_forwards(
        tokens in 0usize..130, width in 1usize..75, groups in 1usize..7,
        group in prop::sample::select(&[1usize, 3, 8, 16, 32, 40]),
        kind in 0usize..9, normed in any::<bool>(), activation in activation(),
        carried in any::<bool>(), summed in any::<bool>(),
    ) {
        let hidden = groups * group;
        let scale = 1.0 / (width as f32).sqrt();
        let scaled = |count, seed| values(count, seed).iter().map(|v| v * scale).collect::<Vec<_>>();
        let (x, gain) = (values(tokens * width, 1), values(width, 2));
        let (up, down) = (scaled(hidden * width, 3), scaled(hidden * width, 4));
        let gradient = values(tokens * width, 5);
        let norm = normed.then_some(Norm { weight: &gain, epsilon: 1e-2 });
        let weights = Weights { norm, up: &up, activation, down: &down };
        let shape = Shape { tokens, width, hidden };
        let of_groups = factors(&mask(tokens, groups, kind), carried);
        let kept = KeptGroups::with_factors(&of_groups, tokens, groups);
        let f32 = Precision::F32;
        let dsum = if summed { 0.7 } else { 0.0 };
        let naive = Naive { x: &x, weights, factors: &of_groups, groups, shape };
        let naive = naive.compute(&gradient, dsum);
        // ReLU has two slopes at 0, and errors choose between them.
        prop_assume!(activation != Activation::Relu || naive.nearest_to_zero > 1e-5);
        at_every_level(|_| {
            let (y, sum, prepared, found) = on_any_threads(|| {
                let y = grouped::forward(&x, &weights, &kept, shape, f32);
                let (same, sum) = grouped::forward_with_sum(&x, &weights, &kept, shape, f32);
                assert_eq!(same, y);
                let prepared = Prepared::new(&up, &down, width, group, activation, f32);
                let gradients = OutputGradients { y: &gradient, sum: dsum };
                let found = if summed {
                    grouped::backward_with_sum(gradients, &x, &weights, &kept, shape, f32)
                } else {
                    grouped::backward(&gradient, &x, &weights, &kept, shape, f32)
                };
                let found = [found.x, found.norm, found.up, found.down, found.factors];
                (y, sum, prepared.forward(&x, norm, &kept), found)
            });
            assert_eq!(y, prepared);
            let [dx, dnorm, dup, ddown, dfactors] = &found;
            assert_close(&y, &naive.y, TOLERANCE, "output");
            assert_within(&[sum.sum], [(naive.sum.0, TOLERANCE * naive.sum.1)], "sum");
            assert_close(dup, &naive.up, TOLERANCE, "up");
            assert_close(ddown, &naive.down, TOLERANCE, "down");
            assert_close(dfactors, &naive.factors, TOLERANCE, "factors");
            // A norm divides by a deviation that can be as small as a tenth here.
            assert_close(dx, &naive.x, if normed { 10.0 * TOLERANCE } else { TOLERANCE }, "input");
            assert_close(dnorm, &naive.norm, TOLERANCE, "norm");
            let of_groups = Factors { values: &of_groups, group, kept_only: true };
            let of_groups = Some(of_groups);
            let wanted = Wanted { before: false, sum: true };
            let dense = feed_forward::forward_with(&x, &weights, of_groups, wanted, shape, f32);
            assert_close(&y, &exact(&dense.y), TOLERANCE, "dense output");
            assert!(sum.not_zero.abs_diff(dense.sum.not_zero) <= 1, "{sum:?} {:?}", dense.sum);
            let gradients = OutputGradients { y: &gradient, sum: dsum };
            let dense = feed_forward::backward_with(
                gradients, &x, &weights, of_groups, &[], shape, f32,
            );
            assert_close(dup, &exact(&dense.up), TOLERANCE, "dense up");
            assert_close(ddown, &exact(&dense.down), TOLERANCE, "dense down");
            assert_close(dfactors, &exact(&dense.factors), TOLERANCE, "dense factors");
        });
    }

    #[test]
    fn every_engine_scatters(
        all in 1usize..90, inner in 0usize..70, width in 1usize..140, block in 0usize..5,
        share in 1usize..5, many_terms in any::<bool>(),
    ) {
        let inner = if many_terms { inner * 9 } else { inner };
        let rows: Vec<u32> = (0..all as u32).filter(|row| row % share as u32 == 0).collect();
        let rows: Vec<u32> = rows.into_iter().map(|row| row + 7).collect();
        let (left, right) = (values(rows.len() * inner, 1), values(inner * width, 2));
        let first = (block * OutputBlock::COLUMNS).min((width - 1) / OutputBlock::COLUMNS * OutputBlock::COLUMNS);
        let columns = first..width.min(first + 2 * OutputBlock::COLUMNS);
        let before = values(all * columns.len(), 3);
        let mut expected = exact(&before);
        let round = |value: f32| f64::from(bfloat::from_bits(bfloat::to_bits(value)));
        for (place, &row) in rows.iter().enumerate() {
            for column in columns.clone() {
                let terms = (0..inner).map(|i| {
                    round(left[place * inner + i]) * round(right[i * width + column])
                });
                let to = (row as usize - 7) * columns.len() + column - first;
                expected[to] += terms.sum::<f64>();
            }
        }
        at_every_level(|_| {
            for engine in Engine::available() {
                let right_view = View::new(&right, inner, width, width);
                let packed = Packed::for_engine(right_view, engine, Precision::Bf16);
                let mut found = before.clone();
                let target = OutputBlock { values: &mut found, first_row: 7, columns: columns.clone() };
                let left = View::new(&left, rows.len(), inner, inner);
                multiply_scattered(target, &rows, left, &packed);
                assert_close(&found, &expected, TOLERANCE, engine.name());
            }
        });
    }
}

/// Operands rounded to bf16 change each product by at most 2⁻⁷ of itself.
#[test]
fn operands_are_rounded_where_asked_for() {
    let (tokens, width, hidden, groups) = (40, 96, 128, 4);
    let (x, up) = (values(tokens * width, 1), values(hidden * width, 2));
    let down = values(hidden * width, 3);
    let kept = KeptGroups::new(&mask(tokens, groups, 5), tokens, groups);
    let forward = |precision| {
        Prepared::new(
            &up,
            &down,
            width,
            hidden / groups,
            Activation::Gelu,
            precision,
        )
        .forward(&x, None, &kept)
    };
    at_every_level(|_| {
        let (whole, rounded) = (forward(Precision::F32), forward(Precision::Bf16));
        assert_ne!(whole, rounded);
        assert_close(&rounded, &exact(&whole), 2e-2, "bf16");
    });
}

#[test]
fn few_kept_groups_are_faster() {
    let f32 = Precision::F32;
    at_every_level(|_| {
        assert!(
            grouped::is_faster_than_dense(32, 0.25, f32)
                && grouped::is_faster_than_dense(16, 0.1, f32)
        );
        assert!(!grouped::is_faster_than_dense(1, 0.1, f32));
        for group in [1, 4, 8, 16, 32, 64] {
            assert!(!grouped::is_faster_than_dense(group, 1.0, f32));
            for percent in (0..=100).map(f64::from) {
                let faster = |group| grouped::is_faster_than_dense(group, percent / 100.0, f32);
                assert!(faster(2 * group) || !faster(group), "{group} at {percent}%");
            }
        }
    });
}

#[test]
#[should_panic(expected = "rows of the block")]
fn rows_outside_are_refused() {
    let values = [0.0; 64];
    let right = Packed::new(View::new(&values, 2, 32, 32), Precision::F32);
    let mut output = [0.0; 64];
    let target = OutputBlock {
        values: &mut output,
        first_row: 3,
        columns: 0..32,
    };
    multiply_scattered(target, &[5], View::new(&values, 1, 2, 2), &right);
}

#[test]
#[should_panic(expected = "groups do not divide")]
fn groups_that_do_not_divide_are_refused() {
    Prepared::new(
        &[0.0; 12],
        &[0.0; 12],
        2,
        4,
        Activation::Gelu,
        Precision::F32,
    );
}
