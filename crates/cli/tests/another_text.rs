//! Another text for a model that exists: its tokenizer is found, kept and asked for.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{failure, json, ldrop, run};
#[cfg(unix)]
use support::{send, wait_until};

/// Text with characters that `support::text` lacks.
const OTHER: &str = "The dog sat on the log: 12 < 34 & ü!\n";

/// A tiny model of each kind of tokenizer, in the run folder `run-KIND`.
fn train(folder: &Path, tokenizer: &str) -> String {
    std::fs::write(folder.join("text.txt"), support::text()).expect("written");
    std::fs::write(folder.join("other.txt"), OTHER.repeat(20)).expect("written");
    std::fs::write(folder.join("tiny.toml"), support::TINY).expect("written");
    let kind = tokenizer.replace(':', "-");
    let (data, out) = (format!("data-{kind}"), format!("run-{kind}"));
    let prepare = ["data", "prepare", "text.txt", "--out", &data];
    run(
        folder,
        &[&prepare[..], &["--tokenizer", tokenizer]].concat(),
    );
    let train = ["train", "--config", "tiny.toml", "--data", &data];
    let dense = ["--set", "model.learned_dropout=", "--out", &out];
    run(folder, &[&train[..], &dense[..]].concat());
    out
}

/// The command between backticks in a message, without the program's name.
fn command_in(message: &str) -> Vec<String> {
    let command = message.split('`').nth(1).expect("a command");
    let words = command.split(' ').map(str::to_owned);
    words.skip(1).collect()
}

fn as_words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn a_text_is_evaluated_as_if_it_had_been_prepared() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let temporary = folder.join("temporary");
    std::fs::create_dir(&temporary).expect("made");
    for tokenizer in ["bpe:300", "char"] {
        let model = train(folder, tokenizer);
        let checkpoint = std::fs::read_to_string(folder.join(&model).join("best"));
        let checkpoint = format!("{model}/checkpoints/{}", checkpoint.expect("read").trim());
        let mut losses = Vec::new();
        for origin in [&model, &checkpoint, &format!("{checkpoint}/tokenizer.json")] {
            let options = ["--tokenizer", origin, "--validation", "0", "--out", "other"];
            run(
                folder,
                &[&["data", "prepare", "other.txt"], &options[..]].concat(),
            );
            let eval = [
                "eval", "--model", &model, "--data", "other", "--split", "train",
            ];
            losses.push(json(folder, &eval));
        }
        let eval = ["eval", "--model", &model, "--data", "other.txt", "--json"];
        let output = ldrop(folder, &eval)
            .env("TMPDIR", &temporary)
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{output:?}");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(losses, [found.clone(), found.clone(), found.clone()]);
        assert!(
            std::fs::read_dir(&temporary)
                .expect("a folder")
                .next()
                .is_none()
        );
        // T, d, g, <, &, ü and ! of each line, without the first token, which is not predicted; and no
        // bytes can be told for them.
        let unknown = if tokenizer == "char" { 20 * 8 - 1 } else { 0 };
        assert_eq!(found["unknown_tokens"], unknown, "{found}");
        assert_eq!(found["bits_per_byte"].is_null(), unknown > 0);
    }
    let split = [
        "eval",
        "--model",
        "run-char",
        "--data",
        "other.txt",
        "--split",
        "train",
    ];
    let (code, message) = failure(folder, &split);
    assert!(code == 2 && message.contains("--split"), "{message}");
    let eval = ["eval", "--model", "run-char", "--data"];
    let (code, message) = failure(folder, &[&eval[..], &["nowhere.txt"]].concat());
    assert!(code == 1 && message.contains("nowhere.txt"), "{message}");
    // A folder of texts is one, too; a run is none.
    std::fs::create_dir(folder.join("texts")).expect("made");
    std::fs::write(folder.join("texts/a.txt"), OTHER).expect("written");
    let found = json(folder, &[&eval[..], &["texts"]].concat());
    assert_eq!(found["tokens"], OTHER.chars().count() - 1);
    let (code, message) = failure(folder, &[&eval[..], &["run-char"]].concat());
    assert!(code == 1 && message.contains("a run folder"), "{message}");
    std::fs::write(folder.join("texts/a.txt"), "x").expect("written");
    let (code, message) = failure(folder, &[&eval[..], &["texts"]].concat());
    assert!(
        code == 1 && message.contains("texts: the text has 1 tokens"),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_temporary_text() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let model = train(folder, "char");
    let temporary = folder.join("temporary");
    std::fs::create_dir(&temporary).expect("made");
    std::fs::write(folder.join("large.txt"), support::text().repeat(2000)).expect("written");
    let entries = || std::fs::read_dir(&temporary).expect("a folder").flatten();
    // While the text is prepared, and when its tokens are being predicted.
    for wanted in ["", "new/meta.json"] {
        let mut child = ldrop(folder, &["eval", "--model", &model, "--data", "large.txt"])
            .env("TMPDIR", &temporary)
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        let ended = wait_until(&mut child, "temporary files", || {
            entries().any(|entry| entry.path().join(wanted).exists())
        });
        assert_eq!(ended, None, "it is at work for longer");
        send(&mut child, "TERM", 143);
        assert_eq!(entries().count(), 0, "{wanted}");
    }
}

