//! `ldrop experiment` with a table `sweep`: its search, and how it goes on after kills and changes.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{failure, json_lines, last_step, ldrop, prepare_study, run, start, wait_until};

const KILLS: u64 = 6;

/// One searched arm with a setting that diverges, one with a list of its own, and one that is left out.
const STUDY: &str = r#"
title = "A search"
seeds = [1, 2]
data = { sources = ["text.txt"], tokenizer = "byte" }
base = "tiny.toml"
[set]
train.steps = 20
[sweep]
steps = 12
[sweep.set]
"train.optimizer.learning_rate" = [1e-4, 1e-2, 1e30]
[[arm]]
name = "learned"
label = "Learned dropout"
[[arm]]
name = "dropout"
unset = ["model.learned_dropout"]
[arm.sweep]
"train.optimizer.learning_rate" = [1e-3, 1e-2]
"model.dropout" = [0.0, 0.1]
[[arm]]
name = "plain"
unset = ["model.learned_dropout"]
sweep = false
"#;

fn record(folder: &Path, out: &str) -> Value {
    let text = std::fs::read(folder.join(out).join("search.json")).expect("a record");
    serde_json::from_slice(&text).expect("JSON")
}

/// The last validation loss in the metrics of a run.
fn last_loss(run: &Path) -> f64 {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let loss = |line: &str| -> Option<f64> {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["validation_loss"].as_f64()
    };
    text.lines().rev().find_map(loss).expect("an evaluation")
}

const COMMAND: [&str; 4] = ["experiment", "study.toml", "--out", "out"];

#[test]
fn the_best_settings_are_trained_in_full() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    prepare_study(folder, STUDY);
    let ended =
        json_lines(&run(folder, &[&COMMAND[..], &["--json", "--jobs", "2"]].concat()).stdout);
    let (search, full): (Vec<&Value>, Vec<&Value>) =
        ended.iter().partition(|of| of["phase"] == "search");
    // Three settings of one arm and two times two of the other; three arms with two seeds.
    assert_eq!((search.len(), full.len()), (7, 6));
    assert!(
        full.iter()
            .all(|of| of["phase"] == "full" && of["step"] == 20)
    );
    let diverged: Vec<&&Value> = search.iter().filter(|of| of["state"] == "failed").collect();
    assert_eq!(diverged.len(), 1);
    assert_eq!(diverged[0]["setting"], 3);
    assert_eq!(diverged[0]["values"]["train.optimizer.learning_rate"], 1e30);

    // The choice is that of the runs' metrics.
    let found = record(folder, "out");
    let mut best = Vec::new();
    for arm in found["arms"].as_array().expect("arms") {
        let name = arm["name"].as_str().expect("a name");
        let settings = arm["settings"].as_array().expect("settings");
        let mut losses = Vec::new();
        for setting in settings {
            let number = setting["number"].as_u64().expect("a number");
            let run = folder.join(format!("out/search/{name}/{number:03}-seed-1"));
            if run.join("failure.txt").exists() {
                assert!(setting["runs"][0]["error"].is_string());
                continue;
            }
            let loss = last_loss(&run);
            assert_eq!(setting["runs"][0]["validation_loss"], loss);
            losses.push((loss, setting));
            // Metrics alone are left: no weights, and no text was written.
            assert!(!run.join("checkpoints").exists() && !run.join("latest").exists());
            let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
            assert!(!metrics.contains("\"sample\""), "{metrics}");
        }
        let lowest = losses
            .iter()
            .min_by(|left, right| left.0.total_cmp(&right.0));
        let chosen = lowest.expect("a loss").1;
        assert_eq!(arm["chosen"], chosen["number"]);
        best.push((name, chosen["values"].clone()));
    }
    for (name, values) in best {
        let config = folder.join(format!("out/runs/{name}/seed-2/config.toml"));
        let config = std::fs::read_to_string(config).expect("a configuration");
        let rate = values["train.optimizer.learning_rate"]
            .as_f64()
            .expect("a rate");
        assert!(
            config.contains(&format!("\nlearning_rate = {rate}\n")),
            "{config}"
        );
        assert!(config.contains("\nsteps = 20\n"), "{config}");
    }
    shown_in_report(folder);
    done_again_and_changed(folder, &ended);
}

