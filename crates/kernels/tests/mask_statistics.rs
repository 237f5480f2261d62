//! Statistics of masks against their definitions in f64, element by element.

mod common;

use common::{
    TOLERANCE, assert_close, at_every_level, cases, on_any_threads, scaled_values, values,
};
use learned_dropout_kernels::mask::{self, Keep};
use learned_dropout_kernels::mask_statistics::{
    MaskStatistics, differing_share, of_cosine, of_values,
};
use learned_dropout_kernels::random::Philox;
use proptest::prelude::*;

/// The statistics by loops over elements and over columns.
fn slow(masks: &[f32], kept: &[f32], width: usize) -> MaskStatistics {
    let share = |is: &dyn Fn(usize) -> bool, count: usize| {
        ((0..count).filter(|&index| is(index)).count() as f64 / count as f64) as f32
    };
    let mean = |of: &dyn Fn(f64) -> f64| {
        let sum: f64 = masks.iter().map(|&mask| of(f64::from(mask))).sum();
        (sum / masks.len() as f64) as f32
    };
    let rows = masks.len() / width;
    let column = |value: usize, side: f32| (0..rows).all(|row| kept[row * width + value] == side);
    let mut sides = vec![0; masks.len().div_ceil(16)];
    for (index, &mask) in masks.iter().enumerate() {
        if mask >= 0.5 {
            sides[index / 16] |= 1 << (index % 16);
        }
    }
    MaskStatistics {
        kept: share(&|index| kept[index] == 1.0, masks.len()),
        near_one: share(&|index| masks[index] > 0.9, masks.len()),
        near_zero: share(&|index| masks[index] < 0.1, masks.len()),
        entropy: mean(&|mask| -mask * (mask + 1e-9).log2()),
        squared: mean(&|mask| mask * mask / 2.0),
        never_kept: share(&|value| column(value, 0.0), width),
        always_kept: share(&|value| column(value, 1.0), width),
        sides,
    }
}

#[track_caller]
fn assert_same(found: &MaskStatistics, expected: &MaskStatistics) {
    for (found, expected, what) in [
        (found.entropy, expected.entropy, "entropy"),
        (found.squared, expected.squared, "squared"),
    ] {
        assert_close(&[found], &[f64::from(expected)], TOLERANCE, what);
    }
    // Counts are exact.
    let counted = MaskStatistics {
        entropy: expected.entropy,
        squared: expected.squared,
        ..found.clone()
    };
    assert_eq!(&counted, expected);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn cosines_and_values(
        rows in 1usize..300,
        width in 1usize..150,
        // Small scales leave the values of a row on one side for all rows.
        scale in prop_oneof![0.0f32..0.5, 0.5f32..40.0],
        rule in 0usize..3,
    ) {
        let count = rows * width;
        let (attended, shift) = (scaled_values(count, 8, scale), scaled_values(width, 9, 3.0));
        let generator = Philox::new(11, 12);
        let keep = [
            Keep::Random(generator),
            Keep::Threshold(0.5),
            Keep::Narrowed { generator, spread: 0.5 },
        ][rule];
        at_every_level(|_| {
            let mut masks = vec![f32::NAN; count];
            mask::values(&mut masks, &attended, &shift);
            let kept = mask::rounded(&attended, &shift, keep);
            let expected = slow(&masks, &kept, width);
            let found = on_any_threads(|| of_cosine(&attended, &shift, keep));
            assert_same(&found, &expected);
            assert_eq!(on_any_threads(|| of_values(&masks, &kept, width)), found);
            // Every other element on the other side.
            let other: Vec<f32> = masks
                .iter()
                .enumerate()
                .map(|(index, &mask)| match (index % 2, mask >= 0.5) {
                    (1, true) => 0.0,
                    (1, false) => 1.0,
                    _ => mask,
                })
                .collect();
            let other = of_values(&other, &kept, width).sides;
            let share = differing_share(&found.sides, &other, count);
            assert_eq!(share, ((count / 2) as f64 / count as f64) as f32);
            assert_eq!(differing_share(&other, &other, count), 0.0);
        });
    }
}

#[test]
fn statistics_worked_by_hand() {
    at_every_level(|_| {
        // Three rows of two values.
        let masks = [1.0, 0.5, 0.95, 0.25, 0.5, 0.0];
        let kept = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let found = of_values(&masks, &kept, 2);
        assert_eq!(found.sides, [0b01_0111]);
        assert_eq!([found.kept, found.near_one], [4.0 / 6.0, 2.0 / 6.0]);
        assert_eq!([found.near_zero, found.squared], [1.0 / 6.0, 2.465 / 12.0]);
        assert_eq!([found.never_kept, found.always_kept], [0.0, 0.5]);
        // 0.5 + 0.0703 + 0.5 + 0.5 bits: 0.95 · 0.0740006 is 0.0703.
        assert!(
            (found.entropy - 1.570_300_5 / 6.0).abs() < 1e-6,
            "{found:?}"
        );
        let dropped = of_values(&[0.2; 3], &[0.0; 3], 3);
        assert_eq!([dropped.never_kept, dropped.always_kept], [1.0, 0.0]);
        assert_eq!(differing_share(&[0b1010, 0], &[0b0110, 1], 20), 3.0 / 20.0);
    });
}

#[test]
fn nan_shows_in_the_means() {
    at_every_level(|_| {
        let found = of_cosine(&[f32::NAN, 0.0], &[0.0, 0.0], Keep::Threshold(0.5));
        assert!(found.kept.is_nan() && found.entropy.is_nan() && found.squared.is_nan());
        assert_eq!(found.sides, [0b10]);
        let wide = of_cosine(&[f32::NAN; 40], &values(40, 1), Keep::Threshold(0.5));
        assert!(wide.entropy.is_nan());
    });
}
