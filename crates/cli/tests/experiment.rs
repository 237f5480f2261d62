//! `ldrop experiment`: its runs, its report, and how it recovers from failures and kills.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::Child;

use kernels::random::Philox;
use serde_json::Value;
use support::{
    TWO_ARMS as STUDY, failure, json_lines, last_step, ldrop, prepare_study, run, send, start,
    terminate, wait_until,
};

const KILLS: u64 = 8;

/// The metrics of a run without the values that depend on the clock, and without those that depend
/// on where the run was interrupted: the first step after a resume has no earlier masks to compare
/// with.
fn timeless(folder: &Path, run: &str) -> Vec<Value> {
    let metrics = folder.join("runs").join(run).join("metrics.jsonl");
    let text = std::fs::read_to_string(metrics).expect("metrics");
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        for key in ["time", "tokens_per_second", "model_flops_utilization"] {
            line[key] = Value::Null;
        }
        line.get_mut("mask").into_iter().for_each(remove_changed);
        line
    };
    text.lines().map(line).collect()
}

/// Removes the share of mask values that changed since the step before.
fn remove_changed(mask: &mut Value) {
    if let Some(mask) = mask.as_object_mut() {
        mask.remove("changed");
    }
    let layers = mask.get_mut("layers").and_then(Value::as_array_mut);
    layers.into_iter().flatten().for_each(remove_changed);
}

/// The results of an experiment, without its last columns, which are about speed.
fn results(folder: &Path, out: &str) -> Vec<String> {
    let output = run(folder, &["report", out, "--format", "csv"]).stdout;
    let text = String::from_utf8(output).expect("text");
    let (header, _) = text.split_once('\n').expect("a header");
    let speed = header
        .split(',')
        .position(|name| name == "tokens_per_second")
        .expect("a column");
    let cut = |line: &str| line.split(',').take(speed).collect::<Vec<_>>().join(",");
    text.lines().map(cut).collect()
}

const RUNS: [&str; 4] = [
    "learned/seed-1",
    "baseline/seed-1",
    "learned/seed-2",
    "baseline/seed-2",
];

#[test]
fn a_signal_while_the_text_is_prepared_leaves_none_of_it() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare_study(folder, STUDY);
    // Nobody writes into this pipe, so the experiment waits for its text.
    let text = folder.join("text.txt");
    std::fs::remove_file(&text).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&text).status();
    assert!(made.expect("mkfifo runs").success());
    let hidden = folder.join("out/.data.preparing");
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let mut child = start(folder, &["experiment", "study.toml", "--out", "out"]);
        let new = hidden.join("new");
        let ended = wait_until(&mut child, "the hidden folder", || new.exists());
        assert!(ended.is_none(), "{ended:?}");
        send(&mut child, signal, status);
        assert!(!hidden.exists() && !folder.join("out/data").exists());
    }
}

#[test]
fn arms_and_seeds_become_a_report() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare_study(folder, STUDY);
    let command = [
        "experiment",
        "study.toml",
        "--out",
        "out",
        "--jobs",
        "2",
        "--json",
    ];
    let mut ended = json_lines(&run(folder, &command).stdout);
    assert_eq!(ended.len(), 4);
    for of in &ended {
        assert_eq!(
            (&of["state"], &of["step"]),
            (&"finished".into(), &30.into())
        );
        assert!(
            of["validation_loss"].as_f64().expect("a loss") < 6.0,
            "{of}"
        );
        assert_eq!(of["kept"].is_null(), of["arm"] == "baseline");
    }
    let page = std::fs::read_to_string(folder.join("out/report.html")).expect("a report");
    for part in [
        "<h1>Two arms</h1>",
        "Learned dropout",
        "3.250",
        "text.txt, tokenizer byte",
        ", 2 threads",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let csv = results(folder, "out");
    assert!(csv[1].starts_with("Learned dropout,2/2,") && csv[2].starts_with("baseline,2/2,"));

    // Nothing is done twice.
    let before = RUNS.map(|run| {
        std::fs::read(folder.join("out/runs").join(run).join("metrics.jsonl")).expect("metrics")
    });
    let order = |of: &Value| of["run"].as_str().expect("a path").to_string();
    let mut again = json_lines(&run(folder, &command).stdout);
    ended.sort_by_key(order);
    again.sort_by_key(order);
    assert_eq!(again, ended);
    let after = RUNS.map(|run| {
        std::fs::read(folder.join("out/runs").join(run).join("metrics.jsonl")).expect("metrics")
    });
    assert!(before == after);

    // Each is an ordinary run, with a page of its own.
    run(folder, &["eval", "--model", "out/runs/learned/seed-2"]);
    assert!(folder.join("out/runs/learned/seed-2/report.html").exists());
    let both = [
        "report",
        "out",
        "out/runs/learned/seed-2",
        "--out",
        "both.md",
    ];
    run(folder, &both);
    let both = std::fs::read_to_string(folder.join("both.md")).expect("written");
    assert!(
        both.contains("## Two arms") && both.contains("## Run learned/seed-2"),
        "{both}"
    );

    changes_are_refused(folder);
}

