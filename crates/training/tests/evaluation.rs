//! Evaluation of whole splits, and thresholds for small inputs.

mod support;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use data::{DataFolder, Split, Tokenizer};
use learned_dropout::Transformer;
use learned_dropout_training::evaluation::thresholds::{ThresholdError, calibrate, executed_share};
use learned_dropout_training::evaluation::{
    Evaluation, EvaluationError, EvaluationOptions, TokenResult, evaluate, evaluate_tokens,
};
use learned_dropout_training::flops;
use model::feed_forward::{MixtureOfExperts, Relu};
use model::initialization::initial_weights;
use model::mask_control::{MaskControl, ThresholdControl};
use model::site_settings::SiteSettings;
use model::{
    CutInputs, FeedForwardConfig, Generator, MaskConfig, MaskInput, Pass, Rounding, Site,
    TransformerConfig,
};
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
        ..MixtureOfExperts::default()
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

/// A ReLU model of layers with 48 and 16 hidden units. Whatever the text, the masks on its heads, which have a
/// control, keep 1 of 2 values and both, and those on its units, which have none, 3 of 12 and 3 of 4.
fn masked_relu() -> Transformer {
    let heads = SiteSettings {
        control: Some(MaskControl::Threshold(ThresholdControl::new(0.5))),
        ..SiteSettings::default()
    };
    let config = TransformerConfig {
        feed_forward: FeedForwardConfig::Relu(Relu {
            hidden: Some(vec![48, 16].into()),
            ..Relu::default()
        }),
        learned_dropout: Some(MaskConfig {
            site: vec![Site::AttentionHeads, Site::FeedForwardHidden].into(),
            input: MaskInput::LayerInput,
            generator: Generator::Linear,
            group: 4,
            rounding: Rounding::Threshold,
            at: [(Site::AttentionHeads, heads)].into(),
            ..MaskConfig::default()
        }),
        ..config()
    };
    let mut weights = initial_weights(&config, 1);
    let masks = weights.iter_mut();
    for (_, tensor) in masks.filter(|(name, _)| name.contains("learned_dropout.")) {
        tensor.values.fill(0.0);
    }
    // The mask is cos B: 1 at 0, which is kept, and −1 at π, which is dropped.
    for (mask, dropped) in [
        ("blocks.0.attention.head", 1),
        ("blocks.0.feed_forward.hidden", 9),
        ("blocks.1.feed_forward.hidden", 1),
    ] {
        let shift = weights.get_mut(&format!("{mask}_learned_dropout.shift"));
        shift.unwrap().values[..dropped].fill(std::f32::consts::PI);
    }
    Transformer::from_weights(&config, &weights, &Device::flex())
}

/// The mean over the four masks is (1/2 + 1 + 1/4 + 3/4) / 4.
#[test]
fn masks_with_and_without_a_control_count_as_kept() {
    let place = Place::new();
    let (model, options) = (masked_relu(), EvaluationOptions::default());
    let whole = evaluated(&model, place.data(), options).unwrap();
    let (by_token, results) = results(&model, place.data(), options);
    for kept in [whole.kept, by_token.kept] {
        assert!((kept.unwrap() - 0.625).abs() < 1e-6, "{kept:?}");
    }
    for result in results {
        assert!((result.kept.unwrap() - 0.625).abs() < 1e-6, "{result:?}");
    }
    assert_eq!(whole.executed, by_token.executed);
}

#[test]
fn what_masks_drop_and_units_that_are_zero_are_not_executed() {
    let place = Place::new();
    let model = masked_relu();
    let options = EvaluationOptions {
        batch: 1,
        max_tokens: 32,
    };
    let found = evaluated(&model, place.data(), options).unwrap();
    assert_eq!(found.tokens, 32);
    let executed = found.executed.unwrap();
    // The shares of units that are not 0, from the model itself.
    let mut window = vec![0; 32];
    place
        .data()
        .split(Split::Validation)
        .window(0, &mut window)
        .unwrap();
    let window: Vec<i32> = window.iter().map(|&id| id as i32).collect();
    let ids = Tensor::from_data(TensorData::new(window, [1, 32]), &Device::flex());
    let layers = model.forward(ids, &Pass::Evaluate).activities;
    let density = layers.iter().map(|layer| {
        let share = layer.shares.clone().into_data();
        f64::from(share.iter::<f32>().next().unwrap())
    });
    let density: Vec<f64> = density.collect();
    assert!((executed.density - (density[0] + density[1]) / 2.0).abs() < 1e-6);
    // Half of the first layer's heads: queries and output of 16 · 16 weights, and 32 · 16 products each in
    // scores and sums.
    let heads = 2.0 * 0.5 * f64::from(2 * 16 * 16 + 2 * 32 * 16);
    let units = |hidden: f64, kept: f64, density: f64| {
        2.0 * 16.0 * hidden * ((1.0 - kept) + (1.0 - kept * density))
    };
    let saved = heads + units(48.0, 0.25, density[0]) + units(16.0, 0.75, density[1]);
    let operations = executed.forward_flops_per_token;
    let found = (operations.dense - operations.executed) as f64;
    assert!((found - saved).abs() <= 1.0, "{found} {saved} {density:?}");
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

/// All results of tokens, with their texts.
fn results(
    model: &Transformer,
    data: &DataFolder,
    options: EvaluationOptions,
) -> (Evaluation, Vec<TokenResult<'static>>) {
    let tokenizer = data.tokenizer().unwrap();
    let tokens = data.split(Split::Validation);
    let mut results = Vec::new();
    let mut each = |result: &TokenResult<'_>| {
        results.push(TokenResult {
            text: result.text.to_string().into(),
            ..result.clone()
        });
        Ok(())
    };
    let found = evaluate_tokens(model, tokens, &tokenizer, options, &mut |_| {}, &mut each);
    (found.unwrap(), results)
}

