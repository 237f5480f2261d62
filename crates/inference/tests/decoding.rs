//! One token at a time, many at once, past the end of the context, and on several threads.

use std::ops::ControlFlow;

use kernels::random::{Philox, unit};
use learned_dropout_inference::{
    Batch, Engine, EngineError, EngineOptions, Format, GenerateOptions, LayerMask, MaskRule,
    MaskSampling, MaskStatistics, SamplingOptions, Session, SiteMask, StopReason, generate,
};
use model::layout::layout;
use model::weights::{HostTensor, Weights};
use model::{MaskConfig, MaskInput, Rounding, Site, TransformerConfig};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A model with random weights, large enough for masks and logits that differ.
fn engine(config: &TransformerConfig, seed: u64, threads: usize) -> Engine {
    Engine::new(config.clone(), weights(config, seed), threads).unwrap()
}

fn weights(config: &TransformerConfig, seed: u64) -> Weights {
    let mut weights = Weights::new();
    for (stream, spec) in layout(config).enumerate() {
        let noise = Philox::new(seed, stream as u64);
        let centre = if spec.shape.len() == 1 && !spec.name.ends_with("shift") {
            1.0
        } else {
            0.0
        };
        let values = (0..spec.shape.iter().product::<usize>())
            .map(|i| centre + 1.2 * (unit(noise.number(i as u64)) - 0.5))
            .collect();
        weights.insert(
            spec.name,
            HostTensor {
                shape: spec.shape,
                values,
            },
        );
    }
    weights
}

fn small(learned_dropout: Option<MaskConfig>) -> TransformerConfig {
    TransformerConfig {
        vocabulary: 23,
        context: 10,
        width: 12,
        heads: 3,
        layers: 2,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout,
    }
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let noise = Philox::new(seed, 99);
    (0..count).map(|i| noise.number(i as u64) % 23).collect()
}

fn configs() -> impl Strategy<Value = TransformerConfig> {
    let heads = prop_oneof![Just((1, 1)), Just((2, 3)), Just((3, 1)), Just((4, 2))];
    let rounding = prop_oneof![
        Just(Rounding::Stochastic),
        Just(Rounding::Threshold),
        Just(Rounding::Sigmoid),
        Just(Rounding::SigmoidDetached),
        Just(Rounding::None),
    ];
    let masks = (any::<bool>(), rounding).prop_map(|(embedding, rounding)| MaskConfig {
        input: if embedding {
            MaskInput::Embedding
        } else {
            MaskInput::Hidden
        },
        rounding,
        ..MaskConfig::default()
    });
    (
        heads,
        1usize..7,
        1usize..4,
        1usize..40,
        prop::option::of(masks),
    )
        .prop_map(
            |((heads, mask_heads), size, layers, context, masks)| TransformerConfig {
                vocabulary: 23,
                context,
                // A multiple of both numbers of heads.
                width: heads * mask_heads * size,
                heads,
                layers,
                dropout: 0.1,
                feed_forward: Default::default(),
                learned_dropout: masks.map(|masks| MaskConfig {
                    heads: Some(mask_heads),
                    ..masks
                }),
            },
        )
}

/// How far logits may differ that are the same but for rounding.
const TOLERANCE: f32 = 2e-3;