fn changes_are_refused(folder: &Path) {
    let command = ["experiment", "study.toml", "--out", "out"];
    let write = |text: &str| std::fs::write(folder.join("study.toml"), text).expect("written");
    write(&STUDY.replace("train.steps = 30", "train.steps = 40"));
    let (code, message) = failure(folder, &command);
    assert!(
        code == 2 && message.contains("train.steps was 30, is 40"),
        "{message}"
    );
    assert!(message.contains("out/runs/baseline/seed-2"), "{message}");
    write(&STUDY.replace("\"byte\"", "\"char\""));
    let (code, message) = failure(folder, &command);
    assert!(
        code == 2 && message.contains("prepared in another way"),
        "{message}"
    );
    // An arm may be added: only that one is trained.
    write(&(STUDY.to_string() + "[[arm]]\nname = 'more'\nset.model.dropout = 0.1\n"));
    let ended = json_lines(&run(folder, &[&command[..], &["--json"]].concat()).stdout);
    assert_eq!(ended.len(), 6);
    let (code, message) = failure(folder, &["report", "out", "--out", "report.pdf"]);
    assert!(
        code == 2 && message.contains(".html, .md, .csv or .svg"),
        "{message}"
    );
    let drawn = run(
        folder,
        &["report", "out", "--chart", "train-loss", "--format", "svg"],
    );
    let drawn = String::from_utf8(drawn.stdout).expect("text");
    assert!(
        drawn.starts_with("<svg") && drawn.contains("<title>Train loss</title>"),
        "{drawn}"
    );
    let speed = ["report", "out", "--chart", "loss-against-decode-speed"];
    let (code, message) = failure(folder, &[&speed[..], &["--format", "svg"]].concat());
    assert!(
        code == 1 && message.contains("no values for a loss-against-decode-speed"),
        "{message}"
    );
    let (code, message) = failure(folder, &["experiment", "tiny.toml", "--out", "other"]);
    assert!(
        code == 2 && message.contains("line 2: unknown key `seed`"),
        "{message}"
    );
    assert!(!folder.join("other").exists());
}

#[test]
fn a_failed_arm_does_not_stop_the_others() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let wild = "[[arm]]\nname = 'wild'\nset.train.optimizer.learning_rate = 1e30\n";
    let study = STUDY
        .replace("[1, 2]", "[1]")
        .replacen("[[arm]]", &format!("{wild}[[arm]]"), 1);
    prepare_study(folder, &study);
    let command = ["experiment", "study.toml", "--out", "out", "--json"];
    let output = ldrop(folder, &command)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("1 of 3 runs failed") && errors.contains("not a finite number"),
        "{errors}"
    );
    let states: Vec<Value> = json_lines(&output.stdout)
        .iter()
        .map(|of| of["state"].clone())
        .collect();
    assert_eq!(states, ["failed", "finished", "finished"]);
    let page = std::fs::read_to_string(folder.join("out/report.html")).expect("a report");
    assert!(page.contains("Failed:</b> wild, seed 1") && page.contains("not a finite number"));
    // It is tried again; the others are finished already.
    let output = ldrop(folder, &command)
        .output()
        .expect("the program starts");
    let states: Vec<Value> = json_lines(&output.stdout)
        .iter()
        .map(|of| of["state"].clone())
        .collect();
    assert_eq!(states, ["finished", "finished", "failed"]);
}

/// What of the text is left out is told as `ldrop data prepare` tells it.
#[test]
fn text_that_is_left_out_is_told() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare_study(
        folder,
        &STUDY.replace("train.steps = 30", "train.steps = 1"),
    );
    let (texts, named) = (folder.join("texts"), "sources = [\"texts\"]");
    std::fs::create_dir(&texts).expect("made");
    std::fs::rename(folder.join("text.txt"), texts.join("text.txt")).expect("moved");
    std::fs::write(texts.join("empty.txt"), "").expect("written");
    let study = std::fs::read_to_string(folder.join("study.toml")).expect("read");
    let study = study.replace("sources = [\"text.txt\"]", named);
    std::fs::write(folder.join("study.toml"), study).expect("written");
    let told = |command: &[&str]| {
        let output = run(folder, command);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).expect("text");
        let lines = text
            .lines()
            .skip_while(|line| !line.starts_with("left out"));
        lines.take(2).map(str::to_string).collect::<Vec<_>>()
    };
    let prepared = told(&[
        "data",
        "prepare",
        "texts",
        "--tokenizer",
        "byte",
        "--out",
        "data",
    ]);
    assert!(
        prepared[0].starts_with("left out: 1 ") && prepared[1].contains("empty.txt"),
        "{prepared:?}"
    );
    assert_eq!(
        told(&["experiment", "study.toml", "--out", "out"]),
        prepared
    );
}

