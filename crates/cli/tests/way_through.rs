//! All steps in a row: text, training, evaluation, generation, inspection, export.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{failure, json, prepare, run};

#[test]
fn text_becomes_a_model_that_can_be_used() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let trained = json(folder, &["train", "--config", "tiny.toml", "--out", "run"]);
    assert_eq!(trained["step"], 12);
    assert!(
        trained["validation_loss"].as_f64().expect("a loss") < 6.0,
        "{trained}"
    );
    assert!(
        trained["sample"]
            .as_str()
            .expect("a sample")
            .starts_with("line")
    );
    assert!(folder.join("run/metrics.jsonl").exists());

    let evaluated = json(folder, &["eval", "--model", "run"]);
    let (loss, tokens) = (&evaluated["loss"], &evaluated["tokens"]);
    let loss = loss.as_f64().expect("a loss");
    assert!((evaluated["perplexity"].as_f64().expect("set") - loss.exp()).abs() < 1e-9);
    // A token of the byte tokenizer is a byte: only the unit differs.
    let bits = evaluated["bits_per_byte"].as_f64().expect("set");
    assert!((bits - loss / std::f64::consts::LN_2).abs() < 1e-9);
    let validation = std::fs::metadata(folder.join("data/val.bin"))
        .expect("data")
        .len()
        / 2;
    assert_eq!(tokens.as_u64(), Some(validation - 1));
    assert!((0.0..=1.0).contains(&evaluated["kept"].as_f64().expect("set")));
    // Other arithmetic gives nearly the same loss.
    let rounded = json(folder, &["eval", "--model", "run", "--precision", "bf16"]);
    let rounded = rounded["loss"].as_f64().expect("a loss");
    assert!(
        rounded != loss && (rounded - loss).abs() < 0.05,
        "{rounded}"
    );

    generation_and_inspection(folder);
    exports_come_back(folder);
}

fn generation_and_inspection(folder: &Path) {
    let generate = [
        "generate",
        "--model",
        "run",
        "--prompt",
        "line 猫",
        "--max-tokens",
        "40",
    ];
    let first = json(folder, &generate);
    assert_eq!(first["tokens"], 40);
    assert_eq!(
        first["text"],
        json(folder, &generate)["text"],
        "the same seed"
    );
    let streamed = run(folder, &generate).stdout;
    let streamed = String::from_utf8(streamed).expect("text");
    assert_eq!(
        streamed,
        format!("line 猫{}\n", first["text"].as_str().expect("text"))
    );

    let by_text = json(folder, &["inspect", "--model", "run", "--prompt", "abc"]);
    let by_ids = json(folder, &["inspect", "--model", "run", "--ids", "97,98,99"]);
    assert_eq!(by_text, by_ids);
    assert_eq!(by_ids["logits"].as_array().map(Vec::len), Some(256));
    assert_eq!(by_ids["layers"].as_array().map(Vec::len), Some(2));
    let kept: Vec<f64> = by_ids["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|layer| layer["kept"].as_f64())
        .collect();
    let mean = kept.iter().sum::<f64>() / kept.len() as f64;
    assert!((by_ids["kept"].as_f64().expect("set") - mean).abs() < 1e-9);
    let top = by_ids["top"].as_array().expect("a list");
    let logits: Vec<f64> = by_ids["logits"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(
        logits[top[0]["id"].as_u64().expect("an id") as usize],
        largest
    );
}

fn exports_come_back(folder: &Path) {
    let before = json(folder, &["inspect", "--model", "run", "--ids", "1,2,3"]);
    run(
        folder,
        &[
            "export", "--model", "run", "--format", "pt-names", "--out", "model.pt",
        ],
    );
    run(folder, &["import", "model.pt", "--out", "imported"]);
    let after = json(
        folder,
        &["inspect", "--model", "imported", "--ids", "1,2,3"],
    );
    assert_eq!(after, before);
    run(
        folder,
        &[
            "export",
            "--model",
            "run",
            "--format",
            "safetensors",
            "--out",
            "m.safetensors",
        ],
    );
    let (code, message) = failure(folder, &["import", "m.safetensors", "--out", "other"]);
    assert_eq!(code, 1);
    assert!(message.contains("m.safetensors"), "{message}");
    assert!(!folder.join("other").exists(), "nothing half-written");
    let (code, message) = failure(folder, &["import", "model.pt", "--out", "imported"]);
    assert!(code == 2 && message.contains("--force"), "{message}");
}

#[test]
fn every_tokenizer_keeps_every_script() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    std::fs::write(folder.join("text.txt"), support::text()).expect("written");
    std::fs::write(folder.join("tiny.toml"), support::TINY).expect("written");
    for tokenizer in ["gpt2", "bpe:300", "byte", "char"] {
        let data = format!("data-{}", tokenizer.replace(':', "-"));
        let meta = json(
            folder,
            &[
                "data",
                "prepare",
                "text.txt",
                "--out",
                &data,
                "--tokenizer",
                tokenizer,
            ],
        );
        let bytes = meta["train"]["text_bytes"]
            .as_u64()
            .zip(meta["validation"]["text_bytes"].as_u64());
        let (train, validation) = bytes.expect("counted");
        assert_eq!(
            train + validation,
            support::text().len() as u64,
            "{tokenizer}"
        );
        let out = format!("run-{data}");
        let train = [
            "train",
            "--config",
            "tiny.toml",
            "--data",
            &data,
            "--out",
            &out,
        ];
        run(folder, &[&train[..], &["--set", "train.steps=1"]].concat());
        let prompt = "القطة 猫 👩‍👩‍👧 🇪🇺";
        let generate = [
            "generate",
            "--model",
            &out,
            "--prompt",
            prompt,
            "--max-tokens",
            "3",
        ];
        let output = run(folder, &generate).stdout;
        assert!(output.starts_with(prompt.as_bytes()), "{tokenizer}");
    }
}

#[test]
fn problems_are_reported_together_with_their_places() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let broken = support::TINY
        .replace("layers = 2", "layer = 2")
        .replace("heads = 2", "heads = 3");
    std::fs::write(folder.join("broken.toml"), broken).expect("written");
    let (code, message) = failure(
        folder,
        &["train", "--config", "broken.toml", "--out", "run"],
    );
    assert_eq!(code, 2);
    for part in ["broken.toml", "model.layer", "model.layers"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!folder.join("run").exists());

    let (code, message) = failure(folder, &["eval", "--model", "nowhere", "--data", "data"]);
    assert!(code == 1 && message.contains("nowhere"), "{message}");
    let (code, message) = failure(folder, &["train", "--data", "data", "--device", "cuda:1"]);
    assert!(
        code == 2 && message.contains("--features cuda"),
        "{message}"
    );
    let (code, message) = failure(folder, &["data", "prepare", "absent.xml", "--out", "other"]);
    assert!(code == 1 && message.contains("absent.xml"), "{message}");
    assert!(!folder.join("other").exists());
}

