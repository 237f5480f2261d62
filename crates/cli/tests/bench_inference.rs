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
