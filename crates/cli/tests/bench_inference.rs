//! `ldrop bench decode` and `ldrop bench prefill` measure without data, dense and sparse.

mod support;

use serde_json::Value;
use support::{failure, json, prepare, run};

fn number(report: &Value, keys: &[&str]) -> f64 {
    let value = keys.iter().fold(report, |value, key| &value[*key]);
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{keys:?} in {report}"))
}

/// A tiny model whose hidden units are masked in groups, from the input of their layer.
fn masked() -> String {
    support::TINY.replace(
        "[model.learned_dropout.penalty]",
        "[model.learned_dropout]\n\
         site = \"feed-forward-hidden\"\n\
         input = \"layer-input\"\n\
         rank = 4\n\
         group = 4\n\n\
         [model.learned_dropout.penalty]",
    )
}

#[test]
fn dense_and_sparse_are_timed_in_alternation() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    std::fs::write(folder.join("tiny.toml"), masked()).expect("written");
    let model = ["--config", "tiny.toml", "--set", "model.vocabulary=61"];
    for (command, tokens) in [("decode", 2.0 * 8.0), ("prefill", 8.0)] {
        let mut arguments = vec!["bench", command, "--rounds", "3", "--tokens", "8"];
        arguments.extend(model);
        arguments.extend(["--kept", "0.25"]);
        if command == "decode" {
            arguments.extend(["--batch", "2"]);
        }
        let report = json(folder, &arguments);
        for arm in ["dense", "sparse"] {
            let seconds = report[arm]["seconds_all"].as_array().expect("a list");
            let mut seconds: Vec<f64> = seconds.iter().filter_map(Value::as_f64).collect();
            seconds.sort_by(f64::total_cmp);
            assert_eq!(seconds.len(), 3);
            let speed = number(&report, &[arm, "tokens_per_second"]);
            assert!((speed * seconds[1] / tokens - 1.0).abs() < 1e-9, "{report}");
        }
        let kept = number(&report, &["kept"]);
        assert!((0.1..0.4).contains(&kept), "{report}");
        let ratio = number(&report, &["sparse", "tokens_per_second"])
            / number(&report, &["dense", "tokens_per_second"]);
        assert!((number(&report, &["speed_up"]) / ratio - 1.0).abs() < 1e-9);
        let ideal = number(&report, &["ideal_speed_up"]);
        assert!(ideal > 1.05 && ideal < 4.0, "{report}");
        assert_eq!(
            (&report["threads"], &report["tokens"]),
            (&2.into(), &8.into())
        );
        // So small a model stays in the cache as it is.
        assert_eq!(report["precision"], "f32");
        assert!(report["cpu"].as_str().expect("a name").contains(", "));
    }
    let left = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(left, 1, "only the configuration");
}

/// Two models, the second with masks and twice as many layers: a list with a report of each.
#[test]
fn several_models_are_timed_in_alternation() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let penalty = "[model.learned_dropout.penalty]\ncoefficient = 0.1\n";
    let dense = support::TINY.replace(penalty, "");
    std::fs::write(folder.join("dense.toml"), dense).expect("written");
    std::fs::write(folder.join("masked.toml"), masked()).expect("written");
    let train = |config: &str, out: &str, layers: &str| {
        let layers = format!("model.layers={layers}");
        let arguments = ["train", "--config", config, "--out", out, "--set", &layers];
        run(
            folder,
            &[&arguments[..], &["--set", "train.steps=1"]].concat(),
        );
    };
    train("dense.toml", "dense", "1");
    train("masked.toml", "masked", "2");
    let both = ["--model", "dense", "--model", "masked", "--rounds", "4"];
    for command in ["decode", "prefill"] {
        let report = json(folder, &[&["bench", command][..], &both].concat());
        let models = report["models"].as_array().expect("a list");
        let names: Vec<&Value> = models.iter().map(|model| &model["model"]).collect();
        assert_eq!(names, ["dense", "masked"]);
        let seconds = |model: usize| -> Vec<f64> {
            let rounds = models[model]["sparse"]["seconds_all"].as_array();
            rounds
                .expect("rounds")
                .iter()
                .filter_map(Value::as_f64)
                .collect()
        };
        let (first, second) = (seconds(0), seconds(1));
        assert_eq!((first.len(), second.len()), (4, 4));
        // The ratio of the medians, each the mean of the two in the middle.
        let median = |seconds: &[f64]| {
            let mut sorted = seconds.to_vec();
            sorted.sort_by(f64::total_cmp);
            (sorted[1] + sorted[2]) / 2.0
        };
        let ratio = median(&first) / median(&second);
        let over_first = number(&models[1], &["speed_up_over_first"]);
        assert!((over_first / ratio - 1.0).abs() < 1e-9, "{report}");
        assert!(number(&models[1], &["speed_up_over_first_deviation"]) > 0.0);
        assert_eq!(number(&models[0], &["speed_up_over_first"]), 1.0);
        assert_eq!(number(&models[0], &["speed_up_over_first_deviation"]), 0.0);
        assert!(models[0]["kept"].is_null() && models[1]["kept"].is_f64());
    }
    let shown = run(folder, &[&["bench", "decode"][..], &both].concat()).stdout;
    let shown = String::from_utf8(shown).expect("text");
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name));
    let (dense, masked) = (row("dense").expect("a row"), row("masked").expect("a row"));
    assert!(
        dense.contains("1.00 ± 0.00×") && dense.contains('–'),
        "{shown}"
    );
    assert!(masked.matches('×').count() == 2, "{shown}");
    let (code, message) = failure(
        folder,
        &[
            &["bench", "decode"][..],
            &both,
            &["--model", "dense"],
            &["--data", "data", "--data", "data"],
        ]
        .concat(),
    );
    assert!(
        code == 2 && message.contains("given 2 times with 3 models"),
        "{message}"
    );
}

