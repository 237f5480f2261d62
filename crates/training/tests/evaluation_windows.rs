//! Which windows a run's evaluations read, and on which sets.

mod support;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use data::{DataFolder, Split};
use learned_dropout::Transformer;
use learned_dropout_training::config::{EvaluationBatches, EvaluationWindows, RunConfig};
use learned_dropout_training::evaluation::{EvaluationOptions, evaluate};
use learned_dropout_training::metrics::{EvaluationMetrics, Metrics};
use learned_dropout_training::stored_model::StoredModel;
use learned_dropout_training::trainer::Setup;
use model::Pass;
use support::{Place, parsed, train};

/// The windows of the tiny model.
const CONTEXT: usize = 8;

/// The precision of what losses are compared with.
const EXACT: &str = "train.precision=f32";

fn lines(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn evaluations(run: &Path) -> Vec<EvaluationMetrics> {
    let lines = lines(run).into_iter();
    let metrics = lines.map(|line| serde_json::from_value(line).unwrap());
    let evaluations = metrics.filter_map(|metrics| match metrics {
        Metrics::Evaluation(evaluation) => Some(evaluation),
        _ => None,
    });
    evaluations.collect()
}

/// The run's last checkpoint.
fn latest(run: &Path) -> Transformer {
    let name = std::fs::read_to_string(run.join("latest")).unwrap();
    let folder = run.join("checkpoints").join(name.trim());
    let (config, weights) = StoredModel::find(&folder).unwrap().read().unwrap();
    Transformer::from_weights(&config, &weights, &Device::flex())
}

/// The mean loss over windows that begin at these tokens.
fn loss_at(model: &Transformer, data: &DataFolder, split: Split, first: &[usize]) -> f64 {
    let losses = first.iter().map(|&first| {
        let mut window = vec![0; CONTEXT + 1];
        data.split(split).window(first, &mut window).unwrap();
        let ids = |ids: &[u32]| {
            let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
            let data = TensorData::new(ids, [1, CONTEXT]);
            Tensor::<2, Int>::from_data(data, &Device::flex())
        };
        let (inputs, targets) = (ids(&window[..CONTEXT]), ids(&window[1..]));
        let loss = model.loss(inputs, targets, &Pass::Evaluate).cross_entropy;
        f64::from(loss.into_data().iter::<f32>().next().unwrap())
    });
    losses.sum::<f64>() / first.len() as f64
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-5,
        "{found}, expected {expected}"
    );
}

#[test]
fn fixed_windows_lie_at_even_distances() {
    let place = Place::new();
    let run = place.run("run");
    // Three batches of two windows.
    let mut trainer = place
        .start(&run, &[EXACT, "train.evaluate.batches=3"])
        .unwrap();
    let outcome = train(&mut trainer, None).0.unwrap();
    drop(trainer);
    let whole = (place.data().split(Split::Validation).len() - 1) / CONTEXT;
    // The middle of each sixth of the text, rounded down to a whole window.
    let first: Vec<usize> = [1, 3, 5, 7, 9, 11]
        .iter()
        .map(|twelfths| twelfths * whole / 12 * CONTEXT)
        .collect();
    let model = latest(&run);
    let found = evaluations(&run);
    let last = found.last().unwrap();
    for (loss, split) in [
        (last.train_loss, Split::Train),
        (last.validation_loss, Split::Validation),
    ] {
        assert_close(loss, loss_at(&model, place.data(), split, &first));
    }
    // The tiny model sees 2 · 2 windows of 8 tokens a step.
    let tokens: Vec<_> = found.iter().map(|evaluation| evaluation.tokens).collect();
    assert_eq!(tokens, [Some(3 * 32), Some(6 * 32)]);
    assert!(outcome.spent.evaluations > std::time::Duration::ZERO);
    assert!(outcome.spent.training > std::time::Duration::ZERO);
    assert!((0.0..1.0).contains(&outcome.spent.evaluation_share()));
}

#[test]
fn windows_depend_on_no_seed_unless_they_are_random() {
    let place = Place::new();
    // Nothing is learned, and the model begins with the same weights.
    let start = place.run("start");
    train(&mut place.start(&start, &[]).unwrap(), None)
        .0
        .unwrap();
    let from = format!("train.from={:?}", start.to_str().unwrap());
    let losses = |name: &str, seed: &str, windows: &str| {
        let run = place.run(name);
        let fixed = [
            from.as_str(),
            seed,
            windows,
            "train.optimizer.learning_rate=1e-30",
            "train.optimizer.weight_decay=0",
        ];
        train(&mut place.start(&run, &fixed).unwrap(), None)
            .0
            .unwrap();
        let losses = evaluations(&run);
        [losses[0].validation_loss, losses[1].validation_loss]
    };
    let fixed = losses("a", "seed=1", "train.evaluate.windows=fixed");
    assert_eq!(fixed[0], fixed[1]);
    assert_eq!(fixed, losses("b", "seed=2", "train.evaluate.windows=fixed"));
    let random = losses("c", "seed=1", "train.evaluate.windows=random");
    assert_ne!(random[0], random[1]);
    assert_ne!(
        random,
        losses("d", "seed=2", "train.evaluate.windows=random")
    );
}