fn max_difference(found: &[f32], expected: &[f32]) -> f32 {
    let pairs = found.iter().zip(expected);
    pairs
        .map(|(found, expected)| (found - expected).abs())
        .fold(0.0, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Fixed: a mask value within rounding of 0.5 may fall to either side, and then all logits
        // after it differ.
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(60)
    })]

    /// In any parts and on any number of threads.
    #[test]
    fn decoding_agrees_with_prefill(config in configs(), seed in 0u64..1000, split in 0usize..40) {
        let ids = tokens(config.context, seed);
        let whole = engine(&config, seed, 1).inspect(&ids).unwrap();
        let of = |threads: usize| {
            let engine = engine(&config, seed, threads);
            let mut session = Session::new(&engine).unwrap();
            let split = split % ids.len();
            if split > 0 {
                session.prefill(&ids[..split]).unwrap();
            }
            for &id in &ids[split..] {
                session.decode(id).unwrap();
            }
            assert_eq!(session.window(), &ids[..]);
            (session.logits().to_vec(), session.mask_statistics())
        };
        let (logits, masks) = of(3);
        prop_assert_eq!((&logits, &masks), (&of(1).0, &of(1).1), "threads change no bit");
        prop_assert!(max_difference(&logits, &whole.logits) < TOLERANCE);
        prop_assert_eq!(masks.is_some(), config.learned_dropout.is_some());
        if let (Some(found), Some(expected)) = (masks, whole.masks) {
            prop_assert_eq!(found.kept, expected.kept);
            prop_assert!((found.penalty - expected.penalty).abs() < 1e-5);
        }
    }

    /// After the window was full it holds its last half and what came since.
    #[test]
    fn a_full_window_goes_on_with_its_last_half(config in configs(), seed in 0u64..1000) {
        let engine = engine(&config, seed, 1);
        let context = config.context;
        let ids = tokens(3 * context + 1, seed);
        let mut session = Session::new(&engine).unwrap();
        for (seen, &id) in ids.iter().enumerate() {
            session.decode(id).unwrap();
            let window = session.window();
            prop_assert!(window.len() <= context && window.len() > context / 2 || seen < context);
            prop_assert_eq!(window, &ids[..=seen][seen + 1 - window.len()..]);
        }
        let mut fresh = Session::new(&engine).unwrap();
        for &id in session.window() {
            fresh.decode(id).unwrap();
        }
        prop_assert!(max_difference(session.logits(), fresh.logits()) < TOLERANCE);
    }

    /// Each sequence of a batch gets what it would get alone.
    #[test]
    fn a_batch_is_as_many_sessions(config in configs(), seed in 0u64..1000, count in 1usize..7) {
        let engine = engine(&config, seed, 2);
        let length = config.context + config.context / 2;
        let ids = tokens(count * length, seed);
        let mut batch = Batch::new(&engine, count).unwrap();
        let mut sessions: Vec<_> = (0..count).map(|_| Session::new(&engine).unwrap()).collect();
        for ids in ids.chunks_exact(count) {
            let logits = batch.decode(ids).unwrap();
            for ((session, &id), logits) in sessions.iter_mut().zip(ids).zip(logits.chunks(23)) {
                let expected = session.decode(id).unwrap();
                prop_assert!(max_difference(logits, expected) < TOLERANCE);
            }
        }
        let masks = batch.mask_statistics();
        prop_assert_eq!(masks.is_some(), config.learned_dropout.is_some());
        if let Some(masks) = masks {
            let kept = |session: &Session<'_>| session.mask_statistics().unwrap().kept;
            let mean = sessions.iter().map(kept).sum::<f64>() / count as f64;
            prop_assert!((masks.kept - mean).abs() < 1e-9);
        }
    }
}

#[test]
fn prefill_after_tokens_keeps_the_last_of_all() {
    let config = small(Some(MaskConfig::default()));
    let engine = engine(&config, 1, 1);
    let ids = tokens(40, 2);
    for (first, second) in [(3, 4), (4, 6), (4, 7), (10, 9), (2, 10), (5, 11), (6, 30)] {
        let mut session = Session::new(&engine).unwrap();
        assert_eq!(session.prefill(&ids[..first]).unwrap(), 0);
        let all = first + second;
        let dropped = session.prefill(&ids[first..all]).unwrap();
        assert_eq!(dropped, all.saturating_sub(10), "{first} + {second}");
        let expected = &ids[dropped..all];
        assert_eq!(session.window(), expected);
        let fresh = engine.inspect(expected).unwrap().logits;
        assert!(max_difference(session.logits(), &fresh) < TOLERANCE);
    }
}

