//! A run that is killed again and again ends with the bits of one that was left alone.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kernels::random::Philox;
use support::{ldrop, prepare, run};

const KILLS: u64 = 20;

/// With a checkpoint at every second step, many moments fall into the writing of one.
const STEPS: &str = "train.steps=300";

fn start(folder: &Path, out: &str) -> Child {
    let mut arguments = vec!["train", "--out", out, "--set", STEPS];
    if folder.join(out).join("config.toml").exists() {
        arguments.push("--resume");
    } else {
        arguments.extend(["--config", "tiny.toml"]);
    }
    let mut command = ldrop(folder, &arguments);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

fn last_checkpoint(folder: &Path, out: &str) -> [Vec<u8>; 2] {
    let checkpoint = folder.join(out).join("checkpoints/step-00000300");
    ["model.safetensors", "optimizer.safetensors"]
        .map(|file| std::fs::read(checkpoint.join(file)).expect("the last checkpoint"))
}

#[test]
fn killed_twenty_times() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let began = Instant::now();
    run(
        folder,
        &[
            "train",
            "--config",
            "tiny.toml",
            "--out",
            "whole",
            "--set",
            STEPS,
        ],
    );
    // All lives together are shorter than the run, so that it cannot end before the last kill.
    let longest = began.elapsed() / (KILLS as u32 + 4);
    let moments = Philox::new(3, 0);
    for kill in 0..KILLS {
        let mut child = start(folder, "killed");
        let life = moments.below(kill, longest.as_micros() as u64 + 1);
        std::thread::sleep(Duration::from_micros(life) + longest / 2);
        // SIGKILL: the program has no chance to clean up.
        child.kill().expect("a child");
        let status = child.wait().expect("a child");
        assert!(status.code().is_none(), "the run ended before kill {kill}");
    }
    let status = start(folder, "killed").wait().expect("a child");
    assert!(status.success());
    assert!(last_checkpoint(folder, "killed") == last_checkpoint(folder, "whole"));
}

#[test]
fn terminated_and_resumed() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    run(
        folder,
        &[
            "train",
            "--config",
            "tiny.toml",
            "--out",
            "whole",
            "--set",
            STEPS,
        ],
    );
    let mut child = start(folder, "stopped");
    while !folder.join("stopped/latest").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let terminate = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status();
    assert!(terminate.expect("kill runs").success());
    assert!(
        child.wait().expect("a child").success(),
        "SIGTERM saves and ends well"
    );
    run(
        folder,
        &["train", "--out", "stopped", "--resume", "--set", STEPS],
    );
    assert!(last_checkpoint(folder, "stopped") == last_checkpoint(folder, "whole"));
}