#[test]
fn all_of_the_validation_split_is_what_an_evaluation_of_it_gives() {
    let place = Place::new();
    let tokens = place.data().split(Split::Validation);
    assert_ne!(
        (tokens.len() - 1) % CONTEXT,
        0,
        "the last window is shorter"
    );
    // More windows than there are mean all of them, too.
    for (name, batches) in [("all", "\"all\""), ("many", "1000000")] {
        let run = place.run(name);
        let batches = format!("train.evaluate.batches={batches}");
        let overrides = [EXACT, "train.steps=1", batches.as_str()];
        train(&mut place.start(&run, &overrides).unwrap(), None)
            .0
            .unwrap();
        let (model, tokenizer) = (latest(&run), place.data().tokenizer().unwrap());
        let options = EvaluationOptions::default();
        let expected = evaluate(&model, tokens, &tokenizer, options, &mut |_| {}).unwrap();
        let found = evaluations(&run).pop().unwrap();
        assert_close(found.validation_loss, expected.loss);
        assert_close(found.mask.unwrap().mean.kept, expected.kept.unwrap());
        // Both splits have the same text here.
        assert_eq!(found.train_loss, found.validation_loss);
    }
}

#[test]
fn windows_and_batches_are_read_and_written() {
    let evaluate = |overrides: &[&str]| parsed(overrides).unwrap().train.evaluate;
    let config = evaluate(&[]);
    assert_eq!(config.windows, EvaluationWindows::Fixed);
    assert_eq!(config.batches, EvaluationBatches::Number(2));
    let all = parsed(&["train.evaluate.batches=all", "train.evaluate.sets.a-1=x/y"]).unwrap();
    assert_eq!(all.train.evaluate.batches, EvaluationBatches::All);
    assert_eq!(all.train.evaluate.sets["a-1"], Path::new("x/y"));
    let again = RunConfig::parse(&all.to_toml().unwrap(), Path::new("again"), &[]).unwrap();
    assert_eq!(again, all);
    let refused = |overrides: &[&str], expected: &str| {
        let error = parsed(overrides).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let number = "expected a whole number of at least 1, or \"all\"";
    for batches in ["some", "-1", "1.5", "true", "[1]"] {
        refused(&[&format!("train.evaluate.batches={batches}")], number);
    }
    refused(
        &["train.evaluate.batches=0"],
        "`train.evaluate.batches` is 0",
    );
    refused(
        &[
            "train.evaluate.batches=all",
            "train.evaluate.windows=random",
        ],
        "expected \"fixed\" where `batches` is \"all\"",
    );
    refused(
        &["train.evaluate.windows=none"],
        "expected one of `fixed`, `random`",
    );
    for name in ["validation", "\"a b\"", "\"\"", "\"a/b\""] {
        let set = format!("train.evaluate.sets={{ {name} = \"x\" }}");
        refused(&[&set], "expected");
    }
}

#[test]
fn runs_that_are_older_than_the_key_keep_random_windows() {
    let place = Place::new();
    let run = place.run("run");
    drop(place.start(&run, &[]).unwrap());
    let file = run.join("config.toml");
    let windows = |config: RunConfig| config.train.evaluate.windows;
    let stored = |overrides: &[String]| windows(Setup::stored_config(&run, overrides).unwrap());
    assert_eq!(stored(&[]), EvaluationWindows::Fixed);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("windows = \"fixed\"\n", "")).unwrap();
    assert_eq!(stored(&[]), EvaluationWindows::Random);
    let fixed = "train.evaluate.windows=fixed".to_string();
    assert_eq!(
        stored(std::slice::from_ref(&fixed)),
        EvaluationWindows::Fixed
    );
    // A file that doesn't name them leaves them as they are.
    let other = place.run("other.toml");
    std::fs::copy(&file, &other).unwrap();
    let resumed =
        |overrides: &[String]| windows(Setup::resumed_config(&run, &other, overrides).unwrap());
    assert_eq!(resumed(&[]), EvaluationWindows::Random);
    assert_eq!(resumed(&[fixed]), EvaluationWindows::Fixed);
    let mut trainer = place.resume(&run, &[]).unwrap();
    train(&mut trainer, None).0.unwrap();
}

/// A copy of the data with another tokenizer file, or the same.
fn copy(place: &Place, name: &str, change: impl Fn(&Path)) -> PathBuf {
    let folder = place.run(name);
    std::fs::create_dir(&folder).unwrap();
    for file in ["tokenizer.json", "meta.json", "train.bin", "val.bin"] {
        std::fs::copy(place.data().path().join(file), folder.join(file)).unwrap();
    }
    change(&folder);
    folder
}