/// Worked by hand: what a mask that keeps a quarter of the heads leaves out.
#[test]
fn work_leaves_out_dropped_heads() {
    let masks = |input| MaskConfig {
        site: Site::AttentionHeads.into(),
        input,
        rank: Some(4),
        rounding: Rounding::Carried,
        ..MaskConfig::default()
    };
    let (seen, together) = (10.0, 2);
    let saved = |input| {
        let config = TransformerConfig {
            width: 48,
            ..small(Some(masks(input)))
        };
        let engine = engine(&config, 1, 1);
        let layer = |layer| SiteMask {
            site: Site::AttentionHeads,
            layer: Some(layer),
            measured: LayerMask {
                kept: 0.25,
                penalty: 0.0,
            },
        };
        let statistics = MaskStatistics {
            masks: vec![layer(0), layer(1)],
            ..MaskStatistics::default()
        };
        let all = engine.work(None, seen, together, 1.0);
        let some = engine.work(Some(&statistics), seen, together, 1.0);
        [all.bytes - some.bytes, all.operations - some.operations]
    };
    // Both tokens drop 0.75 · 0.75 of the heads; one token drops 0.75 of them. In each of the two layers
    // the matrix of queries and the output projection have 48 · 48 weights of 4 bytes. Each token reads keys
    // and values of 48 channels, and multiplies each once.
    let matrix = 48.0 * 48.0;
    let bytes = 2.0 * (2.0 * 4.0 * matrix * 0.5625 + 2.0 * 2.0 * 4.0 * 48.0 * 10.0 * 0.75);
    let operations = 2.0 * (2.0 * 2.0 * matrix * 0.75 + 2.0 * 2.0 * 48.0 * 10.0 * 0.75);
    assert_eq!(saved(MaskInput::LayerInput), [bytes, operations]);
    // A mask that is computed from the heads is known too late for all but the output projection.
    let (bytes, operations) = (2.0 * 4.0 * matrix * 0.5625, 2.0 * 2.0 * matrix * 0.75);
    assert_eq!(saved(MaskInput::Hidden), [bytes, operations]);
}

#[test]
fn bad_tokens_are_refused_and_change_nothing() {
    let engine = engine(&small(None), 1, 1);
    let mut session = Session::new(&engine).unwrap();
    session.prefill(&[1, 2]).unwrap();
    let before = session.logits().to_vec();
    assert!(matches!(session.prefill(&[]), Err(EngineError::NoTokens)));
    let error = session.prefill(&[3, 23]).unwrap_err();
    assert!(matches!(
        error,
        EngineError::Token {
            position: 1,
            id: 23,
            vocabulary: 23
        }
    ));
    assert!(session.decode(u32::MAX).is_err());
    assert_eq!(
        (session.window(), session.logits()),
        (&[1, 2][..], &before[..])
    );
    assert!(matches!(
        engine.loss(&[1], &[]),
        Err(EngineError::Targets { .. })
    ));
    assert!(matches!(
        engine.loss(&[1; 11], &[1; 11]),
        Err(EngineError::TooLong { .. })
    ));
    assert!(engine.loss(&[1], &[23]).is_err());
    assert!(engine.inspect(&[]).is_err());
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let config = small(None);
    let mut weights = Weights::new();
    for spec in layout(&config) {
        let values = vec![0.0; spec.shape.iter().product()];
        weights.insert(
            spec.name,
            HostTensor {
                shape: spec.shape,
                values,
            },
        );
    }
    let mut broken = weights.clone();
    broken.remove("blocks.1.feed_forward.up.weight");
    let error = Engine::new(config.clone(), broken, 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`blocks.1.feed_forward.up.weight`"),
        "{error}"
    );
    let mut broken = weights.clone();
    broken.get_mut("final_norm.weight").unwrap().values.pop();
    assert!(matches!(
        Engine::new(config.clone(), broken, 1),
        Err(EngineError::Shape { .. })
    ));
    let impossible = TransformerConfig { heads: 5, ..config };
    assert!(matches!(
        Engine::new(impossible, weights, 1),
        Err(EngineError::Impossible { .. })
    ));
}

