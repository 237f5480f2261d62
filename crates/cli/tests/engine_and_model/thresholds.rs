//! Small inputs taken as 0: the engine beside the model that was calibrated.

use burn::tensor::{Device, Int, Tensor, TensorData};
use inference::{Engine, EngineError, EngineOptions, Session, Thresholds};
use kernels::random::{Philox, unit};
use learned_dropout::Transformer;
use model::feed_forward::{Dense, Relu, Swiglu};
use model::layout::layout;
use model::weights::{HostTensor, Weights};
use model::{CutInputs, FeedForwardConfig, MaskConfig, Pass, TransformerConfig};

const TOKENS: usize = 40;

fn config(feed_forward: FeedForwardConfig) -> TransformerConfig {
    TransformerConfig {
        vocabulary: 23,
        context: TOKENS,
        width: 12,
        heads: 3,
        layers: 2,
        dropout: 0.0,
        feed_forward,
        learned_dropout: None,
    }
}

fn weights(config: &TransformerConfig) -> Weights {
    let tensor = |stream: usize, shape: Vec<usize>| {
        let noise = Philox::new(5, stream as u64);
        let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
        let value = |i: usize| centre + 1.2 * (unit(noise.number(i as u64)) - 0.5);
        let values = (0..shape.iter().product()).map(value).collect();
        HostTensor { shape, values }
    };
    layout(config)
        .enumerate()
        .map(|(stream, spec)| (spec.name, tensor(stream, spec.shape)))
        .collect()
}

fn tokens() -> Vec<u32> {
    let noise = Philox::new(7, 0);
    (0..TOKENS).map(|i| noise.number(i as u64) % 23).collect()
}

/// The calibrated model's logits after each token, `[time][vocabulary]`, and its thresholds.
fn expected(config: &TransformerConfig, inputs: CutInputs) -> (Vec<Vec<f32>>, Thresholds) {
    let device = Device::flex();
    let mut model = Transformer::from_weights(config, &weights(config), &device);
    let ids: Vec<i32> = tokens().into_iter().map(|id| id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, TOKENS]), &device);
    model.record_magnitudes(inputs).unwrap();
    model.forward(ids.clone(), &Pass::Evaluate);
    model.cut_small_inputs(0.4);
    let hidden = model.forward(ids, &Pass::Evaluate).hidden;
    let logits: Vec<f32> = model.logits(hidden).into_data().iter::<f32>().collect();
    let layers = model.cut_layers();
    let thresholds = Thresholds {
        inputs,
        sparsity: 0.4,
        values: layers.iter().map(|layer| layer.threshold).collect(),
    };
    (logits.chunks(23).map(<[f32]>::to_vec).collect(), thresholds)
}

fn assert_close(found: &[f32], expected: &[f32]) {
    for (found, expected) in found.iter().zip(expected) {
        // Sums of a few dozen terms, through two blocks.
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

#[test]
fn the_engine_leaves_out_what_the_model_does() {
    let hidden = Some(40.into());
    let dense = FeedForwardConfig::Dense(Dense {
        hidden: hidden.clone(),
    });
    let swiglu = FeedForwardConfig::Swiglu(Swiglu {
        hidden: hidden.clone(),
    });
    let relu = FeedForwardConfig::Relu(Relu {
        hidden,
        penalty: 0.0,
        ..Relu::default()
    });
    for kind in [dense, relu, swiglu] {
        for inputs in [CutInputs::Hidden, CutInputs::All] {
            let config = config(kind.clone());
            let (expected, thresholds) = expected(&config, inputs);
            let options = EngineOptions {
                threads: 2,
                ..EngineOptions::default()
            };
            let make = |config: &TransformerConfig| {
                Engine::with_thresholds(config.clone(), weights(config), options, &thresholds)
            };
            let engine = make(&config).unwrap();
            let mut session = Session::new(&engine).unwrap();
            for (id, expected) in tokens().into_iter().zip(&expected) {
                assert_close(session.decode(id).unwrap(), expected);
            }
            let mut session = Session::new(&engine).unwrap();
            session.prefill(&tokens()).unwrap();
            assert_close(session.logits(), &expected[TOKENS - 1]);
        }
    }
}

#[test]
fn thresholds_of_another_model_are_refused() {
    let thresholds = |count| Thresholds {
        inputs: CutInputs::Hidden,
        sparsity: 0.5,
        values: vec![0.1; count],
    };
    let plain = config(Default::default());
    let masked = TransformerConfig {
        learned_dropout: Some(MaskConfig::default()),
        ..plain.clone()
    };
    for (config, count, wanted) in [(&plain, 8, 2), (&masked, 2, 0)] {
        let options = EngineOptions::default();
        let made =
            Engine::with_thresholds(config.clone(), weights(config), options, &thresholds(count));
        let found = made.err();
        assert!(
            matches!(found, Some(EngineError::Thresholds { expected, found }) if expected == wanted && found == count),
            "{found:?}"
        );
    }
}
