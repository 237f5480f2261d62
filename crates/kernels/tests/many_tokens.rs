//! Products of many tokens with weights stored for decoding, against those of few.

use kernels::decode::{Columns, FeedForward, Format, Matrix};
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::random::{Philox, unit};
use kernels::team::Team;
use learned_dropout_kernels as kernels;
use proptest::prelude::*;

fn values(count: usize, scale: f32, stream: u64) -> Vec<f32> {
    let noise = Philox::new(7, stream);
    (0..count as u64)
        .map(|i| scale * (2.0 * unit(noise.number(i)) - 1.0))
        .collect()
}

fn assert_close(found: &[f32], expected: &[f32], most: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= most, "{found} {expected}");
    }
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads").install(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn matrices_of_all_formats(
        tokens in 0usize..230, outputs in 1usize..300, inputs in 1usize..70,
        format in prop::sample::select(&Format::ALL[..]),
    ) {
        let weight = values(outputs * inputs, 1.0, 1);
        let x = values(tokens * inputs, 1.0, 2);
        let matrix = Matrix::new(&weight, outputs, inputs, format);
        let mut expected = vec![0.0; tokens * outputs];
        matrix.multiply(&Team::new(1), &mut expected, &x);
        let of = |threads: usize, precision| {
            let mut y = vec![f32::NAN; tokens * outputs];
            on_threads(threads, || matrix.multiply_many(&mut y, &x, precision));
            y
        };
        // Sums of at most 69 terms of at most 1, each rounded to 2⁻²⁴ of at most 69.
        assert_close(&of(2, Precision::F32), &expected, 69.0 * 69.0 * 6e-8);
        assert_eq!(of(1, Precision::F32), of(3, Precision::F32));
        // The operands of each term are off by at most 2⁻⁹ each.
        assert_close(&of(2, Precision::Bf16), &expected, 69.0 * 2.1 / 512.0);
        let mut row = vec![0.0; inputs];
        matrix.row(outputs - 1, &mut row);
        let rounded = weight[(outputs - 1) * inputs..].iter().map(|&weight| format.round(weight));
        assert_eq!(row, rounded.collect::<Vec<f32>>());
    }

    #[test]
    fn feed_forwards_with_and_without_masks(
        tokens in 1usize..210, width in 1usize..50, group in 1usize..9, groups in 1usize..40,
    ) {
        let hidden = group * groups;
        let [up, down] = [1, 2].map(|stream| values(hidden * width, 0.5, stream));
        let layer = FeedForward::new(&up, &down, width, group, Format::F16);
        let x = values(tokens * width, 1.0, 3);
        let mask: Vec<f32> = values(tokens * groups, 1.0, 4)
            .into_iter()
            .map(|value| f32::from(value > 0.2))
            .collect();
        for mask in [None, Some(&mask[..])] {
            let kept = match mask {
                Some(mask) => KeptGroups::new(mask, tokens, groups),
                None => KeptGroups::all(tokens, groups),
            };
            let mut expected = vec![0.0; tokens * width];
            layer.forward(&Team::new(1), &mut expected, &x, &kept);
            let of = |threads: usize| {
                let mut y = vec![f32::NAN; tokens * width];
                on_threads(threads, || layer.forward_many(&mut y, &x, mask, Precision::F32));
                y
            };
            let found = of(2);
            // At most 320 hidden units times 0.5, each off by 50 roundings of at most 25.
            assert_close(&found, &expected, 320.0 * 0.5 * 50.0 * 25.0 * 6e-8);
            assert_eq!(found, of(1));
            let grouped = |threads: usize| {
                let mut y = vec![f32::NAN; tokens * width];
                on_threads(threads, || layer.forward_grouped(&mut y, &x, &kept, Precision::F32));
                y
            };
            let found = grouped(2);
            assert_close(&found, &expected, 320.0 * 0.5 * 50.0 * 25.0 * 6e-8);
            assert_eq!(found, grouped(1));
        }
    }

    #[test]
    fn matrices_with_groups_of_inputs(
        tokens in 1usize..130, outputs in 1usize..60, group in 1usize..20, groups in 1usize..12,
        format in prop::sample::select(&Format::ALL[..]), share in -1.1f32..1.1,
    ) {
        let inputs = group * groups;
        let weight = values(outputs * inputs, 1.0, 1);
        let mask: Vec<f32> = values(tokens * groups, 1.0, 4)
            .into_iter()
            .map(|value| f32::from(value < share))
            .collect();
        let x = values(tokens * inputs, 1.0, 2);
        let mut masked = x.clone();
        for (x, factor) in masked.chunks_exact_mut(group).zip(&mask) {
            x.iter_mut().for_each(|x| *x *= factor);
        }
        let mut expected = vec![0.0; tokens * outputs];
        Matrix::new(&weight, outputs, inputs, format).multiply(&Team::new(1), &mut expected, &masked);
        let columns = Columns::new(&weight, outputs, inputs, group, format);
        let kept = KeptGroups::new(&mask, tokens, groups);
        let few = |threads: usize| {
            let mut y = vec![f32::NAN; tokens * outputs];
            columns.multiply(&Team::new(threads), &mut y, &x, &kept);
            y
        };
        let many = |threads: usize| {
            let mut y = vec![f32::NAN; tokens * outputs];
            on_threads(threads, || columns.multiply_many(&mut y, &x, &kept, Precision::F32));
            y
        };
        // Sums of at most 209 terms of at most 1, each rounded to 2⁻²⁴ of at most 209.
        let most = 209.0 * 209.0 * 6e-8;
        assert_close(&few(2), &expected, most);
        assert_close(&many(2), &expected, most);
        assert_eq!((few(1), many(1)), (few(3), many(3)));
    }
}