/// Before anything else about it, such as what kind of folder it is not.
#[test]
fn what_is_not_there_is_told_first() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    run(folder, &["train", "--config", "tiny.toml", "--out", "run"]);
    let any = "there is no such file or folder";
    let other = "there is no such folder";
    for (command, told) in [
        ("eval --model run --data typo", any),
        ("eval --model typo --data data", other),
        ("train --config tiny.toml --out x --data typo", any),
        ("train --config tiny.toml --out x --from typo", other),
        ("inspect --model run --data typo", any),
        ("bench decode --model run --data typo", any),
        ("generate --model typo --prompt x", other),
        ("data merge typo --out x", any),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let (code, message) = failure(folder, &words);
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let message = message.strip_prefix("train.from: ").unwrap_or(message);
        let is_first = message.starts_with(&format!("typo: {told}"))
            || message.starts_with(&format!("typo cannot be merged: {told}"));
        assert!(code == 1 && is_first, "{command}: {message}");
    }
    assert!(!folder.join("x").exists());
}

#[test]
fn runs_are_protected_from_mistakes() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let train = ["train", "--config", "tiny.toml", "--out", "run"];
    run(folder, &train);
    run(
        folder,
        &[
            "export", "--model", "run", "--format", "pt-names", "--out", "model.pt",
        ],
    );
    let (code, message) = failure(folder, &["import", "model.pt", "--out", "run"]);
    assert!(
        code == 2 && message.contains("the folder of a run"),
        "{message}"
    );

    // The number of steps may be raised, with the file or without it, but not lowered.
    let raised = [&train[..], &["--resume", "--set", "train.steps=14"]].concat();
    assert_eq!(json(folder, &raised)["step"], 14);
    let lowered = [
        "train",
        "--out",
        "run",
        "--resume",
        "--set",
        "train.steps=10",
    ];
    let (code, message) = failure(folder, &lowered);
    assert!(code == 2 && message.contains("14 steps"), "{message}");

    let other = [
        "data",
        "prepare",
        "text.txt",
        "--out",
        "other",
        "--tokenizer",
        "char",
    ];
    run(folder, &other);
    let (code, message) = failure(folder, &["eval", "--model", "run", "--data", "other"]);
    assert!(code == 1 && message.contains("tokenizer"), "{message}");
}