/// Greedy generation, written out by hand from `inspect` alone.
#[test]
fn greedy_generation_follows_the_largest_logit() {
    let engine = engine(&small(Some(MaskConfig::default())), 3, 2);
    let prompt = [4, 8, 15];
    let mut expected = prompt.to_vec();
    for _ in 0..7 {
        let logits = engine.inspect(&expected).unwrap().logits;
        let best = (0..23)
            .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
            .unwrap();
        expected.push(best as u32);
    }
    let options = GenerateOptions {
        max_tokens: 7,
        sampling: SamplingOptions {
            temperature: 0.0,
            ..SamplingOptions::default()
        },
        ..GenerateOptions::default()
    };
    let mut found = prompt.to_vec();
    let mut collect = |id| {
        found.push(id);
        ControlFlow::Continue(())
    };
    let done = generate(&engine, &prompt, &options, &mut collect).unwrap();
    assert_eq!(found, expected);
    assert_eq!(
        (done.tokens, done.dropped, done.stop),
        (7, 0, StopReason::MaxTokens)
    );
    assert!(done.masks.is_some());

    // The token that ends the text is not handed out.
    let at = expected[prompt.len()..]
        .iter()
        .position(|&id| id == expected[9])
        .unwrap();
    let options = GenerateOptions {
        end_of_text: Some(expected[9]),
        ..options
    };
    let mut count = 0;
    let done = generate(&engine, &prompt, &options, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(done.unwrap().stop, StopReason::EndOfText);
    assert_eq!(count, at);

    let done = generate(&engine, &prompt, &options, &mut |_| ControlFlow::Break(())).unwrap();
    let stopped_at_once = if at == 0 {
        StopReason::EndOfText
    } else {
        StopReason::Caller
    };
    assert_eq!(done.stop, stopped_at_once);
}

#[test]
fn generation_goes_on_beyond_the_context_and_repeats_with_its_seed() {
    let engine = engine(&small(Some(MaskConfig::default())), 5, 2);
    let write = |seed: u64, mask_rule| {
        let options = GenerateOptions {
            max_tokens: 64,
            sampling: SamplingOptions {
                seed,
                top_k: Some(9),
                ..SamplingOptions::default()
            },
            mask_rule,
            ..GenerateOptions::default()
        };
        let mut found = Vec::new();
        let prompt = tokens(17, 1);
        let done = generate(&engine, &prompt, &options, &mut |id| {
            found.push(id);
            ControlFlow::Continue(())
        });
        assert_eq!(done.unwrap().dropped, 7);
        assert_eq!(found.len(), 64);
        found
    };
    assert_eq!(write(1, MaskRule::Model), write(1, MaskRule::Model));
    assert_ne!(write(1, MaskRule::Model), write(2, MaskRule::Model));
    let sampled = |seed| {
        write(
            1,
            MaskRule::Sampled(MaskSampling {
                temperature: 1.0,
                seed,
            }),
        )
    };
    assert_eq!(sampled(3), sampled(3));
    assert_ne!(sampled(3), sampled(4));
    assert_ne!(sampled(3), write(1, MaskRule::Model));
}

/// 16-bit weights are the model whose weights were rounded before.
#[test]
fn weights_of_16_bits_are_rounded_weights() {
    let config = small(Some(MaskConfig::default()));
    let ids = tokens(9, 4);
    for (format, precision) in [(Format::Bf16, 8), (Format::F16, 11)] {
        let options = EngineOptions {
            threads: 2,
            format,
            dense: false,
        };
        let weights = weights(&config, 7);
        let rounded: Weights = weights
            .iter()
            .map(|(name, tensor)| {
                let mut tensor = tensor.clone();
                if tensor.shape.len() > 1 && !name.starts_with("positional") {
                    // Halves between two numbers of so many bits do not occur in these weights.
                    for value in &mut tensor.values {
                        let unit = 2f32.powi(value.abs().log2().floor() as i32 + 1 - precision);
                        *value = (*value / unit).round_ties_even() * unit;
                    }
                }
                (name.clone(), tensor)
            })
            .collect();
        let engine = Engine::with_options(config.clone(), weights, options).unwrap();
        let expected = Engine::new(config.clone(), rounded, 1).unwrap();
        let (mut found, mut exact) = (
            Session::new(&engine).unwrap(),
            Session::new(&expected).unwrap(),
        );
        for &id in &ids {
            let difference = max_difference(found.decode(id).unwrap(), exact.decode(id).unwrap());
            assert!(difference < 1e-5, "{format:?}: {difference}");
        }
    }
    let mut weights = weights(&config, 7);
    weights
        .get_mut("blocks.0.feed_forward.up.weight")
        .unwrap()
        .values[3] = 1e5;
    let options = EngineOptions {
        format: Format::F16,
        ..EngineOptions::default()
    };
    let error = Engine::with_options(config, weights, options).unwrap_err();
    assert!(error.to_string().contains("bf16"), "{error}");
}
