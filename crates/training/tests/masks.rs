//! Runs of a tiny model with every form of masks: training, targets, resuming, and dense models that
//! become masked ones.

mod support;

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use learned_dropout::Transformer;
use learned_dropout_training::checkpoints::model_folder_of;
use learned_dropout_training::metrics::{Metrics, StepMetrics};
use learned_dropout_training::trainer::TrainError;
use model::{Pass, Site, model_folder};
use support::{Place, finish, parsed, train};

/// A short run that writes one checkpoint.
const SHORT: [&str; 4] = [
    "train.steps=2",
    "train.evaluate.every=2",
    "train.evaluate.sample.tokens=0",
    "train.checkpoint.every=2",
];

fn with_masks(table: &str, others: &[&str]) -> Vec<String> {
    let table = format!("model.learned_dropout={table}");
    let others = others.iter().map(ToString::to_string);
    std::iter::once(table).chain(others).collect()
}

fn borrowed(overrides: &[String]) -> Vec<&str> {
    overrides.iter().map(String::as_str).collect()
}

/// The loss of a model in evaluation mode.
fn evaluated(folder: &Path) -> f32 {
    let (config, weights) = model_folder::read(folder).unwrap();
    let device = Device::flex();
    let model = Transformer::from_weights(&config, &weights, &device);
    let ids = |shift: i32| {
        let ids: Vec<i32> = (0..16).map(|i| (i * 37 + shift) % 256).collect();
        Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 8]), &device)
    };
    let loss = model.loss(ids(0), ids(1), &Pass::Evaluate).cross_entropy;
    loss.into_data().iter::<f32>().next().unwrap()
}

fn steps(run: &Path) -> Vec<StepMetrics> {
    std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            Metrics::Step(step) => Some(step),
            _ => None,
        })
        .collect()
}

#[test]
fn every_form_trains_and_comes_back_or_is_refused() {
    let place = Place::new();
    let (mut trained, mut refused) = (0, 0);
    let sites = Site::ALL.map(|site| format!("\"{site}\""));
    let pairs = [
        r#"["feed-forward-hidden", "attention-heads"]"#,
        r#"["embedding", "attention-probabilities", "attention-output", "feed-forward-output"]"#,
    ];
    for site in sites.iter().map(String::as_str).chain(pairs) {
        for input in ["hidden", "embedding", "layer-input", "residual"] {
            for rank in ["", "rank = 3,"] {
                for group in [1, 4] {
                    // Every second form with the other gradient.
                    let gradient = ["exact", "kept-only"][(trained + refused) % 2];
                    let table = format!(
                        "{{ site = {site}, input = \"{input}\", {rank} group = {group}, \
                         gradient = \"{gradient}\", penalty = {{ floor = 0.2 }} }}"
                    );
                    let overrides = with_masks(&table, &SHORT);
                    let overrides = borrowed(&overrides);
                    if let Err(error) = parsed(&overrides) {
                        let message = error.to_string();
                        assert!(message.contains("`model.learned_dropout."), "{message}");
                        refused += 1;
                        continue;
                    }
                    let run = place.run(&format!("run-{trained}"));
                    let mut trainer = place.start(&run, &overrides).unwrap();
                    let outcome = train(&mut trainer, None).0.unwrap();
                    let loss = evaluated(&outcome.latest.unwrap());
                    assert!((4.0..7.0).contains(&loss), "{table}: {loss}");
                    trained += 1;
                }
            }
        }
    }
    assert!(trained > 40 && refused > 40, "{trained} {refused}");
}

const CONTROLLED: &str = r#"{
    site = ["feed-forward-hidden", "attention-heads"], input = "layer-input", rank = 4, group = 2,
    noise_steps = 5, gradient = "kept-only",
    penalty = { coefficient = 0.3, warmup = 2, target_kept = 0.4, target_steps = 3, floor = 0.1 }
}"#;