#[test]
fn every_token_has_a_result_of_its_own() {
    let place = Place::new();
    let masked = TransformerConfig {
        learned_dropout: Some(MaskConfig::default()),
        ..config()
    };
    let model = model(&masked);
    let options = EvaluationOptions {
        batch: 3,
        ..EvaluationOptions::default()
    };
    let (evaluation, results) = results(&model, place.data(), options);
    let whole = evaluated(&model, place.data(), options).unwrap();
    assert_eq!(evaluation.tokens, whole.tokens);
    assert!((evaluation.loss - whole.loss).abs() < 1e-5);
    assert!((evaluation.kept.unwrap() - whole.kept.unwrap()).abs() < 1e-5);
    assert_eq!(
        evaluation.bits_per_byte.is_some(),
        whole.bits_per_byte.is_some()
    );
    // The tokens of the split, but the first one.
    let split = place.data().split(Split::Validation);
    let mut tokens = vec![0; split.len()];
    split.window(0, &mut tokens).unwrap();
    assert_eq!(results.len(), tokens.len() - 1);
    let mean = results
        .iter()
        .map(|result| f64::from(result.loss))
        .sum::<f64>();
    assert!((mean / results.len() as f64 - evaluation.loss).abs() < 1e-6);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result.position, index as u64 + 1);
        assert_eq!(result.token, tokens[index + 1]);
        assert_eq!(result.text, char::from(result.token as u8).to_string());
        assert_eq!(result.bytes, None);
        assert!((0.0..=1.0).contains(&result.kept.unwrap()));
    }
    // The second window, from the logits.
    let window: Vec<i32> = tokens[32..64].iter().map(|&id| id as i32).collect();
    let ids = Tensor::from_data(TensorData::new(window, [1, 32]), &Device::flex());
    let forward = model.forward(ids, &Pass::Evaluate);
    let logarithms = log_softmax(model.logits(forward.hidden), 2).into_data();
    let logarithms: Vec<f32> = logarithms.iter::<f32>().collect();
    for place in 0..32 {
        let result = &results[32 + place];
        let expected = -logarithms[place * 256 + result.token as usize];
        assert!(
            (result.loss - expected).abs() < 1e-4,
            "{result:?}: {expected}"
        );
        let kept = forward.masks.iter().map(|mask| {
            let row = mask.kept().narrow(1, place, 1).mean().into_data();
            row.iter::<f32>().next().unwrap()
        });
        let kept = kept.sum::<f32>() / forward.masks.len() as f32;
        assert!((result.kept.unwrap() - kept).abs() < 1e-5);
    }
}

#[test]
fn a_token_of_half_a_letter_shows_its_byte() {
    let place = Place::new();
    let line = |model: &Transformer, token: u32| {
        let tokenizer = Tokenizer::byte();
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = [65, token]
            .iter()
            .flat_map(|&id| (id as u16).to_le_bytes())
            .collect();
        for file in ["tokenizer.json", "meta.json", "train.bin"] {
            std::fs::copy(place.data().path().join(file), folder.path().join(file)).unwrap();
        }
        std::fs::write(folder.path().join("val.bin"), bytes).unwrap();
        let meta = std::fs::read_to_string(folder.path().join("meta.json")).unwrap();
        let mut meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        meta["validation"]["tokens"] = 2.into();
        std::fs::write(folder.path().join("meta.json"), meta.to_string()).unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let mut lines = Vec::new();
        let mut each = |result: &TokenResult<'_>| {
            lines.push(serde_json::to_string(result)?);
            Ok(())
        };
        let (tokens, options) = (data.split(Split::Validation), EvaluationOptions::default());
        evaluate_tokens(model, tokens, &tokenizer, options, &mut |_| {}, &mut each).unwrap();
        lines
    };
    let model = ignorant(&config());
    let loss = 256_f32.ln();
    let expected = format!(r#"{{"position":1,"token":66,"text":"B","loss":{loss}}}"#);
    assert_eq!(line(&model, 66), [expected]);
    let expected = format!(r#"{{"position":1,"token":195,"text":"�","bytes":"c3","loss":{loss}}}"#);
    assert_eq!(line(&model, 195), [expected]);
}

#[test]
fn a_failing_receiver_ends_the_evaluation() {
    let place = Place::new();
    let tokenizer = place.data().tokenizer().unwrap();
    let tokens = place.data().split(Split::Validation);
    let mut left = 5;
    let mut each = |_: &TokenResult<'_>| {
        left -= 1;
        match left {
            0 => Err(std::io::Error::other("the disk is full")),
            _ => Ok(()),
        }
    };
    let error = evaluate_tokens(
        &ignorant(&config()),
        tokens,
        &tokenizer,
        EvaluationOptions::default(),
        &mut |_| {},
        &mut each,
    );
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "the results of the tokens cannot be written: the disk is full"
    );
    assert_eq!(left, 0);
}
