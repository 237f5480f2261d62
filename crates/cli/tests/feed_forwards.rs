//! Every kind of feed-forward in all commands, and thresholds for a dense one.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{failure, json, prepare, run};

/// Trains a model without learned masks; gives the summary of the run.
fn train(folder: &Path, name: &str, feed_forward: &str) -> Value {
    let kind = format!("model.feed_forward={feed_forward}");
    let set = ["--set", "model.learned_dropout=", "--set", &kind];
    let train = ["train", "--config", "tiny.toml", "--out", name];
    json(folder, &[&train[..], &set].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn every_kind_becomes_a_model_that_can_be_used() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    // The number of weights that a token may leave out in a layer of 16 channels.
    for (name, kind, optional) in [
        ("narrow", "{kind=\"dense\", hidden=24}", None),
        ("swiglu", "{kind=\"swiglu\", hidden=24}", None),
        ("relu", "{kind=\"relu\", hidden=24}", Some(24 * 16)),
        (
            "mixture",
            "{kind=\"mixture-of-experts\", experts=4, active=1, hidden=8, shared=8}",
            Some(2 * 4 * 8 * 16),
        ),
        (
            "routed",
            "{kind=\"relu-routed-experts\", experts=4, hidden=8}",
            Some(2 * 4 * 8 * 16),
        ),
    ] {
        let trained = train(folder, name, kind);
        assert_eq!(trained["step"], 12, "{name}");
        let sample = trained["sample"].as_str().expect("a sample");
        assert!(sample.starts_with("line"), "{name}");
        let raised = [
            "train",
            "--out",
            name,
            "--resume",
            "--set",
            "train.steps=14",
        ];
        assert_eq!(json(folder, &raised)["step"], 14, "{name}");

        let evaluated = json(folder, &["eval", "--model", name]);
        assert!(number(&evaluated["loss"]) < 6.0, "{name}: {evaluated}");
        let Some(optional) = optional else {
            assert_eq!(evaluated.get("density"), None, "{name}");
            continue;
        };
        let density = number(&evaluated["density"]);
        let operations = &evaluated["forward_flops_per_token"];
        let saved = number(&operations["dense"]) - number(&operations["executed"]);
        let expected = 2.0 * 2.0 * f64::from(optional) * (1.0 - density);
        assert!((saved - expected).abs() <= 1.0, "{name}: {evaluated}");
        let info = json(folder, &["info", "--model", name]);
        assert_eq!(
            info["forward_flops_per_token"]["dense"],
            operations["dense"]
        );
        match name {
            "relu" => assert_eq!(info.get("active_parameters"), None),
            "mixture" => {
                assert!((density - 0.25).abs() < 1e-6, "{density}");
                let kept = number(&info["forward_flops_per_token"]["kept"]);
                assert!((kept - number(&operations["executed"])).abs() <= 1.0);
                let unused = number(&info["parameters"]) - number(&info["active_parameters"]);
                assert_eq!(unused, 2.0 * f64::from(optional) * 0.75);
            }
            _ => assert!(info["active_parameters"].is_number()),
        }
        let export = [
            "export", "--model", name, "--format", "pt-names", "--out", "model.pt",
        ];
        let (code, message) = failure(folder, &export);
        assert!(code == 1 && message.contains("feed_forward"), "{message}");
        let thresholds = ["eval", "--model", name, "--threshold-sparsity", "0.5"];
        if name != "relu" {
            let (code, message) = failure(folder, &thresholds);
            assert!(
                code == 2 && message.contains("without experts"),
                "{message}"
            );
        }
    }
}

/// An evaluation of the last checkpoint measures the shares that the run's last evaluation has measured, so that
/// both commands count the same operations. Thresholds on heads and a mask without one on hidden units of layers
/// with different numbers of them.
#[test]
fn evaluations_and_info_count_the_same_operations() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let masks = "model.learned_dropout={ site = [\"attention-heads\", \"feed-forward-hidden\"], \
                 input = \"layer-input\", generator = \"linear\", group = 4, rounding = \"threshold\", \
                 function = { kind = \"cosine\", shift_init = 1.5 }, at.attention-heads.control = \
                 { kind = \"threshold\", target = 0.5 } }";
    let relu = "model.feed_forward={ kind = \"relu\", hidden = [32, 8] }";
    let all = "train.evaluate.batches=all";
    let train = ["train", "--config", "tiny.toml", "--out", "run"];
    let set = ["--set", masks, "--set", relu, "--set", all];
    run(
        folder,
        &[&train[..], &set, &["--precision", "f32"]].concat(),
    );
    let latest = std::fs::read_to_string(folder.join("run/latest")).expect("a file");
    let latest = format!("run/checkpoints/{}", latest.trim());
    let eval = ["eval", "--model", &latest, "--precision", "f32"];
    let evaluated = json(folder, &eval);
    let by_token = json(
        folder,
        &[&eval[..], &["--per-token", "tokens.jsonl"]].concat(),
    );
    assert_eq!(evaluated["kept"], by_token["kept"]);
    let info = json(folder, &["info", "--model", &latest]);
    let masks = info["masks"].as_array().expect("masks").iter();
    let kept: Vec<f64> = masks.map(|mask| number(&mask["kept"])).collect();
    // Heads of both layers in one entry, and hidden units of each layer.
    let mean = (2.0 * kept[0] + kept[1] + kept[2]) / 4.0;
    assert!(
        (number(&evaluated["kept"]) - mean).abs() < 1e-3,
        "{evaluated} {info}"
    );
    assert!(mean < 0.99 && mean > 0.01, "{info}");
    let [dense, executed] =
        ["dense", "executed"].map(|key| number(&evaluated["forward_flops_per_token"][key]));
    let operations = &info["forward_flops_per_token"];
    assert_eq!(dense, number(&operations["dense"]));
    let difference = executed - number(&operations["kept"]);
    // The last, shorter window may count otherwise in one of them.
    assert!(
        difference.abs() < 2e-3 * (dense - executed),
        "{evaluated} {info}"
    );
}

