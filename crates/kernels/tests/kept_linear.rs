//! The linear layer over kept groups of inputs against scalar sums in f64.

mod common;

use common::bounded::{BF16, Bounded, assert_bounded, product};
use common::{at_every_level, cases, mask, on_any_threads, values};
use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::kept_linear;
use learned_dropout_kernels::linear::Shape;
use learned_dropout_kernels::product::Precision;
use proptest::prelude::*;

/// The products of the rows of two matrices, `[lefts, rights]`.
fn products(left: &[Vec<Bounded>], right: &[Vec<Bounded>]) -> Vec<Bounded> {
    let of = |left: &Vec<Bounded>| {
        let left = left.clone();
        right
            .iter()
            .map(move |right| product(left.iter().zip(right)))
    };
    left.iter().flat_map(of).collect()
}

fn transposed(rows: &[Vec<Bounded>], columns: usize) -> Vec<Vec<Bounded>> {
    (0..columns)
        .map(|column| rows.iter().map(|row| row[column]).collect())
        .collect()
}

proptest! {
    #![proptest_config(cases(24))]

    /// Inputs that are not kept are NaN: they must not be read.
    #[test]
    fn kept_groups_forward_and_backward(
        tokens in 0usize..250, groups in 1usize..6, group in 1usize..40, outputs in 1usize..160,
        kind in 0usize..6, rounds in any::<bool>(),
    ) {
        let inputs = groups * group;
        let shape = Shape { tokens, inputs, outputs };
        let (precision, relative) = if rounds {
            (Precision::Bf16, BF16)
        } else {
            (Precision::F32, 0.0)
        };
        let mask = mask(tokens, groups, kind);
        let (mut x, weight) = (values(tokens * inputs, 1), values(outputs * inputs, 2));
        let gradient = values(tokens * outputs, 3);
        for (place, value) in x.iter_mut().enumerate() {
            *value *= mask[place / group];
        }
        let rows = |values: &[f32], width: usize| -> Vec<Vec<Bounded>> {
            let of = |&value: &f32| Bounded::new(f64::from(value), 0.0).rounded(relative);
            values.chunks(width).map(|row| row.iter().map(of).collect()).collect()
        };
        let (of_x, of_weight) = (rows(&x, inputs), rows(&weight, inputs));
        let of_gradient = rows(&gradient, outputs);
        let y = products(&of_x, &of_weight);
        let dx: Vec<Bounded> = products(&of_gradient, &transposed(&of_weight, inputs))
            .into_iter()
            .enumerate()
            .map(|(place, value)| value.times(Bounded::new(f64::from(mask[place / group]), 0.0)))
            .collect();
        let dweight = products(&transposed(&of_gradient, outputs), &transposed(&of_x, inputs));
        for (place, value) in x.iter_mut().enumerate() {
            if mask[place / group] == 0.0 {
                *value = f32::NAN;
            }
        }
        let kept = KeptGroups::new(&mask, tokens, groups);
        at_every_level(|_| {
            let found = on_any_threads(|| kept_linear::forward(&x, &weight, &kept, shape, precision));
            assert_bounded(&found, &y, 1.0, "output");
            let [found_x, found_weight] = on_any_threads(|| {
                let found = kept_linear::backward(&gradient, &x, &weight, &kept, shape, precision);
                [found.x, found.weight]
            });
            assert_bounded(&found_x, &dx, 1.0, "input");
            assert_bounded(&found_weight, &dweight, 1.0, "weight");
        });
    }
}
