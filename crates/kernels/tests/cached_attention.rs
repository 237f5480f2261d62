//! Attention over kept keys and values, against the textbook formula in double precision.

use kernels::cached_attention::Cache;
use kernels::kept_groups::KeptGroups;
use kernels::random::{Philox, unit};
use kernels::team::Team;
use learned_dropout_kernels as kernels;
use proptest::prelude::*;

fn values(count: usize, seed: u64) -> Vec<f32> {
    let noise = Philox::new(seed, 0);
    (0..count as u64)
        .map(|i| 4.0 * unit(noise.number(i)) - 2.0)
        .collect()
}

/// The textbook formula for all tokens.
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

/// What `cache` gives for the tokens in parts that begin at `cuts`.
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
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_parts_agree_with_the_formula(
        shape in (1usize..5, 1usize..20),
        tokens in 1usize..120,
        cuts in prop::collection::vec(1usize..120, 0..6),
        seed in 0u64..1000,
    ) {
        let (heads, size) = shape;
        let packed = values(tokens * 3 * heads * size, seed);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < tokens).collect();
        cuts.push(0);
        cuts.sort_unstable();
        cuts.dedup();
        let found = attended(shape, &packed, &cuts, None, &Team::new(2));
        for (found, expected) in found.iter().zip(expected(heads, size, &packed)) {
            // Scores of up to 4 · √19 and their exponentials, each rounded to 2⁻²⁴ some ten times.
            prop_assert!((f64::from(*found) - expected).abs() < 2e-5, "{found} {expected}");
        }

        // Heads that are kept are the same, to the last bit for a single token; others are 0.
        let noise = Philox::new(seed, 1);
        let mask: Vec<f32> = (0..(tokens * heads) as u64)
            .map(|i| f32::from(noise.number(i).is_multiple_of(3)))
            .collect();
        let masked = attended(shape, &packed, &cuts, Some(&mask), &Team::new(1));
        for (index, (masked, all)) in masked.chunks(size).zip(found.chunks(size)).enumerate() {
            for (masked, all) in masked.iter().zip(all) {
                let expected = if mask[index] == 0.0 { 0.0 } else { *all };
                prop_assert!((masked - expected).abs() < 1e-5, "{masked} {expected}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (shape, tokens) = ((4, 24), 90);
    let packed = values(tokens * 3 * 96, 3);
    let cuts: Vec<usize> = [0, 40].into_iter().chain(70..tokens).collect();
    let of = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let team = Team::new(threads);
        let work = || attended(shape, &packed, &cuts, None, &team);
        pool.expect("threads").install(work)
    };
    let alone = of(1);
    for threads in [2, 3, 7] {
        assert_eq!(of(threads), alone, "{threads} threads");
    }
}