#[test]
fn an_exported_model_is_imported_with_its_tokenizer() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    for tokenizer in ["bpe:300", "char"] {
        let model = train(folder, tokenizer);
        let before = json(folder, &["eval", "--model", &model, "--data", "other.txt"]);
        let export = ["export", "--model", &model, "--format", "pt-names", "--out"];
        let exported = json(folder, &[&export[..], &["a.pt"]].concat());
        assert_eq!(exported["tokenizer"], "a.tokenizer.json");
        run(folder, &["import", "a.pt", "--out", "imported", "--force"]);
        let eval = ["eval", "--model", "imported", "--data", "other.txt"];
        assert_eq!(json(folder, &eval), before);
        // A file that has lost its company is told which tokenizer it had.
        std::fs::rename(folder.join("a.tokenizer.json"), folder.join("moved.json")).expect("moved");
        for origin in ["moved.json", &model] {
            let import = [
                "import",
                "a.pt",
                "--out",
                "imported",
                "--force",
                "--tokenizer",
            ];
            run(folder, &[&import[..], &[origin]].concat());
            assert_eq!(json(folder, &eval), before);
        }
        let alone = run(folder, &["import", "a.pt", "--out", "alone", "--force"]);
        let notes = String::from_utf8(alone.stderr).expect("text");
        assert!(
            notes.contains("--tokenizer") && notes.contains("a.tokenizer.json"),
            "{notes}"
        );
        let eval = ["eval", "--model", "alone", "--data", "other.txt"];
        let (code, message) = failure(folder, &eval);
        assert!(code == 1 && message.contains("tokenizer.json"), "{message}");
        // The other format has it, too.
        let export = [
            "export",
            "--model",
            &model,
            "--format",
            "safetensors",
            "--out",
        ];
        run(folder, &[&export[..], &["weights.safetensors"]].concat());
        let read = |name: &str| std::fs::read(folder.join(name)).expect("written");
        assert!(read("weights.tokenizer.json") == read("moved.json"));
        // The same again replaces the same.
        run(folder, &[&export[..], &["weights.safetensors"]].concat());
        // Another tokenizer stays where it is: it may be the only copy. A model without one would be given it.
        let alone = [
            "export",
            "--model",
            "alone",
            "--format",
            "safetensors",
            "--out",
        ];
        let refused = |export: &[&str], part: &str| {
            let before = ["weights.safetensors", "weights.tokenizer.json"].map(read);
            let (code, message) = failure(folder, &[export, &["weights.safetensors"]].concat());
            assert_eq!(code, 2);
            for part in ["weights.tokenizer.json: ", part, "move the file away"] {
                assert!(message.contains(part), "{message}");
            }
            assert!(before == ["weights.safetensors", "weights.tokenizer.json"].map(read));
        };
        refused(&alone, "the model has no tokenizer");
        std::fs::write(folder.join("weights.tokenizer.json"), "another").expect("written");
        refused(&export, "which differs from it");
        std::fs::remove_file(folder.join("weights.tokenizer.json")).expect("removed");
        run(folder, &[&alone[..], &["weights.safetensors"]].concat());
        assert!(!folder.join("weights.tokenizer.json").exists());
    }
    for (origin, part) in [
        ("gpt2", "50257 tokens"),
        ("char", "a tokenizer that exists"),
    ] {
        let import = ["import", "a.pt", "--out", "new", "--tokenizer", origin];
        let (code, message) = failure(folder, &import);
        assert!(code == 2 && message.contains(part), "{message}");
        assert!(!folder.join("new").exists());
    }
}

