//! The precision of matrix products in whole runs of a tiny model.

mod support;

use std::path::Path;

use burn::tensor::Device;
use learned_dropout_training::config::RunConfig;
use learned_dropout_training::metrics::Metrics;
use learned_dropout_training::precision::PrecisionChoice;
use learned_dropout_training::trainer::TrainError;
use support::{Place, finish};

/// The losses of the steps of a run.
fn losses(run: &Path) -> Vec<f64> {
    std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            Metrics::Step(step) => Some(step.loss),
            _ => None,
        })
        .collect()
}

/// At first the weights of the output layer have a standard deviation of 0.02, so a row of 8 is
/// shorter than 0.1, and a normalized token has a length of √8: their products sum up to less than
/// 0.3 in magnitude. Rounding to bf16 changes each factor by at most 2⁻⁸ of itself, a logit then by
/// less than 0.3 · 2⁻⁷, and by no more through the tokens that the layers below round. A loss is
/// the difference of two such values: 4 · 0.3 · 2⁻⁷ < 0.01. Later losses may differ by a hundredth
/// of what is learned.
#[test]
fn bf16_is_in_effect_and_learns_as_f32_does() {
    let place = Place::new();
    let losses_in = |precision: &str| {
        let run = place.run(precision);
        let precision = format!("train.precision={precision}");
        let overrides = [
            &precision,
            "train.steps=40",
            "train.evaluate.every=40",
            "model.dropout=0.0",
            "model.learned_dropout.rounding=none",
        ];
        let weights = finish(place.start(&run, &overrides).unwrap()).remove(0);
        (losses(&run), weights)
    };
    let ((f32, f32_weights), (bf16, bf16_weights)) = (losses_in("f32"), losses_in("bf16"));
    assert_ne!(f32_weights, bf16_weights);
    assert_ne!(f32[0], bf16[0], "the first forward pass");
    assert!((f32[0] - bf16[0]).abs() < 0.01, "{} {}", f32[0], bf16[0]);
    let learned = f32[0] - f32[39];
    assert!(learned > 1.0, "{f32:?}");
    for (step, (f32, bf16)) in f32.iter().zip(&bf16).enumerate() {
        assert!(
            (f32 - bf16).abs() < learned / 100.0,
            "step {step}: {f32} {bf16}"
        );
    }
}

#[test]
fn a_run_decides_its_precision_when_it_begins_and_keeps_to_it() {
    let place = Place::new();
    let stored = |run: &Path| {
        RunConfig::read(&run.join("config.toml"), &[])
            .unwrap()
            .train
    };
    let run = place.run("auto");
    drop(place.start(&run, &[]).unwrap());
    let fastest = PrecisionChoice::Auto.on(&Device::flex()).unwrap();
    assert_eq!(stored(&run).precision, fastest.into());

    let run = place.run("bf16");
    let whole = finish(place.start(&run, &["train.precision=bf16"]).unwrap());
    assert_eq!(stored(&run).precision, PrecisionChoice::Bf16);
    let error = place.resume(&run, &["train.precision=f32"]).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("differs from the run's own in train.precision;"),
        "{error}"
    );
    let auto = place.resume(&run, &["train.precision=auto"]).unwrap();
    assert_eq!(auto.config().train.precision, PrecisionChoice::Bf16);
    drop(auto);
    let without = |run: &Path| {
        let path = run.join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("precision"));
        std::fs::write(path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    };
    without(&run);
    assert!(matches!(
        place.resume(&run, &[]),
        Err(TrainError::ConfigEdited { .. })
    ));

    // Runs that are older than the key were computed in f32.
    let run = place.run("old");
    let old = finish(place.start(&run, &["train.precision=f32"]).unwrap());
    assert_ne!(old, whole);
    without(&run);
    let resumed = place.resume(&run, &[]).unwrap();
    assert_eq!(resumed.config().train.precision, PrecisionChoice::F32);
    assert_eq!(resumed.state().step, 6);
}