#[test]
fn a_run_with_a_target_resumes_with_the_same_bits() {
    let place = Place::new();
    let overrides = with_masks(&CONTROLLED.replace('\n', " "), &[]);
    let overrides = borrowed(&overrides);
    let whole = finish(place.start(&place.run("whole"), &overrides).unwrap());
    let expected = steps(&place.run("whole"));
    assert!(expected.iter().all(|step| step.kept_at_inference.is_some()));
    for stop_at in 1..6 {
        let run = place.run(&format!("stopped-{stop_at}"));
        let mut trainer = place.start(&run, &overrides).unwrap();
        train(&mut trainer, Some(stop_at)).0.unwrap();
        drop(trainer);
        let again = finish(place.resume(&run, &[]).unwrap());
        assert_eq!(again, whole, "stopped at {stop_at}");
        let penalty = |step: &StepMetrics| {
            (
                step.penalty_coefficient,
                step.target_kept,
                step.kept_at_inference,
            )
        };
        let found = steps(&run);
        assert_eq!(
            found.iter().map(penalty).collect::<Vec<_>>(),
            expected.iter().map(penalty).collect::<Vec<_>>()
        );
    }
    let coefficients: Vec<f64> = expected
        .iter()
        .filter_map(|step| step.penalty_coefficient)
        .collect();
    assert_eq!(coefficients[0], 0.0, "the warm-up begins with nothing");
    let targets: Vec<f64> = expected
        .iter()
        .filter_map(|step| step.target_kept)
        .collect();
    assert_eq!(targets[..3], [1.0; 3], "the target waits for the warm-up");
    assert!(targets[5] < 0.41, "{targets:?}");
    // From the step after the warm-up on, more is kept than the target: the coefficient rises.
    assert!(coefficients[5] > 0.3, "{coefficients:?}");
}

#[test]
fn a_run_with_series_resumes_with_the_same_bits() {
    let place = Place::new();
    let table = CONTROLLED.replace(
        "noise_steps",
        "function = { kind = \"fourier\", terms = 3 }, noise_steps",
    );
    let overrides = with_masks(&table.replace('\n', " "), &[]);
    let overrides = borrowed(&overrides);
    let whole = finish(place.start(&place.run("whole"), &overrides).unwrap());
    let run = place.run("stopped");
    let mut trainer = place.start(&run, &overrides).unwrap();
    let initial = trainer.weights();
    train(&mut trainer, Some(3)).0.unwrap();
    drop(trainer);
    let again = finish(place.resume(&run, &[]).unwrap());
    assert_eq!(again, whole);
    let (_, weights) = model_folder::read(&model_folder_of(&run).unwrap()).unwrap();
    for part in ["amplitude", "phase"] {
        let name = format!("blocks.0.feed_forward.hidden_learned_dropout.series.{part}");
        assert_ne!(weights[&name], initial[&name], "{part}");
    }
}

#[test]
fn a_target_is_reached() {
    let place = Place::new();
    let table = r#"{ site = "feed-forward-hidden", input = "layer-input", rank = 4, group = 4,
        penalty = { target_kept = 0.3, target_steps = 100 } }"#;
    let others = [
        "train.steps=400",
        "train.evaluate.every=400",
        "train.evaluate.sample.tokens=0",
        "train.checkpoint.every=400",
        "train.accumulate=1",
    ];
    let overrides = with_masks(&table.replace('\n', " "), &others);
    let run = place.run("run");
    train(&mut place.start(&run, &borrowed(&overrides)).unwrap(), None)
        .0
        .unwrap();
    let last: Vec<f64> = steps(&run)
        .iter()
        .rev()
        .take(50)
        .filter_map(|step| step.kept_at_inference)
        .collect();
    let mean = last.iter().sum::<f64>() / last.len() as f64;
    assert!((mean - 0.3).abs() < 0.05, "{mean}");
}