#[test]
fn small_inputs_of_a_dense_model_can_be_cut() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    train(folder, "dense", "{kind=\"dense\"}");
    let eval = |more: &[&str]| json(folder, &[&["eval", "--model", "dense"], more].concat());
    let plain = eval(&[]);
    let none = eval(&["--threshold-sparsity", "0"]);
    // The same sums in another order.
    assert!((number(&none["loss"]) - number(&plain["loss"])).abs() < 1e-4);
    // Two layers: a down projection of 64 units and 16 channels, and all four projections.
    for (inputs, parameters) in [("hidden", 64 * 16), ("all", 12 * 16 * 16)] {
        let cut = eval(&["--threshold-sparsity", "0.6", "--threshold-inputs", inputs]);
        let density = number(&cut["density"]);
        // Thresholds come from other text, and from magnitudes that are counted to 0.8%.
        assert!((density - 0.4).abs() < 0.03, "{inputs}: {density}");
        let operations = &cut["forward_flops_per_token"];
        let saved = number(&operations["dense"]) - number(&operations["executed"]);
        let expected = 2.0 * 2.0 * f64::from(parameters) * (1.0 - density);
        assert!((saved - expected).abs() <= 1.0, "{inputs}: {cut}");
        assert_ne!(cut["loss"], plain["loss"]);
    }
    let everything = eval(&["--threshold-sparsity", "1", "--threshold-inputs", "all"]);
    assert!(number(&everything["density"]) < 0.01, "{everything}");

    let train = ["train", "--config", "tiny.toml", "--out", "masked"];
    run(folder, &train);
    let cut = ["eval", "--model", "masked", "--threshold-sparsity", "0.5"];
    let (code, message) = failure(folder, &cut);
    assert!(
        code == 2 && message.contains("learned_dropout"),
        "{message}"
    );
}

#[test]
fn masks_on_hidden_units_need_a_dense_feed_forward() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let kind = "model.feed_forward={kind=\"mixture-of-experts\", hidden=8}";
    let train = |site: &'static str| {
        let train = ["train", "--config", "tiny.toml", "--out", "run"];
        [&train[..], &["--set", kind, "--set", site]].concat()
    };
    let hidden = train("model.learned_dropout.site=feed-forward-hidden");
    let (code, message) = failure(folder, &hidden);
    assert!(code == 2 && message.contains("another site"), "{message}");
    let sites = "model.learned_dropout.site=[\"feed-forward-output\", \"attention-output\"]";
    assert_eq!(json(folder, &train(sites))["step"], 12);
}
