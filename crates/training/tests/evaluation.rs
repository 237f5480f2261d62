//! Evaluation of whole splits, and thresholds for small inputs.

mod support;

use burn::tensor::Device;
use data::{DataFolder, Split, Tokenizer};
use learned_dropout::Transformer;
use learned_dropout_training::evaluation::thresholds::{ThresholdError, calibrate, executed_share};
use learned_dropout_training::evaluation::{
    Evaluation, EvaluationError, EvaluationOptions, evaluate,
};
use learned_dropout_training::flops;
use model::feed_forward::MixtureOfExperts;
use model::initialization::initial_weights;
use model::{CutInputs, FeedForwardConfig, MaskConfig, TransformerConfig};
use support::Place;

fn config() -> TransformerConfig {
    TransformerConfig {
        vocabulary: 256,
        context: 32,
        width: 16,
        heads: 2,
        layers: 2,
        dropout: 0.1,
        feed_forward: Default::default(),
        learned_dropout: None,
    }
}

fn model(config: &TransformerConfig) -> Transformer {
    let weights = initial_weights(config, 1);
    Transformer::from_weights(config, &weights, &Device::flex())
}

/// A model of all zeros, which finds every token equally likely.
fn ignorant(config: &TransformerConfig) -> Transformer {
    let mut weights = initial_weights(config, 1);
    for tensor in weights.values_mut() {
        tensor.values.fill(0.0);
    }
    Transformer::from_weights(config, &weights, &Device::flex())
}

fn evaluated(
    model: &Transformer,
    data: &DataFolder,
    options: EvaluationOptions,
) -> Result<Evaluation, EvaluationError> {
    let tokenizer = data.tokenizer().unwrap();
    let tokens = data.split(Split::Validation);
    evaluate(model, tokens, &tokenizer, options, &mut |_| {})
}

#[test]
fn a_uniform_guess_costs_the_logarithm_of_the_vocabulary() {
    let place = Place::new();
    let options = EvaluationOptions::default();
    let found = evaluated(&ignorant(&config()), place.data(), options).unwrap();
    assert!((found.loss - 256_f64.ln()).abs() < 1e-5, "{found:?}");
    assert!((found.perplexity - 256.0).abs() < 1e-2, "{found:?}");
    // Each token is a byte: log₂ 256 = 8.
    assert!((found.bits_per_byte.unwrap() - 8.0).abs() < 1e-5);
    assert_eq!(found.unknown_tokens, 0);
    let all = place.data().split(Split::Validation).len() as u64;
    assert_eq!(found.tokens, all - 1);
    assert_eq!((found.kept, found.executed), (None, None));
}

/// Who predicts that a character is unknown has not predicted its bytes.
#[test]
fn unknown_characters_give_no_bits_per_byte() {
    let place = tempfile::tempdir().unwrap();
    let text = place.path().join("text.txt");
    std::fs::write(&text, "abcabcabcc".to_owned() + "xy").unwrap();
    let out = place.path().join("data");
    let mut options = data::PrepareOptions::new(vec![data::sources::Source::Path(text)], &out);
    options.tokenizer = data::TokenizerChoice::Character.into();
    options.validation = 0.5;
    data::prepare(&options, &data::progress::Silent).unwrap();
    let data = DataFolder::open(&out).unwrap();
    let config = TransformerConfig {
        vocabulary: data.meta().vocabulary as usize,
        ..config()
    };
    // Three characters and the unknown token; `abccxy` is the validation part.
    let found = evaluated(&ignorant(&config), &data, EvaluationOptions::default()).unwrap();
    assert!((found.loss - 4_f64.ln()).abs() < 1e-5, "{found:?}");
    assert_eq!((found.tokens, found.unknown_tokens), (5, 2));
    assert_eq!(found.bits_per_byte, None);
}

#[test]
fn the_result_does_not_depend_on_the_batch() {
    let place = Place::new();
    let masked = TransformerConfig {
        learned_dropout: Some(MaskConfig::default()),
        ..config()
    };
    let model = model(&masked);
    let with_batch = |batch| {
        let options = EvaluationOptions {
            batch,
            ..EvaluationOptions::default()
        };
        evaluated(&model, place.data(), options).unwrap()
    };
    let (one, many) = (with_batch(1), with_batch(7));
    assert_eq!(one.tokens, many.tokens);
    assert!((one.loss - many.loss).abs() < 1e-5, "{one:?} {many:?}");
    let kept = [one.kept, many.kept].map(Option::unwrap);
    assert!((kept[0] - kept[1]).abs() < 1e-5 && (0.0..=1.0).contains(&kept[0]));
}