fn shown_in_report(folder: &Path) {
    let page = std::fs::read_to_string(folder.join("out/report.html")).expect("a report");
    let markdown = run(folder, &["report", "out", "--format", "markdown"]).stdout;
    let markdown = String::from_utf8(markdown).expect("text");
    assert!(page.contains("<h3>Search</h3>") && markdown.contains("\n## Search\n"));
    for part in [
        "7 settings were tried for 12 steps with the seed 1.",
        "Chosen for Learned dropout: learning_rate 0.01.",
        "learning_rate 0.01 is the highest",
    ] {
        let part = part.replace("learning_rate 0.01 is", "dropout: 0.01 is");
        assert!(
            page.contains(&part) && markdown.contains(&part),
            "{part}: {markdown}"
        );
    }
    // Not at an edge: the highest one failed.
    assert!(!markdown.contains("Learned dropout: 0.01 is the highest"));
    assert!(
        page.matches("class=\"picture\"").count() == 2,
        "a line and a heat map"
    );
    let drawn = run(
        folder,
        &["report", "out", "--chart", "search", "--format", "svg"],
    )
    .stdout;
    let drawn = String::from_utf8(drawn).expect("text");
    for part in [
        "<svg",
        "Validation loss by learning_rate",
        "Validation loss, dropout",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
}

/// Modification times of the metrics of some runs.
fn done_again_and_changed(folder: &Path, ended: &[Value]) {
    let bytes = |file: &str| std::fs::read(folder.join("out").join(file)).expect("a file");
    let before = bytes("search.json");
    let failed_log = || {
        let log = folder.join("out/search/learned/003-seed-1/log.txt");
        log.metadata()
            .and_then(|log| log.modified())
            .expect("a log")
    };
    let tried = failed_log();
    let again = json_lines(&run(folder, &[&COMMAND[..], &["--json"]].concat()).stdout);
    let sorted = |lines: &[Value]| {
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(ended), "nothing is done twice");
    assert_eq!(bytes("search.json"), before);
    assert_eq!(failed_log(), tried, "the search is over");

    // Other steps are another search.
    let write = |study: &str| std::fs::write(folder.join("study.toml"), study).expect("written");
    write(&STUDY.replace("steps = 12", "steps = 13"));
    let (code, message) = failure(folder, &COMMAND);
    assert!(
        code == 2 && message.contains("train.steps was 12, is 13"),
        "{message}"
    );
    assert!(
        message.contains("out/search/learned/001-seed-1"),
        "{message}"
    );
    assert_eq!(bytes("search.json"), before, "nothing was written");

    // A further value is one further run; it does not win.
    write(&STUDY.replace("[1e-4, 1e-2, 1e30]", "[1e-9, 0.0001, 1e-2, 1e30]"));
    let more = json_lines(&run(folder, &[&COMMAND[..], &["--json"]].concat()).stdout);
    assert_eq!(more.len(), ended.len() + 1);
    let new = |of: &&Value| of["setting"] == 4 && of["arm"] == "learned";
    assert_eq!(more.iter().filter(new).count(), 1);
    assert!(
        folder
            .join("out/search/learned/004-seed-1/metrics.jsonl")
            .exists()
    );
    assert_eq!(record(folder, "out")["arms"][0]["settings"][0]["number"], 4);

    // The first of two values that win would need other full runs.
    write(&STUDY.replace("[1e-4, 1e-2, 1e30]", "[1e-4, 1e30]"));
    let (code, message) = failure(folder, &COMMAND);
    let expected = "train.optimizer.learning_rate was 0.01, is 0.0001";
    assert!(code == 2 && message.contains(expected), "{message}");
}

#[test]
fn an_arm_whose_settings_all_fail_has_no_full_runs() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let study = STUDY.replace("[1e-4, 1e-2, 1e30]", "[1e29, 1e30]");
    prepare_study(folder, &study.replace("seeds = [1, 2]", "seeds = [1]"));
    let output = ldrop(folder, &COMMAND)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("no full runs of Learned dropout: every setting of the search failed"),
        "{errors}"
    );
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("Learned dropout has no full runs"),
        "{printed}"
    );
    assert!(!folder.join("out/runs/learned").exists());
    for arm in ["dropout", "plain"] {
        assert_eq!(
            last_step(&folder.join(format!("out/runs/{arm}/seed-1"))),
            20
        );
    }
}

