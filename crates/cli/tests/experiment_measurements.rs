//! `ldrop experiment`: what it measures of trained models, and what of it reports and programs get.
#![cfg(unix)]

mod support;

use serde_json::Value;
use support::{TWO_ARMS as STUDY, json_lines, prepare_study, run};

#[test]
fn trained_models_are_measured() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let measured = r#"
[speed]
decode = 3
prefill = 4
rounds = 1
[threshold]
arms = ["baseline"]
sparsity = [0.5]
inputs = "all"
max_tokens = 64
[masks]
max_tokens = 50
"#;
    let study = STUDY.replace("train.steps = 30", "train.steps = 4");
    prepare_study(folder, &(study.clone() + measured));
    let command = ["experiment", "study.toml", "--out", "out"];
    run(folder, &command);
    let kinds = |run: &str| -> Vec<String> {
        let path = folder.join("out/runs").join(run).join("measurements.json");
        let text = std::fs::read_to_string(path).unwrap_or("[]".into());
        let all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let words = |of: &Value| {
            let words = of["arguments"].as_array().expect("words").iter();
            let words: Vec<&str> = words.filter_map(Value::as_str).collect();
            words.join(" ")
        };
        all.iter().map(words).collect()
    };
    let bench = ["decode --tokens 3", "prefill --tokens 4"];
    // The file says nothing of threads, so it is those of the command line.
    let bench = bench.map(|kind| format!("bench {kind} --rounds 1 --threads 2"));
    let mut learned = bench.to_vec();
    learned.push("inspect --max-tokens 50".into());
    assert_eq!(kinds("learned/seed-1"), learned);
    assert_eq!(kinds("learned/seed-2"), [""; 0]);
    assert_eq!(kinds("baseline/seed-1").len(), 5);
    let cut = "--threshold-sparsity 0.5 --threshold-inputs all";
    assert_eq!(
        kinds("baseline/seed-2"),
        [format!("eval --max-tokens 64 {cut}")]
    );
    let report = || {
        let output = run(folder, &["report", "out", "--format", "markdown"]);
        String::from_utf8(output.stdout).expect("text")
    };
    let before = report();
    for part in [
        "Decode, tokens/s",
        "# Small inputs taken as 0 (all)",
        "| baseline | 50.0% | 2 |",
        "# What tokens keep in common",
        "# What kinds of tokens keep",
    ] {
        assert!(before.contains(part), "{part}: {before}");
    }
    // The arms were timed in alternation, so they can be compared; thresholds were not, but one arm's.
    let together = |run: &str, place: usize| -> Value {
        let path = folder.join("out/runs").join(run).join("measurements.json");
        let text = std::fs::read_to_string(path).expect("measurements");
        let all: Value = serde_json::from_str(&text).expect("JSON");
        all[place]["together"].clone()
    };
    let both = serde_json::json!(["learned", "baseline"]);
    for run in ["learned/seed-1", "baseline/seed-1"] {
        assert_eq!(
            [together(run, 0), together(run, 1)],
            [both.clone(), both.clone()]
        );
    }
    assert!(together("learned/seed-1", 2).is_null());
    // Nothing is measured twice, and measurements that are no longer planned are removed.
    run(folder, &command);
    assert_eq!(report(), before);
    let path = folder.join("study.toml");
    std::fs::write(&path, study + &measured.replace("decode = 3\n", "")).expect("written");
    run(folder, &command);
    assert_eq!(kinds("learned/seed-1"), learned[1..]);
}

/// The set is the experiment's own data, so the losses on it are the validation losses. The CSV has their means.
#[test]
fn losses_on_further_sets_are_told_to_programs() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let settings = "train.steps = 4\ntrain.evaluate.sets = { same = 'out/data' }";
    prepare_study(folder, &STUDY.replace("train.steps = 30", settings));
    let command = ["experiment", "study.toml", "--out", "out", "--json"];
    let ended = json_lines(&run(folder, &command).stdout);
    assert_eq!(ended.len(), 4);
    for of in &ended {
        assert!(of["validation_loss"].is_number());
        assert_eq!(of["sets"]["same"], of["validation_loss"], "{of}");
    }
    let csv = run(folder, &["report", "out", "--format", "csv"]).stdout;
    let csv = String::from_utf8(csv).expect("text");
    let table: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |key: &str| {
        let place = table[0].iter().position(|name| *name == key);
        let place = place.unwrap_or_else(|| panic!("{key}: {csv}"));
        [table[1][place], table[2][place]]
    };
    assert_eq!(column("sets.same"), column("validation_loss"));
    assert_eq!(column("sets.same_count"), ["2", "2"]);
    // The runs record what they read, so that reports know that they can be compared.
    let recorded = |run: &str| {
        let metrics = folder.join("out/runs").join(run).join("metrics.jsonl");
        let metrics = std::fs::read_to_string(metrics).expect("metrics");
        let mut lines = metrics.lines();
        let mut environment: Value = lines
            .find_map(|line| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                (line["kind"] == "environment").then_some(line)
            })
            .expect("an environment");
        environment["data"].take()
    };
    let data = recorded("learned/seed-1");
    assert_eq!(data["sets"]["same"], data["validation"]);
    assert_ne!(data["train"], data["validation"]);
    assert!(data["validation"]["tokens"].as_u64() > Some(0));
    assert_eq!(recorded("baseline/seed-2"), data);
}
