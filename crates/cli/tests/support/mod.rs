//! Helpers of several tests: the program, its failures, and a tiny model.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, quiet and on two threads, working in a folder.
pub fn ldrop(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ldrop"));
    command
        .current_dir(folder)
        .args(["--quiet", "--threads", "2"])
        .args(arguments);
    command
}

/// Runs the program; it must succeed.
#[track_caller]
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = ldrop(folder, arguments)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output
}

/// Starts the program, which prints nothing.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    ldrop(folder, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// The longest that a test waits for a program to get somewhere. Only a program that hangs takes
/// so long, on a machine however slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until the files of a running program show that it has got somewhere. Gives its exit status
/// if it ends before.
///
/// # Panics
/// If neither happens for minutes; `what` says what was waited for.
#[track_caller]
pub fn wait_until(
    child: &mut Child,
    what: &str,
    mut is_there: impl FnMut() -> bool,
) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if is_there() {
            return None;
        }
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if began.elapsed() > PATIENCE {
            child.kill().expect("a child");
            panic!("waited {PATIENCE:?} for {what}");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The number of the last step in a run's metrics; 0 where there is none.
pub fn last_step(run: &Path) -> u64 {
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let step = |line: &str| {
        // The last line may be half written.
        let line: Value = serde_json::from_str(line).ok()?;
        line["step"].as_u64().filter(|_| line["kind"] == "step")
    };
    metrics.lines().rev().find_map(step).unwrap_or(0)
}

/// Asks a running program to save and end. It must do so, and say with its exit status that it was
/// SIGTERM.
#[cfg(unix)]
#[track_caller]
pub fn terminate(child: &mut Child) {
    send(child, "TERM", 143);
}

/// Asks a running program to save and end, as Ctrl-C does.
#[cfg(unix)]
#[track_caller]
pub fn interrupt(child: &mut Child) {
    send(child, "INT", 130);
}

/// Sends a signal to a running program, which must end with this status.
#[cfg(unix)]
#[track_caller]
pub fn send(child: &mut Child, signal: &str, expected: i32) {
    let sent = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
    let status = child.wait().expect("a child");
    assert_eq!(
        status.code(),
        Some(expected),
        "SIG{signal} ends the program"
    );
}

/// Runs the program with `--json`; gives the object that it prints.
#[track_caller]
pub fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, &[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The lines of JSON that the program has printed.
pub fn json_lines(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Runs the program; it must fail. Gives its exit status and its messages.
#[track_caller]
pub fn failure(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = ldrop(folder, arguments)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert!(!errors.contains("panicked"), "{errors}");
    (output.status.code().expect("not killed"), errors)
}

/// Text with some regularity, in several scripts.
pub fn text() -> String {
    (0..400)
        .map(|line| {
            format!(
                "line {line}: the cat sat on the mat, القطة 猫 🐈 {}\n",
                line % 7
            )
        })
        .collect()
}

/// A data folder of bytes, and a configuration of a tiny model.
pub fn prepare(folder: &Path) {
    std::fs::write(folder.join("text.txt"), text()).expect("written");
    run(
        folder,
        &[
            "data",
            "prepare",
            "text.txt",
            "--out",
            "data",
            "--tokenizer",
            "byte",
        ],
    );
    std::fs::write(folder.join("tiny.toml"), TINY).expect("written");
}

/// An experiment, the text that it prepares, and its base.
pub fn prepare_study(folder: &Path, study: &str) {
    std::fs::write(folder.join("text.txt"), text()).expect("written");
    std::fs::write(folder.join("tiny.toml"), TINY).expect("written");
    std::fs::write(folder.join("study.toml"), study).expect("written");
}

/// An experiment of two arms and two seeds; every run takes less than a second.
pub const TWO_ARMS: &str = r#"
title = "Two arms"
seeds = [1, 2]
data = { sources = ["text.txt"], tokenizer = "byte" }
base = "tiny.toml"
[set]
train.steps = 30
[[arm]]
name = "learned"
label = "Learned dropout"
published = { validation = 3.25 }
[[arm]]
name = "baseline"
unset = ["model.learned_dropout"]
"#;

/// A model that trains in milliseconds.
pub const TINY: &str = r#"
seed = 7
[data]
path = "data"
[model]
context = 16
width = 16
heads = 2
layers = 2
[model.learned_dropout.penalty]
coefficient = 0.1
[train]
steps = 12
batch = 2
accumulate = 2
log_every = 1
[train.evaluate]
every = 5
batches = 2
sample = { prompt = "line", tokens = 8 }
[train.checkpoint]
every = 2
keep = 2
"#;
