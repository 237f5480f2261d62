//! `ldrop bench train` measures steps without data, and leaves nothing behind.

mod support;

use serde_json::Value;
use support::{failure, json, prepare, run};

/// The seconds of the measured steps.
fn seconds(report: &Value) -> Vec<f64> {
    let seconds = report["step_seconds_all"].as_array().into_iter().flatten();
    seconds.filter_map(Value::as_f64).collect()
}

#[test]
fn steps_are_timed_without_data() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    std::fs::write(folder.join("tiny.toml"), support::TINY).expect("written");
    let bench = ["bench", "train", "--config", "tiny.toml"];
    let (code, message) = failure(folder, &bench);
    assert!(
        code == 2 && message.contains("model.vocabulary"),
        "{message}"
    );

    let counts = ["--batch", "3", "--steps", "3", "--warmup", "1"];
    let settings = ["--set", "model.vocabulary=61", "--precision", "f32"];
    let report = json(folder, &[&bench[..], &counts, &settings].concat());
    let mut sorted = seconds(&report);
    sorted.sort_by(f64::total_cmp);
    assert_eq!(sorted.len(), 3);
    assert_eq!(report["step_seconds"].as_f64(), Some(sorted[1]));
    let speed = report["tokens_per_second"].as_f64().expect("a number");
    assert!(
        (speed * sorted[1] / (3.0 * 16.0) - 1.0).abs() < 1e-9,
        "{report}"
    );
    // The loss of a new model on random tokens is ln 61.
    let loss = report["loss"].as_f64().expect("a number");
    assert!((loss - 61_f64.ln()).abs() < 0.2, "{report}");
    assert_eq!(report["precision"], "f32");
    assert_eq!(
        (&report["batch"], &report["context"]),
        (&3.into(), &16.into())
    );
    assert_eq!(report["threads"], 2);
    assert!(report["cpu"].as_str().expect("a name").contains(", "));
    assert!(
        report["model_flops_utilization"]
            .as_f64()
            .expect("on the CPU")
            > 0.0
    );
    if cfg!(target_os = "linux") {
        let peak = report["peak_memory_bytes"]
            .as_u64()
            .expect("Linux reports it");
        assert!((1 << 20..1 << 33).contains(&peak), "{peak}");
    }
    let left = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(left, 1, "only the configuration");
}

#[test]
fn the_quick_start_and_models_can_be_timed() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let once = [
        "bench", "train", "--batch", "1", "--steps", "1", "--warmup", "0",
    ];
    let small = ["--set", "model.layers=1", "--set", "model.width=16"];
    let report = json(folder, &[&once[..], &small].concat());
    assert_eq!(
        (&report["batch"], &report["context"]),
        (&1.into(), &128.into())
    );
    assert_eq!(seconds(&report).len(), 1);

    prepare(folder);
    let steps = "train.steps=1";
    run(
        folder,
        &[
            "train",
            "--config",
            "tiny.toml",
            "--out",
            "run",
            "--set",
            steps,
        ],
    );
    let report = json(folder, &[&once[..], &["--model", "run"]].concat());
    assert_eq!(report["context"], 16);
    let loss = report["loss"].as_f64().expect("a number");
    assert!((loss - 256_f64.ln()).abs() < 0.2, "{report}");

    let both = [&once[..], &["--model", "run", "--config", "tiny.toml"]].concat();
    let (code, message) = failure(folder, &both);
    assert!(code == 2 && message.contains("--config"), "{message}");
}

#[test]
fn the_option_takes_precedence_over_the_configuration_for_precision() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let text = support::TINY.replace("log_every", "precision = \"bf16\"\nlog_every");
    std::fs::write(folder.join("tiny.toml"), text).expect("written");
    let once = [
        "bench",
        "train",
        "--config",
        "tiny.toml",
        "--set",
        "model.vocabulary=61",
        "--steps",
        "1",
    ];
    let report = |options: &[&str]| json(folder, &[&once[..], options].concat());
    let own = report(&[]);
    assert_eq!(own["precision"], "bf16");
    assert_eq!(report(&["--precision", "bf16"])["loss"], own["loss"]);
    let f32 = report(&["--precision", "f32"]);
    assert_eq!(f32["precision"], "f32");
    assert_ne!(f32["loss"], own["loss"]);
}

#[test]
fn levels_that_this_processor_lacks_are_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let output = support::ldrop(place.path(), &["info", "--config", "tiny.toml"])
        .env("LDROP_CPU", "fastest")
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("LDROP_CPU=fastest") && errors.contains("portable"),
        "{errors}"
    );
}