#[test]
fn a_dense_model_becomes_a_masked_one() {
    let place = Place::new();
    let dense = place.run("dense");
    let mut trainer = place
        .start(&dense, &[&["model.learned_dropout="][..], &SHORT].concat())
        .unwrap();
    let latest = train(&mut trainer, None).0.unwrap().latest.unwrap();
    drop(trainer);
    let expected = evaluated(&latest);
    let from = format!("train.from={dense:?}");
    for (index, table) in [
        CONTROLLED,
        r#"{ site = "attention-probabilities", input = "residual", rank = 3 }"#,
        r#"{ input = "embedding" }"#,
        r#"{ site = ["attention-heads", "feed-forward-output"], generator = "linear", group = 2,
            rounding = "threshold", control = { kind = "threshold", target = 0.5 } }"#,
        r#"{ function = { kind = "cosine", shift_init = 3.0 } }"#,
        r#"{ rank = 4, group = 2, function = { kind = "fourier", terms = 3, shift_init = 3.0 } }"#,
    ]
    .iter()
    .enumerate()
    {
        let mut overrides = with_masks(&table.replace('\n', " "), &SHORT);
        overrides.push(from.clone());
        let run = place.run(&format!("masked-{index}"));
        let mut trainer = place.start(&run, &borrowed(&overrides)).unwrap();
        let folder = place.run(&format!("model-{index}"));
        std::fs::create_dir(&folder).unwrap();
        let config = trainer.config().model.transformer(None).unwrap();
        model_folder::write(&folder, &config, &trainer.weights()).unwrap();
        assert_eq!(evaluated(&folder), expected, "{table}");
        let latest = train(&mut trainer, None).0.unwrap().latest.unwrap();
        assert_ne!(evaluated(&latest), expected, "it learns");
    }
}

#[test]
fn a_run_that_was_killed_early_begins_again_from_the_dense_model() {
    let place = Place::new();
    let dense = place.run("dense");
    drop(finish(
        place
            .start(&dense, &[&["model.learned_dropout="][..], &SHORT].concat())
            .unwrap(),
    ));
    let from = format!("train.from={dense:?}");
    let overrides = [&[&*from][..], &SHORT].concat();
    let whole = finish(place.start(&place.run("whole"), &overrides).unwrap());
    let run = place.run("early");
    drop(place.start(&run, &overrides).unwrap());
    assert_eq!(finish(place.resume(&run, &[]).unwrap()), whole);
    // Once there is a checkpoint, the dense model is not needed any more.
    std::fs::remove_dir_all(&dense).unwrap();
    assert_eq!(place.resume(&run, &[]).unwrap().state().step, 2);
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_anything_is_written() {
    let place = Place::new();
    let dense = place.run("dense");
    drop(finish(
        place
            .start(&dense, &[&["model.learned_dropout="][..], &SHORT].concat())
            .unwrap(),
    ));
    let masked = place.run("masked");
    drop(finish(place.start(&masked, &SHORT).unwrap()));
    let run = place.run("run");
    let refused = |from: &Path, overrides: &[&str], reason: &str| {
        let from = format!("train.from={from:?}");
        let overrides = [&[&*from][..], overrides].concat();
        let Err(TrainError::Origin {
            path,
            reason: found,
        }) = place.start(&run, &overrides)
        else {
            panic!("not refused: {overrides:?}")
        };
        assert!(found.contains(reason), "{}: {found}", path.display());
        assert!(!run.exists());
    };
    refused(&place.run("nowhere"), &[], "there is no such folder");
    let no_model = place.data().path();
    refused(no_model, &[], "neither a model folder");
    refused(
        &dense,
        &["model.width=12"],
        "width is 8, but model.width is 12",
    );
    refused(&dense, &["model.context=9"], "context is 8");
    refused(&masked, &["model.learned_dropout="], "none taken away");
    let other = r#"model.learned_dropout={ rank = 2 }"#;
    refused(&masked, &[other], "rank, heads and input must agree");
    let other = r#"model.learned_dropout={ input = "hidden" }"#;
    refused(&masked, &[other], "computed from \"embedding\"");
    let other = r#"model.learned_dropout={ input = "embedding", function = { kind = "fourier" } }"#;
    refused(
        &masked,
        &[other],
        "its mask function at feed-forward-output is \"cosine\", but that of model.learned_dropout is \"fourier\" with 4 terms",
    );
    let tokenizer = dense.join("checkpoints/step-00000002/tokenizer.json");
    std::fs::write(tokenizer, "{}").unwrap();
    refused(&dense, &[], "its tokenizer is not that of ");
}