/// A setting does not lose because its process is told to stop, or killed: the same command goes on with it.
#[cfg(target_os = "linux")] // The processes of a process are read from /proc.
#[test]
fn an_interrupted_run_does_not_make_its_setting_lose() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let study = "
seeds = [1]
data = { sources = ['text.txt'], tokenizer = 'byte' }
base = 'tiny.toml'
set = { train.steps = 10, train.checkpoint.every = 5 }
[sweep]
steps = 300
set.'train.optimizer.learning_rate' = [1e-2]
[[arm]]
name = 'learned'
";
    prepare_study(folder, study);
    for (signal, message) in [("TERM", "was told to stop"), ("KILL", "signal: 9")] {
        let search = folder.join("out/search/learned/001-seed-1");
        let before = last_step(&search);
        let mut command = ldrop(folder, &COMMAND);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut command = command.spawn().expect("the program starts");
        let ended = wait_until(&mut command, "some steps", || last_step(&search) > before);
        assert!(ended.is_none(), "it ended before the signal: {ended:?}");
        let children = format!("/proc/{0}/task/{0}/children", command.id());
        let children = std::fs::read_to_string(children).expect("processes");
        let run = children.split_whitespace().next().expect("a run's process");
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), run])
            .status();
        assert!(kill.expect("kill").success());
        let output = command.wait_with_output().expect("its output");
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8_lossy(&output.stderr);
        for part in [
            "1 of 1 runs of the search were interrupted, so no setting is chosen yet; the same command goes on",
            message,
        ] {
            assert!(errors.contains(part), "{part}: {errors}");
        }
        let found = record(folder, "out");
        let run = &found["arms"][0]["settings"][0]["runs"][0];
        assert!(run["error"].is_null() && run["validation_loss"].is_null());
        assert!(found["arms"][0]["chosen"].is_null());
        assert!(!folder.join("out/runs").exists(), "no full run");
    }
    run(folder, &COMMAND);
    assert_eq!(record(folder, "out")["arms"][0]["chosen"], 1);
    assert_eq!(last_step(&folder.join("out/runs/learned/seed-1")), 10);
}

#[test]
fn data_that_does_not_fit_one_arm_is_told_before_the_search() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let sets = "[[arm]]\nname = 'sets'\nsweep = false\nset.train.evaluate.sets.news = 'nowhere'\n";
    prepare_study(folder, &format!("{STUDY}{sets}"));
    let (code, message) = failure(folder, &COMMAND);
    assert!(
        !message.contains("left out"),
        "all of the text was read: {message}"
    );
    let expected = "study.toml: arms do not fit their data:\n  arm `sets`: train.evaluate.sets.news: nowhere: \
                    there is no such folder; make one with `ldrop data prepare --validation-source FILE \
                    --tokenizer out/data --out nowhere`";
    assert!(code == 1 && message.contains(expected), "{message}");
    assert!(!folder.join("out/search").exists() && !folder.join("out/runs").exists());
}

