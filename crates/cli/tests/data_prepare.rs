//! What `ldrop data prepare` reads, refuses, leaves out, and says about it.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{failure, json, ldrop, run};
#[cfg(unix)]
use support::{send, wait_until};

/// Prepares with a byte tokenizer and no validation part; gives what is printed and the text.
#[track_caller]
fn prepared(folder: &Path, arguments: &[&str]) -> (String, String) {
    let out = [
        "data",
        "prepare",
        "--out",
        "data",
        "--tokenizer",
        "byte",
        "--validation",
        "0",
    ];
    let output = run(folder, &[&out, arguments].concat());
    let tokens = std::fs::read(folder.join("data/train.bin")).expect("written");
    let bytes: Vec<u8> = tokens.chunks_exact(2).map(|token| token[0]).collect();
    (
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(bytes).expect("text"),
    )
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, content).expect("written");
}

#[test]
fn formats_are_recognized_or_chosen() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(
        folder,
        "a.json",
        "[{\"body\": \"one\"},\n {\"body\": \"two\"}]",
    );
    let (_, text) = prepared(folder, &["a.json", "--text-column", "body"]);
    assert_eq!(text, "one\ntwo");
    let (_, text) = prepared(folder, &["a.json", "--format", "text"]);
    assert!(text.starts_with("[{"), "{text}");

    write(
        folder,
        "b.txt",
        "{\"text\": \"one\"}\n{\"text\": \"two\"}\n",
    );
    let refused = ["data", "prepare", "b.txt", "--out", "other"];
    let (code, message) = failure(folder, &refused);
    assert_eq!(code, 1);
    for part in ["b.txt", "plain text", "JSON lines", "--format"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!folder.join("other").exists());
    for name in ["jsonl", "json-lines", "json"] {
        let (_, text) = prepared(folder, &["b.txt", "--format", name]);
        assert_eq!(text, "one\ntwo", "{name}");
    }
    let (code, _) = failure(folder, &[&refused[..], &["--format", "csv"]].concat());
    assert_eq!(code, 2);
}

#[test]
fn what_is_left_out_is_reported() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(folder, "in/story.txt", "Once.");
    write(folder, "in/settings.json", "{\n  \"a\": 1\n}\n");
    write(folder, "in/wiki/meta.json", "{}");
    write(folder, "in/wiki/train.bin", "");
    write(
        folder,
        "in/records.jsonl",
        "{\"text\": \"one\"}\nbroken\n{\"text\": \"\\ud800\"}\n",
    );
    let (code, message) = failure(folder, &["data", "prepare", "in", "--out", "other"]);
    assert!(
        code == 1 && message.contains("records.jsonl:2"),
        "{message}"
    );
    let (report, text) = prepared(folder, &["in", "--on-error", "skip"]);
    assert_eq!(text, "one\n\u{FFFD}\nOnce.");
    for part in [
        "left out: 1 records that cannot be read\n  in/records.jsonl:2: not a JSON object",
        "changed: 1 texts with half of a surrogate pair",
        "left out: 1 files that are markup or data, not text\n  in/settings.json: ",
        "left out: 1 files and folders that this program wrote\n  in/wiki\n",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let counts = json(
        folder,
        &[
            "data",
            "prepare",
            "in",
            "--out",
            "other",
            "--on-error",
            "skip",
        ],
    );
    assert_eq!(counts["report"]["reasons"]["unreadable-record"]["count"], 1);
    let meta = std::fs::read_to_string(folder.join("other/meta.json")).expect("written");
    let meta: Value = serde_json::from_str(&meta).expect("JSON");
    assert_eq!(meta["left_out"]["own-folder"], 1);
}

#[cfg(unix)]
#[test]
fn messages_do_not_reach_the_terminal_as_commands() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(folder, "a\u{1b}[31m.txt", "");
    let name = "a\u{1b}[31m.txt";
    let (code, message) = failure(folder, &["data", "prepare", name, "--out", "other"]);
    assert_eq!(code, 1);
    assert!(message.contains("a\u{FFFD}[31m.txt is empty"), "{message}");
    // A link to a disk that is not there is named.
    write(folder, "in/a.txt", "one");
    std::os::unix::fs::symlink("/nowhere/disk", folder.join("in/corpus")).expect("a link");
    let (report, text) = prepared(folder, &["in"]);
    assert_eq!(text, "one");
    let expected = "left out: 1 broken links\n  in/corpus to /nowhere/disk: ";
    assert!(report.contains(expected), "{report}");
}