fn start_experiment(folder: &Path) -> Child {
    start(folder, &["experiment", "study.toml", "--out", "killed"])
}

/// Steps of all runs together.
fn steps_done(folder: &Path, out: &str) -> u64 {
    let runs = folder.join(out).join("runs");
    RUNS.iter().map(|run| last_step(&runs.join(run))).sum()
}

#[test]
fn killed_again_and_again_it_ends_with_the_same_report() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare_study(folder, STUDY);
    run(folder, &["experiment", "study.toml", "--out", "whole"]);
    let all = steps_done(folder, "whole");
    assert_eq!(all, 120);
    let random = Philox::new(5, 0);
    // The first kills come as soon as it has locked its folder, prepared its data and written its
    // outline; the others come in training.
    let beginnings = ["lock", "data", "experiment.json"];
    for kill in 0..KILLS {
        let mut child = start_experiment(folder);
        let ended = if let Some(file) = beginnings.get(kill as usize) {
            let file = folder.join("killed").join(file);
            wait_until(&mut child, &format!("{file:?}"), || file.exists())
        } else {
            let before = steps_done(folder, "killed");
            let share = (all - before) / (KILLS - kill);
            let target = all.min(before + 1 + random.below(kill, share.max(1)));
            let what = format!("{target} steps before kill {kill}");
            wait_until(&mut child, &what, || steps_done(folder, "killed") >= target)
        };
        assert!(ended.is_none(), "it ended before kill {kill}: {ended:?}");
        // SIGKILL: the program has no chance to stop its processes.
        child.kill().expect("a child");
        child.wait().expect("a child");
    }
    // A process that is still saving is waited for.
    assert!(start_experiment(folder).wait().expect("a child").success());
    assert_eq!(results(folder, "killed"), results(folder, "whole"));
    for run in RUNS {
        let (killed, whole) = (folder.join("killed"), folder.join("whole"));
        assert!(timeless(&killed, run) == timeless(&whole, run), "{run}");
    }
}

#[test]
fn terminated_it_saves_and_goes_on() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    // So many steps that it is surely not done when it is stopped.
    prepare_study(
        folder,
        &STUDY.replace("train.steps = 30", "train.steps = 20000"),
    );
    let mut child = start_experiment(folder);
    let checkpoint = folder.join("killed/runs/learned/seed-1/latest");
    let ended = wait_until(&mut child, "the first checkpoint", || checkpoint.exists());
    assert!(ended.is_none(), "it ended before its first checkpoint");
    terminate(&mut child);
    let run = folder.join("killed/runs/learned/seed-1");
    assert!(!run.join("failure.txt").exists());
    let saved = std::fs::read_to_string(checkpoint).expect("a checkpoint");
    let steps = timeless(&folder.join("killed"), "learned/seed-1");
    let last = steps.iter().filter_map(|line| line["step"].as_u64()).max();
    assert_eq!(
        saved.trim(),
        format!("step-{:08}", last.expect("a step")),
        "nothing is lost"
    );
    let page = std::fs::read_to_string(folder.join("killed/report.html")).expect("a report");
    assert!(page.contains("4 runs are not done yet"));
}

/// Evaluations after steps 5 and 10, of which the second is not better by enough.
#[test]
fn runs_that_end_early_are_finished() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let stop = "train.steps = 30\ntrain.stop = { patience = 1, threshold = 100.0 }\n\
                train.schedule.warmup = 40";
    prepare_study(folder, &STUDY.replace("train.steps = 30", stop));
    let command = ["experiment", "study.toml", "--out", "out", "--json"];
    let ended = json_lines(&run(folder, &command).stdout);
    assert_eq!(ended.len(), 4);
    for of in &ended {
        assert_eq!(
            (&of["state"], &of["step"]),
            (&"finished".into(), &10.into())
        );
        assert_eq!(of["early_end"]["reason"], "patience");
    }
    let metrics = || {
        let file = |run: &str| folder.join("out/runs").join(run).join("metrics.jsonl");
        RUNS.map(|run| std::fs::read_to_string(file(run)).expect("metrics"))
    };
    let before = metrics();
    assert_eq!(json_lines(&run(folder, &command).stdout), ended);
    assert_eq!(metrics(), before);
    let page = std::fs::read_to_string(folder.join("out/report.html")).expect("a report");
    let early = "Learned dropout, seed 2: stopped early at step 10: no validation loss lower by more \
                 than 100 in 1 evaluation.";
    assert!(page.contains(early));
    let config = folder.join("out/runs/learned/seed-1/config.toml");
    let config = std::fs::read_to_string(config).expect("a configuration");
    assert!(config.contains("warmup = 30\n"), "{config}");
}