#[test]
fn data_of_another_tokenizer_is_answered_with_a_command_that_makes_it_fit() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let model = train(folder, "bpe:300");
    run(
        folder,
        &[
            "data",
            "prepare",
            "text.txt",
            "--tokenizer",
            "byte",
            "--out",
            "bytes",
        ],
    );
    let train = [
        "train",
        "--config",
        "tiny.toml",
        "--set",
        "model.learned_dropout=",
        "--from",
    ];
    let from = |data: &str| -> Vec<String> {
        let words = [&train[..], &[&model, "--out", "next", "--data", data]].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    let run_words = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(folder, &words);
    };
    let words = from("bytes");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (code, message) = failure(folder, &words);
    assert!(
        code == 1 && message.contains("its tokenizer is not that of"),
        "{message}"
    );
    let command = command_in(&message);
    assert_eq!(command.last().expect("words"), "bytes-for-run-bpe-300");
    run_words(command);
    run_words(from("bytes-for-run-bpe-300"));
    let (code, message) = failure(folder, &["eval", "--model", &model, "--data", "bytes"]);
    assert_eq!(code, 1);
    run_words(command_in(&message));
}

#[test]
fn a_text_instead_of_data_is_answered_with_the_command_that_prepares_it() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    support::prepare(folder);
    for overridden in [["--data", "text.txt"], ["--set", "data.path=text.txt"]] {
        let train = ["train", "--config", "tiny.toml", "--out", "run"];
        let (code, message) = failure(folder, &[&train[..], &overridden].concat());
        assert_eq!(code, 1);
        let expected = "`ldrop data prepare text.txt --out data/text`";
        assert!(message.contains(expected), "{message}");
    }
    // Parts that are too short for a window.
    for (options, part) in [
        (["--validation", "0"], "a larger validation share"),
        (["--max-text", "15"], "a smaller validation share"),
    ] {
        let prepare = [
            "data",
            "prepare",
            "text.txt",
            "--tokenizer",
            "byte",
            "--out",
            "short",
        ];
        run(folder, &[&prepare[..], &options].concat());
        let train = [
            "train",
            "--config",
            "tiny.toml",
            "--out",
            "run",
            "--data",
            "short",
        ];
        let (code, message) = failure(folder, &train);
        assert!(code == 1 && message.contains(part), "{message}");
    }
}

