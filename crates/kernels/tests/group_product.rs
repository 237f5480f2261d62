//! Products of groups of channels and factors against their formula.

mod common;

use common::{TOLERANCE, assert_close, at_every_level, cases, on_any_threads, values};
use learned_dropout_kernels::group_product::{self, Shape};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn products_and_gradients(
        rows in 1usize..200, values_of_row in 1usize..9, group in 1usize..40, lead in 0usize..5,
        kept_only in any::<bool>(),
    ) {
        let width = lead + values_of_row * group;
        let (x, gradient) = (values(rows * width, 7), values(rows * width, 8));
        let mut factors = values(rows * values_of_row, 9);
        factors.iter_mut().step_by(3).for_each(|factor| *factor = 0.0);
        let shape = Shape { rows, width, values: values_of_row, group };
        let factor_of = |i: usize| {
            let (row, channel) = (i / width, i % width);
            channel.checked_sub(lead).map(|c| row * values_of_row + c / group)
        };
        let mut sums = vec![0.0; factors.len()];
        for i in 0..x.len() {
            let factor = factor_of(i);
            if let Some(factor) = factor.filter(|&factor| !kept_only || factors[factor] != 0.0) {
                sums[factor] += f64::from(x[i]) * f64::from(gradient[i]);
            }
        }
        at_every_level(|_| {
            let (y, (dx, dfactors)) = on_any_threads(|| {
                let gradients = group_product::backward(&gradient, &x, &factors, shape, kept_only);
                (group_product::forward(&x, &factors, shape), gradients)
            });
            for i in 0..x.len() {
                let by = factor_of(i).map_or(1.0, |factor| factors[factor]);
                assert_eq!((y[i], dx[i]), (x[i] * by, gradient[i] * by));
            }
            assert_close(&dfactors, &sums, TOLERANCE, "factors");
        });
    }
}