/// A limit of the length of files fails as a full disk does: the second checkpoint's optimizer state is too long.
#[test]
fn a_full_disk_stops_the_search_and_no_setting_loses() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let study = "
seeds = [1]
data = { sources = ['text.txt'], tokenizer = 'byte' }
base = 'tiny.toml'
set = { train.steps = 4 }
[sweep]
steps = 6
set.'train.optimizer.learning_rate' = [1e-2, 1e-3]
[[arm]]
name = 'learned'
";
    prepare_study(folder, study);
    // Blocks of 512 bytes: more than the text, and less than the moments of 10,000 weights.
    let limit = "trap '' XFSZ; ulimit -f 110; exec \"$@\"";
    let mut limited = Command::new("sh");
    let limited = limited
        .current_dir(folder)
        .args(["-c", limit, "sh", env!("CARGO_BIN_EXE_ldrop"), "--quiet"])
        .args(COMMAND);
    let output = limited.output().expect("the shell starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let found = record(folder, "out");
    let settings = &found["arms"][0]["settings"];
    assert!(errors.contains("optimizer.safetensors"), "{errors}");
    for part in [
        "001-seed-1: ",
        "File too large",
        "go on with the same command",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(settings[0]["runs"][0]["error"].is_null(), "{found}");
    assert!(found["arms"][0]["chosen"].is_null());
    assert!(
        !folder
            .join("out/search/learned/001-seed-1/failure.txt")
            .exists()
    );
    assert!(
        !folder.join("out/search/learned/002-seed-1").exists(),
        "the others would fail too"
    );
    run(folder, &COMMAND);
    assert_eq!(record(folder, "out")["arms"][0]["chosen"], 1);
}

/// The search has 4 steps, the full runs have 10. Of `short` the second setting is chosen, which has no warm-up.
#[test]
fn warm_ups_are_shortened_aloud_in_the_search_and_of_what_it_chose() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let study = "
seeds = [1]
data = { sources = ['text.txt'], tokenizer = 'byte' }
base = 'tiny.toml'
set = { train.steps = 10 }
[sweep]
steps = 4
[[arm]]
name = 'long'
[arm.sweep]
train.schedule.warmup = [15]
[[arm]]
name = 'short'
[arm.sweep]
train.schedule = [{ kind = 'constant', warmup = 15 }, { kind = 'constant', warmup = 0 }]
train.clip = [1.0]
[[arm]]
name = 'plain'
sweep = false
";
    prepare_study(folder, study);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ldrop"));
    let command = command.current_dir(folder).args(COMMAND);
    let output = command.output().expect("the program starts");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let notes: Vec<&str> = messages
        .lines()
        .filter(|line| line.contains("note: the warm-up"))
        .collect();
    let shortened = |arm: &str, steps: u64, key: &str| {
        format!(
            "{arm}: note: the warm-up is shortened to {steps} steps: train.schedule.warmup is 15, more than \
             {key}, {steps}"
        )
    };
    let expected = [
        shortened("long, search", 4, "train.schedule.decay_steps"),
        shortened("short, search", 4, "train.steps"),
        shortened("long", 10, "train.schedule.decay_steps"),
    ];
    // Without a warm-up the loss falls faster in so few steps.
    let chosen = &record(folder, "out")["arms"][1]["chosen"];
    assert_eq!(*chosen, 2);
    assert_eq!(notes, expected);
}

/// Steps of all runs of the search, and of all others.
fn steps_done(folder: &Path) -> u64 {
    let runs = |folder: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let arms = [folder.join("search"), folder.join("runs")];
    let arms = arms.iter().flat_map(|of| runs(of));
    arms.flat_map(|arm| runs(&arm))
        .map(|run| last_step(&run))
        .sum()
}

#[test]
fn a_killed_search_goes_on_to_the_same_choice() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    // Two seeds for each setting, checkpoints at every third step, and one setting for all arms.
    let study = STUDY
        .replace("steps = 12", "steps = 12\nseeds = 2\nshared = true")
        .replace(
            "[arm.sweep]\n\"train.optimizer.learning_rate\" = [1e-3, 1e-2]\n",
            "",
        )
        .replace("\"model.dropout\" = [0.0, 0.1]\n", "")
        .replace(
            "train.steps = 20",
            "train.steps = 20\ntrain.checkpoint.every = 3",
        );
    prepare_study(folder, &study);
    run(folder, &["experiment", "study.toml", "--out", "whole"]);
    let all = steps_done(&folder.join("whole"));
    let killed = folder.join("killed");
    for kill in 0..KILLS {
        let before = steps_done(&killed);
        let mut child = start(folder, &["experiment", "study.toml", "--out", "killed"]);
        let target = before + (all - before) / (KILLS - kill + 1);
        let what = format!("{target} steps before kill {kill}");
        let ended = wait_until(&mut child, &what, || steps_done(&killed) >= target);
        assert!(ended.is_none(), "it ended before kill {kill}: {ended:?}");
        // SIGKILL: the program has no chance to stop its processes.
        child.kill().expect("a child");
        child.wait().expect("a child");
    }
    run(folder, &["experiment", "study.toml", "--out", "killed"]);
    let bytes = |out: &str| std::fs::read(folder.join(out).join("search.json")).expect("a record");
    assert_eq!(bytes("killed"), bytes("whole"));
    let results = |out: &str| {
        let output = run(folder, &["report", out, "--format", "csv"]).stdout;
        let text = String::from_utf8(output).expect("text");
        let lines = text.lines();
        // Arm, runs, and the losses with their spreads.
        let cut = |line: &str| line.split(',').take(8).collect::<Vec<_>>().join(",");
        lines.map(cut).collect::<Vec<String>>()
    };
    assert_eq!(results("killed"), results("whole"));
    let found = record(folder, "whole");
    let chosen = |arm: usize| found["arms"][arm]["chosen"].clone();
    assert!(
        chosen(0).is_u64() && chosen(0) == chosen(1),
        "one for all arms"
    );
    assert!(folder.join("killed/search/learned/001-seed-2").is_dir());
}