#[test]
fn own_folders_and_empty_sources_are_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(folder, "story.txt", &"Once upon a time. ".repeat(20));
    let (_, first) = prepared(folder, &["."]);
    assert_eq!(prepared(folder, &["."]).1, first);
    let (code, message) = failure(folder, &["data", "prepare", "data", "--out", "other"]);
    assert!(
        code == 1 && message.contains("a data folder of this program"),
        "{message}"
    );
    write(folder, "empty.txt", " \n");
    for arguments in [&["empty.txt"][..], &["story.txt", "--max-text", "0"]] {
        let out = ["data", "prepare", "--out", "other"];
        let (code, message) = failure(folder, &[&out, arguments].concat());
        assert!(code == 1 && message.contains("no t"), "{message}");
    }
    let names: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_byte_order_mark_is_not_inspected() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    support::prepare(folder);
    run(
        folder,
        &[
            "train",
            "--config",
            "tiny.toml",
            "--out",
            "run",
            "--set",
            "train.steps=1",
        ],
    );
    write(folder, "plain.txt", "line");
    write(folder, "marked.txt", "\u{FEFF}line");
    let inspected = |name| json(folder, &["inspect", "--model", "run", "--file", name]);
    assert_eq!(inspected("marked.txt"), inspected("plain.txt"));
}

/// A run is used and resumed from folders other than the one where it was started.
#[test]
fn the_data_of_a_run_is_found_from_anywhere() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    support::prepare(folder);
    let elsewhere = folder.join("else/where");
    std::fs::create_dir_all(&elsewhere).expect("made");
    let apart = tempfile::tempdir().expect("a folder");
    let apart = apart.path().join("run").display().to_string();
    for out in ["runs/a", &apart] {
        run(
            folder,
            &[
                "train",
                "--config",
                "tiny.toml",
                "--out",
                out,
                "--set",
                "train.steps=2",
            ],
        );
        let here = json(folder, &["eval", "--model", out]);
        let path = folder.join(out).display().to_string();
        assert_eq!(json(&elsewhere, &["eval", "--model", &path]), here);
        let resume = [
            "train",
            "--resume",
            "--out",
            &path,
            "--set",
            "train.steps=4",
        ];
        assert_eq!(json(&elsewhere, &resume)["step"], 4);
        json(&elsewhere, &["eval", "--model", &path]);
    }
    // A project can be moved with its runs.
    let moved = folder.join("moved");
    std::fs::create_dir(&moved).expect("made");
    for name in ["runs", "data"] {
        std::fs::rename(folder.join(name), moved.join(name)).expect("moved");
    }
    let checkpoint = "../../moved/runs/a/checkpoints/step-00000004";
    json(&elsewhere, &["eval", "--model", checkpoint]);
    // An older run stored its path as it was given; from the same working folder it is found as ever.
    let apart_config = Path::new(&apart).join("config.toml");
    let stored = std::fs::read_to_string(&apart_config).expect("a configuration");
    let line = stored
        .lines()
        .find(|line| line.starts_with("path = "))
        .expect("a path");
    std::fs::write(&apart_config, stored.replace(line, "path = \"data\"")).expect("written");
    json(&moved, &["eval", "--model", &apart]);
    let (code, message) = failure(&elsewhere, &["eval", "--model", &apart]);
    assert!(code == 1 && message.contains("data"), "{message}");
}

#[test]
fn seeds_have_a_limit() {
    let place = tempfile::tempdir().expect("a folder");
    let largest = "9223372036854775807";
    for seed in ["9223372036854775808", "-1", "99999999999999999999"] {
        let option = format!("--seed={seed}");
        let (code, message) = failure(place.path(), &["train", &option]);
        assert!(code == 2 && message.contains(largest), "{message}");
    }
    let help = ldrop(place.path(), &["train", "--help"])
        .output()
        .expect("help");
    assert!(String::from_utf8_lossy(&help.stdout).contains(largest));
}

