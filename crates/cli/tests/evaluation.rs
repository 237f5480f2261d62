//! Evaluations of runs on further texts, and of single tokens.

mod support;

use serde_json::Value;
use support::{failure, json, prepare, run, text};

#[test]
fn a_run_evaluates_further_sets_and_tells_its_time() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    std::fs::write(folder.join("other.txt"), text().replace("cat", "dog")).expect("written");
    let other = [
        "data",
        "prepare",
        "other.txt",
        "--out",
        "other",
        "--tokenizer",
    ];
    run(folder, &[&other[..], &["data"]].concat());
    let train = ["train", "--config", "tiny.toml", "--out", "run", "--set"];
    let sets = [
        "train.evaluate.sets={ dogs = \"other\", same = \"data\" }",
        "--set",
        "train.evaluate.batches=all",
    ];
    let trained = json(folder, &[&train[..], &sets].concat());
    assert_eq!(trained["sets"]["same"], trained["validation_loss"]);
    assert_ne!(trained["sets"]["dogs"], trained["validation_loss"]);
    let seconds = ["training", "evaluations", "checkpoints"]
        .map(|part| trained["seconds"][part].as_f64().expect("a number"));
    assert!(seconds.iter().all(|&seconds| seconds > 0.0), "{trained}");
    let share = trained["evaluation_share"].as_f64().expect("a share");
    assert!((share - seconds[1] / seconds.iter().sum::<f64>()).abs() < 1e-9);
    // `eval` says the same of the last checkpoint.
    let latest = std::fs::read_to_string(folder.join("run/latest")).expect("a file");
    let latest = format!("run/checkpoints/{}", latest.trim());
    for (data, loss) in [
        ("other", &trained["sets"]["dogs"]),
        ("data", &trained["sets"]["same"]),
    ] {
        let precision = ["--precision", "f32"];
        let eval = ["eval", "--model", latest.as_str(), "--data", data];
        let evaluated = json(folder, &[&eval[..], &precision].concat());
        let [found, expected] = [&evaluated["loss"], loss].map(|loss| loss.as_f64().unwrap());
        assert!(
            (found - expected).abs() < 2e-3,
            "{data}: {found} {expected}"
        );
    }
    let raised = [
        "train",
        "--out",
        "run",
        "--resume",
        "--set",
        "train.steps=14",
    ];
    let output = String::from_utf8(run(folder, &raised).stdout).expect("text");
    for part in [
        "dogs loss        ",
        "same loss        ",
        "time             ",
        " of evaluations (",
    ] {
        assert!(output.contains(part), "{output}");
    }
    let chars = [
        "data",
        "prepare",
        "other.txt",
        "--out",
        "chars",
        "--tokenizer",
        "char",
    ];
    run(folder, &chars);
    let set = ["--set", "train.evaluate.sets.chars=chars"];
    let wrong = [
        &["train", "--config", "tiny.toml", "--out", "wrong"],
        &set[..],
    ]
    .concat();
    let (code, message) = failure(folder, &wrong);
    assert_eq!(code, 1);
    assert!(
        message.contains("train.evaluate.sets.chars: chars was prepared with another tokenizer"),
        "{message}"
    );
}

#[test]
fn every_token_has_a_line() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    run(folder, &["train", "--config", "tiny.toml", "--out", "run"]);
    let eval = ["eval", "--model", "run"];
    let whole = json(folder, &eval);
    let found = json(
        folder,
        &[&eval[..], &["--per-token", "tokens.jsonl"]].concat(),
    );
    let number = |value: &Value| value.as_f64().expect("a number");
    for key in ["loss", "kept", "bits_per_byte", "tokens"] {
        assert!(
            (number(&found[key]) - number(&whole[key])).abs() < 1e-5,
            "{key}"
        );
    }
    let lines = std::fs::read_to_string(folder.join("tokens.jsonl")).expect("a file");
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        lines.len() as u64,
        found["tokens"].as_u64().expect("a count")
    );
    let mean = |key: &str| {
        let sum: f64 = lines.iter().map(|line| number(&line[key])).sum();
        sum / lines.len() as f64
    };
    for key in ["loss", "kept"] {
        assert!((mean(key) - number(&found[key])).abs() < 1e-5, "{key}");
    }
    // The bytes are the end of the text.
    let bytes: Vec<u8> = lines
        .iter()
        .map(|line| line["token"].as_u64().expect("a byte") as u8)
        .collect();
    assert!(text().into_bytes().ends_with(&bytes));
    // Parts of a letter show their bytes.
    let part = lines
        .iter()
        .find(|line| line["text"] == "\u{FFFD}")
        .expect("a part");
    let byte = format!("{:02x}", part["token"].as_u64().expect("a byte"));
    assert_eq!(part["bytes"], byte);
    // Nothing is left of what cannot be written.
    let (code, message) = failure(folder, &[&eval[..], &["--per-token", "no/where"]].concat());
    assert_eq!(code, 1);
    assert!(message.contains("no/where"), "{message}");
}

/// The file that is being written would be many times as large as the text.
#[cfg(unix)]
#[test]
fn a_stopped_evaluation_leaves_no_file() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    run(folder, &["train", "--config", "tiny.toml", "--out", "run"]);
    // Far more than is read before the signal.
    let long = text().repeat((4 << 20) / text().len());
    std::fs::write(folder.join("long.txt"), long).expect("written");
    let results = folder.join("results");
    std::fs::create_dir(&results).expect("made");
    std::fs::write(results.join("tokens.jsonl"), "of before").expect("written");
    let written = || {
        let entries = std::fs::read_dir(&results).into_iter().flatten().flatten();
        let sizes = entries.map(|entry| entry.metadata().map_or(0, |of| of.len()));
        sizes.max().unwrap_or(0)
    };
    let eval = ["eval", "--model", "run", "--data", "long.txt"];
    let file = ["--per-token", "results/tokens.jsonl"];
    for end in [support::interrupt, support::terminate] {
        let mut child = support::start(folder, &[&eval[..], &file].concat());
        let ended = support::wait_until(&mut child, "some results", || written() > 9000);
        assert!(ended.is_none(), "it ended before the signal: {ended:?}");
        end(&mut child);
        let names = std::fs::read_dir(&results).expect("a folder");
        let names: Vec<_> = names
            .map(|entry| entry.expect("a file").file_name())
            .collect();
        assert_eq!(names, ["tokens.jsonl"]);
        let kept = std::fs::read_to_string(results.join("tokens.jsonl"));
        assert_eq!(kept.expect("a file"), "of before");
    }
}