#[test]
fn a_validation_text_of_its_own() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    std::fs::write(folder.join("train.txt"), "abc abc").expect("written");
    std::fs::write(folder.join("valid.txt"), "abd").expect("written");
    std::fs::write(folder.join("more.txt"), "e").expect("written");
    let prepare = [
        "data",
        "prepare",
        "train.txt",
        "--tokenizer",
        "char",
        "--out",
        "data",
    ];
    let own = [
        "--validation-source",
        "valid.txt",
        "--validation-source",
        "more.txt",
    ];
    let output = run(folder, &[&prepare[..], &own].concat());
    let report = String::from_utf8(output.stdout).expect("text");
    let expected = "changed: 3 characters that the tokenizer does not know, which became <unk>\n  \
                    '\\n' (U+000A): 1 times\n  'd' (U+0064): 1 times\n  'e' (U+0065): 1 times\n";
    assert!(report.contains(expected), "{report}");
    let warning = String::from_utf8(output.stderr).expect("text");
    assert!(
        warning.contains("does not know 60% of the characters of the validation part")
            && !warning.contains("training part"),
        "{warning}"
    );
    let found = json(folder, &[&prepare[..], &own].concat());
    assert_eq!(found["vocabulary"], 5);
    assert_eq!(
        (&found["train"]["tokens"], &found["validation"]["tokens"]),
        (&7.into(), &5.into())
    );
    assert_eq!(found["validation_sources"][1]["name"], "more.txt");
    assert_eq!(found["report"]["reasons"]["unknown-character"]["count"], 3);
    let (code, _) = failure(
        folder,
        &[&prepare[..], &own, &["--validation", "0.1"]].concat(),
    );
    assert_eq!(code, 2);
    let alone = [
        "data",
        "prepare",
        "--validation-source",
        "more.txt",
        "--out",
        "set",
    ];
    let found = json(folder, &[&alone[..], &["--tokenizer", "data"]].concat());
    assert_eq!(
        (&found["train"]["tokens"], &found["validation"]["tokens"]),
        (&0.into(), &1.into())
    );
    let (code, message) = failure(folder, &[&alone[..], &["--tokenizer", "char"]].concat());
    assert!(
        code == 2 && message.contains("without training text"),
        "{message}"
    );
    let (code, _) = failure(folder, &["data", "prepare", "--out", "set"]);
    assert_eq!(code, 2);
    let shard = ["--shard", "1/1"];
    let (code, _) = failure(folder, &[&prepare[..], &own, &shard].concat());
    assert_eq!(code, 2);
    let same = ["--validation-source", "train.txt"];
    let (code, message) = failure(folder, &[&prepare[..], &same].concat());
    assert!(
        code == 1 && message.contains("train.txt is in the validation text"),
        "{message}"
    );
}

#[test]
fn a_folder_for_evaluations_only_is_answered_as_one() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let model = train(folder, "byte");
    // A missing set is answered with a command that makes a usable one.
    let with_set = |set: &str| {
        let set = format!("train.evaluate.sets.other={set}");
        let train = ["train", "--config", "tiny.toml", "--data", "data-byte"];
        let out = ["--out", "with-set", "--set", &set];
        let words = [&train[..], &out].concat().into_iter();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let (code, message) = failure(folder, &as_words(&with_set("ev")));
    assert_eq!(code, 1);
    let expected = "train.evaluate.sets.other: ev: there is no such folder; make one with \
                    `ldrop data prepare --validation-source FILE --tokenizer data-byte --out ev`";
    assert!(message.contains(expected), "{message}");
    let (_, of_text) = failure(folder, &as_words(&with_set("other.txt")));
    let expected = "`ldrop data prepare --validation-source other.txt --tokenizer data-byte --out data/other`, \
                    and name that";
    assert!(of_text.contains(expected), "{of_text}");
    let mut command = command_in(&message[message.find("make one").expect("advice")..]);
    let file = command.iter_mut().find(|word| *word == "FILE");
    *file.expect("a file") = "other.txt".into();
    run(folder, &as_words(&command));
    run(folder, &as_words(&with_set("ev")));

    // Thresholds for its text are calibrated on the training text of the model's run.
    let thresholds = ["--threshold-sparsity", "0.5", "--threshold-inputs", "all"];
    let eval = |data: &str| {
        let eval = ["eval", "--model", &model, "--data", data];
        json(folder, &[&eval[..], &thresholds].concat())
    };
    assert_eq!(eval("ev"), eval("other.txt"));

    // It cannot be trained on.
    let train = [
        "train",
        "--config",
        "tiny.toml",
        "--data",
        "ev",
        "--out",
        "x",
    ];
    let (_, message) = failure(folder, &train);
    let expected = "its folder has no training text, as one that was prepared without SOURCE is for \
                    evaluations only; name a folder that `ldrop data prepare SOURCE...` made";
    assert!(message.contains(expected), "{message}");
    assert!(!message.contains("validation share"), "{message}");
}