#[test]
fn an_evaluation_ends_with_the_window_that_reaches_the_limit() {
    let place = Place::new();
    let model = ignorant(&config());
    let tokenizer = place.data().tokenizer().unwrap();
    let tokens = place.data().split(Split::Train);
    let mut reported = Vec::new();
    let options = EvaluationOptions {
        batch: 2,
        max_tokens: 100,
    };
    let found = evaluate(&model, tokens, &tokenizer, options, &mut |done| {
        reported.push(done);
    });
    // Windows of 32 tokens.
    assert_eq!(found.unwrap().tokens, 128);
    assert_eq!(reported, [64, 128]);
}

#[test]
fn experts_that_are_not_chosen_are_not_executed() {
    let place = Place::new();
    let layer = MixtureOfExperts {
        experts: 4,
        active: 1,
        hidden: Some(8),
        shared: 0,
        scaling: 1.0,
        balance: 0.0,
    };
    let config = TransformerConfig {
        feed_forward: FeedForwardConfig::MixtureOfExperts(layer),
        ..config()
    };
    let options = EvaluationOptions::default();
    let found = evaluated(&model(&config), place.data(), options).unwrap();
    let executed = found.executed.unwrap();
    assert!((executed.density - 0.25).abs() < 1e-6, "{executed:?}");
    let operations = executed.forward_flops_per_token;
    assert_eq!(operations.dense, flops::forward_per_token(&config) as u64);
    // Two layers, of whose 4 · 2 · 8 · 16 weights a token leaves three quarters out.
    let saved = (operations.dense - operations.executed) as f64;
    assert!((saved - 2.0 * 2.0 * 1024.0 * 0.75).abs() <= 1.0, "{saved}");
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let place = Place::new();
    let small = TransformerConfig {
        vocabulary: 255,
        ..config()
    };
    let options = EvaluationOptions::default();
    let error = evaluated(&model(&small), place.data(), options).unwrap_err();
    assert!(error.to_string().contains("the model knows 255"), "{error}");
    let options = EvaluationOptions {
        batch: 0,
        ..options
    };
    let error = evaluated(&model(&config()), place.data(), options);
    assert!(matches!(error, Err(EvaluationError::EmptyBatch)));

    let empty = tempfile::tempdir().unwrap();
    for file in ["train.bin", "val.bin"] {
        std::fs::write(empty.path().join(file), []).unwrap();
    }
    let data = DataFolder::open(empty.path()).unwrap();
    let tokens = data.split(Split::Validation);
    let options = EvaluationOptions::default();
    let model = model(&config());
    let error = evaluate(&model, tokens, &Tokenizer::byte(), options, &mut |_| {});
    assert!(matches!(error, Err(EvaluationError::Data(_))));
}

#[test]
fn small_inputs_are_taken_as_zero() {
    let place = Place::new();
    let train = place.data().split(Split::Train);
    let options = EvaluationOptions::default();
    let plain = evaluated(&model(&config()), place.data(), options).unwrap();
    for (inputs, parameters) in [
        // The down projections of 64 units, and all projections.
        (CutInputs::Hidden, 64 * 16),
        (CutInputs::All, 12 * 16 * 16),
    ] {
        for sparsity in [0.0, 0.6] {
            let mut model = model(&config());
            calibrate(&mut model, train, inputs, sparsity).unwrap();
            let cut = evaluated(&model, place.data(), options).unwrap();
            let change = (cut.loss - plain.loss).abs();
            assert_eq!(change < 1e-5, sparsity == 0.0, "{inputs:?}: {change}");
            let executed = executed_share(&mut model);
            // Magnitudes are counted to 0.8%.
            let density = executed.density;
            assert!((density - (1.0 - sparsity)).abs() < 0.03, "{density}");
            let operations = executed.forward_flops_per_token;
            let saved = (operations.dense - operations.executed) as f64;
            let expected = 2.0 * 2.0 * f64::from(parameters) * (1.0 - density);
            assert!((saved - expected).abs() <= 1.0, "{saved} {expected}");
        }
    }
}

#[test]
fn only_dense_models_have_thresholds() {
    let place = Place::new();
    let train = place.data().split(Split::Train);
    let masked = TransformerConfig {
        learned_dropout: Some(MaskConfig::default()),
        ..config()
    };
    let error = calibrate(&mut model(&masked), train, CutInputs::Hidden, 0.5);
    assert!(matches!(error, Err(ThresholdError::NotDense(_))));
    let error = calibrate(&mut model(&config()), train, CutInputs::Hidden, 1.5);
    assert!(matches!(error, Err(ThresholdError::Sparsity { found }) if found == 1.5));
}
