//! A run that is killed again and again ends with the bits of one that was left alone.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::Child;

use kernels::random::Philox;
use support::{interrupt, last_step, prepare, run, start, terminate, wait_until};

/// The options of a resumed run that is short.
const GO_ON: [&str; 3] = ["--resume", "--set", "train.steps=60"];

/// The options of the same with another learning rate from there on.
const CHANGE: [&str; 6] = [
    "--resume",
    "--set",
    "train.steps=60",
    "--allow-changes",
    "--set",
    "train.optimizer.learning_rate=5e-4",
];

const KILLS: u64 = 20;

const STEPS: u64 = 300;

/// The option that sets the number of steps. There is a checkpoint at every second one.
const SET_STEPS: &str = "train.steps=300";

fn start_or_resume(folder: &Path, out: &str) -> Child {
    let mut arguments = vec!["train", "--out", out, "--set", SET_STEPS];
    if folder.join(out).join("config.toml").exists() {
        arguments.push("--resume");
    } else {
        arguments.extend(["--config", "tiny.toml"]);
    }
    start(folder, &arguments)
}

fn train_undisturbed(folder: &Path, out: &str) {
    let train = ["train", "--config", "tiny.toml", "--out", out, "--set"];
    run(folder, &[&train[..], &[SET_STEPS]].concat());
}

fn last_checkpoint(folder: &Path, out: &str) -> [Vec<u8>; 2] {
    checkpoint(folder, out, STEPS)
}

fn checkpoint(folder: &Path, out: &str, step: u64) -> [Vec<u8>; 2] {
    let checkpoints = folder.join(out).join("checkpoints");
    let checkpoint = checkpoints.join(format!("step-{step:08}"));
    ["model.safetensors", "optimizer.safetensors"]
        .map(|file| std::fs::read(checkpoint.join(file)).expect("the last checkpoint"))
}

/// Whether a checkpoint is being written: only then is there a folder of a temporary name.
fn is_writing_checkpoint(run: &Path) -> bool {
    let entries = std::fs::read_dir(run.join("checkpoints"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"))
}

#[test]
fn killed_twenty_times() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    train_undisturbed(folder, "whole");
    let killed = folder.join("killed");
    let random = Philox::new(3, 0);
    for kill in 0..KILLS {
        let before = last_step(&killed);
        // Each life gets a random share of what is left, so that steps are left for the last kill
        // even if this process is slow to notice how far the run is.
        let share = (STEPS - before) / (KILLS - kill) / 2;
        let target = before + 1 + random.below(kill, share.max(1));
        let mut child = start_or_resume(folder, "killed");
        // Half of the kills are to come while a checkpoint is written, if that is noticed in time.
        let waits_for_checkpoint = kill % 2 == 1;
        let what = format!("step {target} before kill {kill}");
        let ended = wait_until(&mut child, &what, || {
            let step = last_step(&killed);
            let is_moment = !waits_for_checkpoint || is_writing_checkpoint(&killed);
            step >= target && (is_moment || step >= target + 3)
        });
        assert!(
            ended.is_none(),
            "the run ended before kill {kill}: {ended:?}"
        );
        // SIGKILL: the program has no chance to clean up.
        child.kill().expect("a child");
        let status = child.wait().expect("a child");
        assert!(status.code().is_none(), "the run ended before kill {kill}");
    }
    let status = start_or_resume(folder, "killed").wait().expect("a child");
    assert!(status.success());
    assert!(last_checkpoint(folder, "killed") == last_checkpoint(folder, "whole"));
}

#[test]
fn terminated_and_resumed() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    train_undisturbed(folder, "whole");
    for (out, stop) in [
        ("terminated", terminate as fn(&mut Child)),
        ("interrupted", interrupt),
    ] {
        let mut child = start_or_resume(folder, out);
        let latest = folder.join(out).join("latest");
        let ended = wait_until(&mut child, "the first checkpoint", || latest.exists());
        assert!(ended.is_none(), "the run ended before its first checkpoint");
        stop(&mut child);
        run(
            folder,
            &["train", "--out", out, "--resume", "--set", SET_STEPS],
        );
        assert!(last_checkpoint(folder, out) == last_checkpoint(folder, "whole"));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The run ends as if it had been changed, or as if it had not: as its configuration says.
#[test]
fn killed_while_a_change_is_recorded() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare(folder);
    let mut child = start_or_resume(folder, "begun");
    let latest = folder.join("begun/latest");
    let ended = wait_until(&mut child, "the first checkpoint", || latest.exists());
    assert!(ended.is_none(), "the run ended before its first checkpoint");
    interrupt(&mut child);
    let copy = |name: &str| copy_folder(&folder.join("begun"), &folder.join(name));
    let train = |name: &str, options: &[&str]| {
        run(folder, &[&["train", "--out", name], options].concat());
        checkpoint(folder, name, 60)
    };
    copy("unchanged");
    copy("changed");
    let unchanged = train("unchanged", &GO_ON);
    let changed = train("changed", &CHANGE);
    assert!(changed != unchanged);
    let mut changes = 0;
    for kill in 0..8 {
        let name = format!("killed-{kill}");
        copy(&name);
        let config = folder.join(&name).join("config.toml");
        let is_recorded = || {
            let text = std::fs::read_to_string(&config).expect("a configuration");
            text.contains("[[changes]]")
        };
        let mut child = start(folder, &[&["train", "--out", &name], &CHANGE[..]].concat());
        // Half of the kills are to come as soon as the change is recorded, the others at any moment.
        if kill % 2 == 0 {
            let ended = wait_until(&mut child, "the record of the change", is_recorded);
            assert!(
                ended.is_none(),
                "the run ended before kill {kill}: {ended:?}"
            );
        } else {
            std::thread::sleep(std::time::Duration::from_millis(5 * kill));
        }
        child.kill().expect("a child");
        child.wait().expect("a child");
        let is_changed = is_recorded();
        changes += u64::from(is_changed);
        let expected = if is_changed { &changed } else { &unchanged };
        assert!(train(&name, &GO_ON) == *expected, "kill {kill}");
        let metrics = folder.join(&name).join("metrics.jsonl");
        let metrics = std::fs::read_to_string(metrics).expect("metrics");
        let lines = metrics.matches("{\"kind\":\"changes\"").count();
        assert_eq!(lines, usize::from(is_changed), "kill {kill}");
    }
    assert!(changes >= 4, "{changes}");
}