#[test]
fn sets_are_evaluated_like_the_validation_split() {
    let place = Place::new();
    let same = copy(&place, "same", |_| {});
    let shorter = copy(&place, "shorter", |folder| {
        let meta = std::fs::read_to_string(folder.join("meta.json")).unwrap();
        let mut meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        meta["validation"]["tokens"] = 41.into();
        std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
        let tokens = std::fs::read(folder.join("val.bin")).unwrap();
        std::fs::write(folder.join("val.bin"), &tokens[..82]).unwrap();
    });
    let set = |name: &str, path: &Path| format!("train.evaluate.sets.{name}={path:?}");
    let sets = [set("same", &same), set("shorter", &shorter)];
    let run = place.run("run");
    let overrides = [
        EXACT,
        sets[0].as_str(),
        sets[1].as_str(),
        "train.evaluate.batches=50",
    ];
    let mut trainer = place.start(&run, &overrides).unwrap();
    train(&mut trainer, Some(4)).0.unwrap();
    drop(trainer);
    // They are stored, and found again on resuming.
    train(&mut place.resume(&run, &[]).unwrap(), None)
        .0
        .unwrap();
    let found = evaluations(&run);
    assert_eq!(found.len(), 2);
    for evaluation in &found {
        assert_eq!(evaluation.sets["same"], evaluation.validation_loss);
    }
    let first: Vec<usize> = (0..5).map(|window| window * CONTEXT).collect();
    let data = DataFolder::open(&shorter).unwrap();
    let expected = loss_at(&latest(&run), &data, Split::Validation, &first);
    assert_close(found[1].sets["shorter"], expected);
}

/// The tests' working folder is not that of the data.
#[test]
fn a_further_set_leaves_the_stored_ones_where_they_are() {
    let place = Place::new();
    let near = copy(&place, "near", |_| {});
    let far = copy(&place, "far", |_| {});
    let run = place.run("run");
    let set = format!("train.evaluate.sets.near={near:?}");
    drop(place.start(&run, &[&set]).unwrap());
    let file = run.join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let relative = text.replace(&format!("{near:?}"), "\"near\"");
    assert_ne!(relative, text);
    std::fs::write(&file, &relative).unwrap();
    let typed = format!("train.evaluate.sets.far = {far:?}");
    let config = Setup::stored_config(&run, std::slice::from_ref(&typed)).unwrap();
    let sets: Vec<&PathBuf> = config.train.evaluate.sets.values().collect();
    assert_eq!(sets, [&far, &near]);
    drop(place.resume(&run, &[&typed]).unwrap());
    let stored = std::fs::read_to_string(&file).unwrap();
    assert!(stored.contains("near = \"near\""), "{stored}");
    // What is typed is relative to the working folder, whatever the table.
    for typed in [
        "train.evaluate.sets.near=near",
        "train.evaluate.sets = { near = 'near' }",
    ] {
        let config = Setup::stored_config(&run, &[typed.into()]).unwrap();
        assert_eq!(config.train.evaluate.sets["near"], Path::new("near"));
    }
}

#[test]
fn sets_that_cannot_be_used_are_refused_by_name() {
    let place = Place::new();
    let refused = |path: &Path, expected: &str| {
        let set = format!("train.evaluate.sets.far={path:?}");
        let run = place.run("run");
        let error = place.start(&run, &[&set]).err().unwrap().to_string();
        assert!(error.starts_with("train.evaluate.sets.far: "), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(!run.exists());
    };
    refused(&place.run("nowhere"), "nowhere");
    let other = copy(&place, "other", |folder| {
        let meta = std::fs::read_to_string(folder.join("meta.json")).unwrap();
        let mut meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        meta["end_of_text"] = 0.into();
        std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
    });
    refused(&other, "another tokenizer than the run's data");
    let short = copy(&place, "short", |folder| {
        let meta = std::fs::read_to_string(folder.join("meta.json")).unwrap();
        let mut meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        meta["validation"]["tokens"] = 8.into();
        std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
        let tokens = std::fs::read(folder.join("val.bin")).unwrap();
        std::fs::write(folder.join("val.bin"), &tokens[..16]).unwrap();
    });
    refused(&short, "has 8 tokens, but 9 are needed");
}

#[test]
fn every_line_says_when_it_was_written() {
    let seconds = || {
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs_f64()
    };
    let place = Place::new();
    let run = place.run("run");
    let mut before = seconds();
    train(&mut place.start(&run, &[]).unwrap(), None).0.unwrap();
    let lines = lines(&run);
    assert_eq!(lines.len(), 6 + 2 + 2);
    for line in lines {
        let time = line["time"].as_f64().unwrap();
        assert!((before..=seconds()).contains(&time), "{line}");
        before = time;
    }
}
