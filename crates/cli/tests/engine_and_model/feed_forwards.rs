//! Every kind of feed-forward against the model that is trained: the same logits, whether tokens come
//! at once or one by one.

use burn::tensor::{Device, Int, Tensor, TensorData};
use inference::{Engine, EngineOptions, Session};
use kernels::decode::Format;
use kernels::random::Philox;
use learned_dropout::Transformer;
use model::feed_forward::{
    Dense, ExpertActivation, MixtureOfExperts, Relu, ReluRoutedExperts, Swiglu,
};
use model::initialization::initial_weights;
use model::weights::Weights;
use model::{FeedForwardConfig, MaskConfig, Pass, TransformerConfig};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const VOCABULARY: usize = 19;

fn model(feed_forward: FeedForwardConfig, masked: bool) -> TransformerConfig {
    TransformerConfig {
        vocabulary: VOCABULARY,
        context: 24,
        width: 12,
        heads: 2,
        layers: 2,
        dropout: 0.0,
        feed_forward,
        learned_dropout: masked.then(MaskConfig::default),
    }
}

/// Weights that are large enough for every part to matter.
fn weights(config: &TransformerConfig, seed: u64) -> Weights {
    let mut weights = initial_weights(config, seed);
    let noise = Philox::new(seed, 5);
    let values = weights.values_mut().flat_map(|tensor| &mut tensor.values);
    for (position, value) in values.enumerate() {
        *value += 0.3 * noise.normal_pair(position as u64)[0] as f32;
    }
    weights
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let noise = Philox::new(seed, 9);
    (0..count as u64)
        .map(|i| noise.below(i, VOCABULARY as u64) as u32)
        .collect()
}

/// The logits after each token, as the model for training gives them.
fn expected(config: &TransformerConfig, weights: &Weights, ids: &[u32]) -> Vec<Vec<f32>> {
    let device = Device::flex();
    let model = Transformer::from_weights(config, weights, &device);
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let shape = [1, ids.len()];
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &device);
    let hidden = model.forward(ids, &Pass::Evaluate).hidden;
    let logits: Vec<f32> = model.logits(hidden).into_data().iter::<f32>().collect();
    logits.chunks(VOCABULARY).map(<[f32]>::to_vec).collect()
}

fn engine(config: &TransformerConfig, weights: &Weights, threads: usize, format: Format) -> Engine {
    let options = EngineOptions {
        threads,
        format,
        ..EngineOptions::default()
    };
    Engine::with_options(config.clone(), weights.clone(), options).unwrap()
}

/// The logits after each token, read one by one.
fn one_by_one(engine: &Engine, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut session = Session::new(engine).unwrap();
    session.prefill(&ids[..1]).unwrap();
    let mut logits = vec![session.logits().to_vec()];
    for &id in &ids[1..] {
        logits.push(session.decode(id).unwrap().to_vec());
    }
    logits
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    let largest = expected
        .iter()
        .fold(1.0f32, |most, value| most.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * largest,
            "{found} instead of {expected}"
        );
    }
}

fn kinds() -> impl Strategy<Value = FeedForwardConfig> {
    let sizes = (1usize..6, 1usize..40, 0usize..12, 0usize..5);
    sizes.prop_flat_map(|(experts, hidden, shared, active)| {
        let activation = match shared % 2 {
            0 => ExpertActivation::Gelu,
            _ => ExpertActivation::Relu,
        };
        let hidden = Some(hidden);
        prop_oneof![
            Just(FeedForwardConfig::Dense(Dense {
                hidden: hidden.map(Into::into)
            })),
            Just(FeedForwardConfig::Relu(Relu {
                hidden: hidden.map(Into::into),
                power: 1 + active % 2,
                ..Default::default()
            })),
            Just(FeedForwardConfig::Swiglu(Swiglu {
                hidden: hidden.map(Into::into)
            })),
            Just(FeedForwardConfig::ReluRoutedExperts(ReluRoutedExperts {
                experts,
                hidden,
                activation,
                ..Default::default()
            })),
            Just(FeedForwardConfig::MixtureOfExperts(MixtureOfExperts {
                experts,
                active: 1 + active % experts,
                hidden,
                activation,
                shared,
                scaling: 0.5 + active as f64,
                ..Default::default()
            })),
        ]
    })
}

proptest! {
    // Always the same cases: once in a million tokens two scores are so close that rounding decides
    // which expert is chosen.
    #![proptest_config(ProptestConfig {
        cases: 40,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn logits_are_those_of_the_model(
        kind in kinds(), masked in any::<bool>(), seed in 0u64..1000, count in 1usize..24,
    ) {
        let config = model(kind, masked);
        let (weights, ids) = (weights(&config, seed), tokens(count, seed));
        let expected = expected(&config, &weights, &ids);
        let one = engine(&config, &weights, 1, Format::F32);
        let read = one_by_one(&one, &ids);
        for (read, expected) in read.iter().zip(&expected) {
            // Sums of a few dozen terms, through two blocks.
            assert_close(read, expected, 1e-4);
        }
        let mut session = Session::new(&one).unwrap();
        session.prefill(&ids).unwrap();
        assert_close(session.logits(), &expected[count - 1], 1e-4);
        // Any number of threads.
        prop_assert_eq!(one_by_one(&engine(&config, &weights, 3, Format::F32), &ids), read);
    }
}

/// bf16 weights have 8 bits. Chosen experts change where two scores are that close, so only those are
/// compared that take all.
#[test]
fn sixteen_bits_are_close() {
    let experts = MixtureOfExperts {
        experts: 3,
        active: 3,
        hidden: Some(20),
        shared: 8,
        ..Default::default()
    };
    let config = model(FeedForwardConfig::MixtureOfExperts(experts), false);
    let (weights, ids) = (weights(&config, 3), tokens(20, 3));
    let expected = expected(&config, &weights, &ids);
    for format in [Format::Bf16, Format::F16] {
        let found = one_by_one(&engine(&config, &weights, 2, format), &ids);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, 0.05);
        }
    }
}