#[test]
fn the_quick_start_is_timed_in_every_precision() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let small = [
        "--rounds",
        "1",
        "--set",
        "model.layers=1",
        "--set",
        "model.width=16",
    ];
    for (command, tokens) in [("decode", 64), ("prefill", 128)] {
        let bench = ["bench", command];
        for precision in ["f16", "bf16", "f32"] {
            let report = json(
                folder,
                &[&bench[..], &["--precision", precision], &small].concat(),
            );
            assert_eq!(report["precision"], precision);
            assert_eq!(report["tokens"], tokens, "the context is 128");
            assert!(number(&report, &["dense", "tokens_per_second"]) > 0.0);
        }
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let train = [
        "train",
        "--config",
        "tiny.toml",
        "--out",
        "run",
        "--set",
        "train.steps=1",
    ];
    run(folder, &train);
    let report = json(
        folder,
        &["bench", "decode", "--model", "run", "--rounds", "1"],
    );
    assert_eq!(report["tokens"], 16, "the whole context");
    let too_many = ["bench", "prefill", "--model", "run", "--tokens", "17"];
    let (code, message) = failure(folder, &too_many);
    assert!(code == 2 && message.contains("at most 16"), "{message}");
    let (code, message) = failure(folder, &["bench", "decode", "--kept", "1.5"]);
    assert!(code == 2 && message.contains("from 0 to 1"), "{message}");
    let (code, message) = failure(folder, &["bench", "train", "--precision", "f16"]);
    assert!(code != 0 && message.contains("f16"), "{message}");
}

#[test]
fn dense_and_sparse_give_the_same_results() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    std::fs::write(folder.join("tiny.toml"), masked()).expect("written");
    let train = [
        "train",
        "--config",
        "tiny.toml",
        "--out",
        "run",
        "--set",
        "train.steps=2",
    ];
    run(folder, &train);
    let both = |arguments: &[&str]| {
        let sparse = json(folder, arguments);
        (json(folder, &[arguments, &["--dense"]].concat()), sparse)
    };
    let generate = [
        "generate",
        "--model",
        "run",
        "--prompt",
        "line 3: the",
        "--max-tokens",
        "24",
        "--temperature",
        "0",
    ];
    let (dense, sparse) = both(&generate);
    assert_eq!(dense["text"], sparse["text"]);
    let (dense, sparse) = both(&["inspect", "--model", "run", "--prompt", "line 3: the"]);
    assert_eq!(dense["kept"], sparse["kept"]);
    assert_eq!(sparse["masks"][1]["site"], "feed-forward-hidden");
    assert_eq!(sparse["masks"][1]["layer"], 1);
    let logits = |report: &Value| -> Vec<f64> {
        let logits = report["logits"].as_array().into_iter().flatten();
        logits.filter_map(Value::as_f64).collect()
    };
    let (dense, sparse) = (logits(&dense), logits(&sparse));
    assert_eq!((dense.len(), sparse.len()), (256, 256));
    for (dense, sparse) in dense.iter().zip(&sparse) {
        assert!((dense - sparse).abs() < 1e-4, "{dense} {sparse}");
    }
}