#[test]
fn a_finished_run_says_so_and_has_its_results() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    // Quiet, as all commands of the tests: what is trained otherwise than configured is told nevertheless.
    let warmup = ["--set", "train.schedule.warmup=40"];
    let train = ["train", "--config", "tiny.toml", "--out", "run", "--json"];
    let output = run(folder, &[&train[..], &warmup].concat());
    let first: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let note = "the warm-up is shortened to 12 steps: train.schedule.warmup is 40, more than \
                train.schedule.decay_steps, 12";
    assert_eq!(first["notes"], serde_json::json!([note]));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(messages.trim_end(), format!("note: {note}"));

    let resume = ["train", "--out", "run", "--resume"];
    let again = json(folder, &resume);
    let finished = "the run is finished: all 12 steps are done; to go on, raise train.steps";
    assert_eq!(again["notes"], serde_json::json!([finished]));
    for key in [
        "step",
        "train_loss",
        "validation_loss",
        "sets",
        "kept",
        "sample",
    ] {
        assert!(!first[key].is_null(), "{key}");
        assert_eq!(again[key], first[key], "{key}");
    }
    let (changed, rate) = ("--allow-changes", "train.optimizer.learning_rate=1e-4");
    let (code, message) = failure(folder, &[&resume[..], &[changed, "--set", rate]].concat());
    let expected = "There is nothing left to train with the changed train.optimizer.learning_rate";
    assert!(code == 2 && message.contains(expected), "{message}");
}

#[cfg(unix)]
#[test]
fn a_log_that_cannot_be_written_does_not_end_a_run() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ldrop"));
    command
        .current_dir(folder)
        .args(["train", "--config", "tiny.toml", "--out", "run"]);
    let status = command.stderr(full).status().expect("the program starts");
    assert!(status.success());
    assert!(folder.join("run/best").exists());
}

#[test]
fn a_diverging_run_says_what_to_try() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let train = ["train", "--config", "tiny.toml", "--out", "run", "--set"];
    let rate = "train.optimizer.learning_rate=1e30";
    let (code, message) = failure(folder, &[&train[..], &[rate]].concat());
    assert_eq!(code, 1);
    assert!(
        message.contains("not a finite number") && message.contains("learning_rate"),
        "{message}"
    );
}

#[test]
fn a_dense_model_becomes_a_masked_one() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let dense = ["--set", "model.learned_dropout=", "--out", "dense"];
    json(
        folder,
        &[&["train", "--config", "tiny.toml"], &dense[..]].concat(),
    );
    let table = "model.learned_dropout={ site = \"feed-forward-hidden\", input = \"layer-input\", \
                 rank = 4, group = 8 }";
    let masked = ["train", "--config", "tiny.toml", "--set", table];
    let others = ["--set", "train.evaluate.sample.tokens=0", "--out", "masked"];
    json(
        folder,
        &[&masked, &others[..], &["--from", "dense"]].concat(),
    );
    let stored = std::fs::read_to_string(folder.join("masked/config.toml")).expect("written");
    assert!(stored.contains("from = \"dense\""), "{stored}");

    // 8 · 16² weights of the feed-forward in each of 2 layers are what masks can leave out.
    let flops = |arguments: &[&str]| {
        let info = json(folder, &[&["info"], arguments].concat());
        let flops = info["forward_flops_per_token"].clone();
        ["dense", "kept", "mask_generation"].map(|key| flops[key].as_u64().expect("a count"))
    };
    let [whole, left, generation] = flops(&["--model", "masked"]);
    let kept = json(folder, &["eval", "--model", "masked"])["kept"]
        .as_f64()
        .expect("a share");
    // The run measured another sample of the same text.
    let expected = whole as f64 - (1.0 - kept) * f64::from(2 * 2 * 8 * 16 * 16);
    assert!(
        (left as f64 - expected).abs() < 0.1 * 8192.0,
        "{left}, {expected}"
    );
    // 12 · 16 + 8 · 4 + 8 weights, and an attention of width 4 over 16 tokens, twice.
    assert_eq!(generation, 2 * (2 * 232 + 4 * 16 * 4));
    assert_eq!(
        flops(&["--model", "masked", "--kept", "0"])[1],
        whole - 8192
    );

    let export = ["export", "--model", "masked", "--out", "file", "--format"];
    let (code, message) = failure(folder, &[&export[..], &["pt-names"]].concat());
    assert_eq!(code, 1);
    assert!(
        message.contains("`learned_dropout.site` is feed-forward-hidden"),
        "{message}"
    );
    run(folder, &[&export[..], &["safetensors"]].concat());
    let (code, message) = failure(
        folder,
        &[&masked[..], &["--from", "dense", "--resume"]].concat(),
    );
    assert!(code == 2 && message.contains("--resume"), "{message}");
}