/// A program that starts with SIGHUP ignored, as by `nohup`, goes on; all other signals that ask it to end
/// remove what it has begun.
#[cfg(unix)]
#[test]
fn signals_leave_nothing_behind() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    // Nobody writes into this pipe, so the program waits for its text.
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("pipe.txt"))
        .status();
    assert!(made.expect("mkfifo runs").success());
    write(folder, "data/meta.json", "{}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    // These tests may themselves run with SIGHUP ignored.
    let hang_up = ignored.unwrap_or(0) & 1 == 0;
    let hidden = folder.join(".data.preparing/new");
    for (signal, expected) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        if signal == "HUP" && !hang_up {
            continue;
        }
        let arguments = ["data", "prepare", "pipe.txt", "--out", "data"];
        let mut child = ldrop(folder, &arguments)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        let ended = wait_until(&mut child, "the hidden folder", || hidden.exists());
        assert!(ended.is_none(), "{ended:?}");
        send(&mut child, signal, expected);
        let mut message = String::new();
        let mut errors = child.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut errors, &mut message).expect("text");
        assert_eq!(message, "stopped by a signal: nothing was made\n");
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["data", "pipe.txt"]);
    }
    if cfg!(target_os = "linux") {
        let command = "trap '' HUP; exec \"$0\" --quiet data prepare pipe.txt --out data";
        let mut child = std::process::Command::new("sh")
            .args(["-c", command, env!("CARGO_BIN_EXE_ldrop")])
            .current_dir(folder)
            .spawn()
            .expect("the program starts");
        let ended = wait_until(&mut child, "the hidden folder", || hidden.exists());
        assert!(ended.is_none(), "{ended:?}");
        let hang_up = ["-s", "HUP", &child.id().to_string()];
        let sent = std::process::Command::new("kill").args(hang_up).status();
        assert!(sent.expect("kill runs").success());
        // Of two signals that wait, that of the lower number is taken first.
        send(&mut child, "TERM", 143);
    }
    let meta = std::fs::read_to_string(folder.join("data/meta.json"));
    assert_eq!(meta.expect("the older folder stays"), "{}");
}

/// The first signal after the folder is in its place lets the program report that; the second ends it.
#[cfg(unix)]
#[test]
fn a_second_signal_ends_a_report_that_nobody_reads() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    // A report of more bytes than any pipe holds without a reader: 64 KiB.
    let name = "n".repeat(200);
    for number in 0..1000 {
        write(folder, &format!("in/{name}-{number}.txt"), "some words");
    }
    let prepare = ["data", "prepare", "in", "--out", "data", "--json"];
    let mut child = ldrop(folder, &prepare)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (meta, hidden) = (
        folder.join("data/meta.json"),
        folder.join(".data.preparing"),
    );
    let ended = wait_until(&mut child, "the data folder", || {
        meta.exists() && !hidden.exists()
    });
    assert!(ended.is_none(), "{ended:?}");
    let first = ["-s", "INT", &child.id().to_string()];
    let sent = std::process::Command::new("kill").args(first).status();
    assert!(sent.expect("kill runs").success());
    // If the first one had ended the program, the status would be 130. Of two signals that wait, that of
    // the lower number is taken first.
    send(&mut child, "TERM", 143);
    assert!(meta.exists());
}

#[test]
fn arguments_that_cannot_work_are_errors_of_usage() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(folder, "a.txt", "some words");
    let prepare = ["data", "prepare", "a.txt", "--out", "out"];
    for (arguments, part) in [
        (&["--validation", "1"][..], "below 1"),
        (&["--validation", "-1"], "at least 0"),
        (&["--validation=nan"], "expected a number"),
        (&["--validation=abc"], "expected a number"),
        (
            &["--tokenizer", "bpe:300", "--shard", "1/2"],
            "needs no training",
        ),
    ] {
        let (code, message) = failure(folder, &[&prepare, arguments].concat());
        assert!(code == 2 && message.contains(part), "{code}: {message}");
    }
    let shard = ["--tokenizer", "byte", "--shard", "1/1"];
    run(folder, &[&prepare[..], &shard].concat());
    for (tokenizer, part) in [
        (&["--tokenizer", "gpt2"][..], "none for shards"),
        (&["--validation", "1.5"], "below 1"),
    ] {
        let merge = ["data", "merge", "out", "--out", "merged"];
        let (code, message) = failure(folder, &[&merge, tokenizer].concat());
        assert!(code == 2 && message.contains(part), "{code}: {message}");
    }
}

#[test]
fn files_named_twice_are_pointed_out() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(folder, "in/a.txt", "one");
    write(folder, "in/b.txt", "two");
    let prepare = ["data", "prepare", "in", "--out", "out"];
    for (more, warning) in [
        (&["in/a.txt"][..], "in/a.txt is named more than once"),
        (&["./in"], "./in/a.txt and 1 more are named more than once"),
    ] {
        let output = ldrop(folder, &[&prepare, more].concat())
            .env("RUST_LOG", "warn")
            .output()
            .expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.matches(warning).count() == 1,
            "{errors}"
        );
    }
}
