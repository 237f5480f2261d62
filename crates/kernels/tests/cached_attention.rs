//! Attention over cached keys and values against its formula in f64.

mod common;

use common::{assert_within, at_every_level, cases, on_any_threads, uniform_values};
use learned_dropout_kernels::cached_attention::Cache;
use learned_dropout_kernels::kept_groups::KeptGroups;
use learned_dropout_kernels::random::Philox;
use learned_dropout_kernels::team::Team;
use proptest::prelude::*;

/// The formula for all tokens.
fn expected(heads: usize, size: usize, packed: &[f32]) -> Vec<f64> {
    let width = heads * size;
    let tokens = packed.len() / (3 * width);
    let at = |token: usize, part: usize, channel: usize| {
        f64::from(packed[(token * 3 + part) * width + channel])
    };
    let mut output = vec![0.0; tokens * width];
    for token in 0..tokens {
        for head in 0..heads {
            let channels = || head * size..(head + 1) * size;
            let scores: Vec<f64> = (0..=token)
                .map(|other| {
                    let product: f64 = channels().map(|c| at(token, 0, c) * at(other, 1, c)).sum();
                    (product / (size as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = scores.iter().sum();
            for c in channels() {
                let sum = scores.iter().enumerate();
                output[token * width + c] = sum.map(|(t, s)| s / total * at(t, 2, c)).sum();
            }
        }
    }
    output
}

/// The attention of a cache for the tokens in parts that begin at `cuts`.
fn attended(
    shape: (usize, usize),
    packed: &[f32],
    cuts: &[usize],
    mask: Option<&[f32]>,
    team: &Team,
) -> Vec<f32> {
    let (heads, size) = shape;
    let width = heads * size;
    let tokens = packed.len() / (3 * width);
    let mut cache = Cache::new(heads, size, tokens + 1).expect("memory");
    let mut output = vec![f32::NAN; tokens * width];
    let ends = cuts.iter().skip(1).copied().chain([tokens]);
    for (&start, end) in cuts.iter().zip(ends) {
        let packed = &packed[start * 3 * width..end * 3 * width];
        cache.write(start, packed);
        let kept =
            mask.map(|mask| KeptGroups::new(&mask[start * heads..end * heads], end - start, heads));
        let output = &mut output[start * width..end * width];
        cache.attend(team, start, packed, kept.as_ref(), output);
    }
    output
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn any_parts_agree_with_the_formula(
        shape in (1usize..5, 1usize..20),
        tokens in 1usize..120,
        cuts in prop::collection::vec(1usize..120, 0..6),
        seed in 0u64..1000,
    ) {
        let (heads, size) = shape;
        let packed = uniform_values(tokens * 3 * heads * size, seed, 2.0);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < tokens).collect();
        cuts.push(0);
        cuts.sort_unstable();
        cuts.dedup();
        let expected = expected(heads, size, &packed);
        let noise = Philox::new(seed, 1);
        let mask: Vec<f32> = (0..(tokens * heads) as u64)
            .map(|i| f32::from(noise.number(i).is_multiple_of(3)))
            .collect();
        at_every_level(|_| {
            let found = attended(shape, &packed, &cuts, None, &Team::new(2));
            // Scores of up to 4 · √19 and their exponentials, each rounded to 2⁻²⁴ some ten times.
            assert_within(&found, expected.iter().map(|&value| (value, 2e-5)), "output");
            // Kept heads are the same up to the order of sums, others are 0.
            let masked = attended(shape, &packed, &cuts, Some(&mask), &Team::new(1));
            let kept = found.iter().enumerate().map(|(index, &value)| match mask[index / size] {
                0.0 => (0.0, 0.0),
                _ => (f64::from(value), 1e-5),
            });
            assert_within(&masked, kept, "masked output");
        });
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (shape, tokens) = ((4, 24), 90);
    let packed = uniform_values(tokens * 3 * 96, 3, 2.0);
    let cuts: Vec<usize> = [0, 40].into_iter().chain(70..tokens).collect();
    at_every_level(|_| {
        let attended = |threads| attended(shape, &packed, &cuts, None, &Team::new(threads));
        let alone = on_any_threads(|| attended(1));
        for threads in [2, 3, 7] {
            assert_eq!(
                on_any_threads(|| attended(threads)),
                alone,
                "{threads} threads"
            );
        }
    });
}
