//! Folders of this program within a folder of sources.

use learned_dropout_data::progress::Silent;
use learned_dropout_data::sources::{ReadOptions, Reason, Source};
use learned_dropout_data::{PrepareOptions, TokenizerChoice, prepare, prepare_shard};

use crate::support::*;

#[test]
fn they_are_left_out_and_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    for (name, content) in [
        ("story.txt", "Once upon a time."),
        ("wiki/meta.json", "{\"text\": \"no\"}"),
        ("wiki/tokenizer.json", "{\"text\": \"no\"}"),
        ("wiki/train.bin", "no"),
        ("wiki/val.bin", "no"),
        ("out/a/config.toml", "seed = 1"),
        ("out/a/metrics.jsonl", "{\"kind\": \"step\"}"),
        ("out/a/log.txt", "no"),
        ("imported/config.json", "{}"),
        ("imported/model.safetensors", "no"),
        ("imported/notes.txt", "no"),
        (
            "page.html",
            "<head><meta name=\"generator\" content=\"ldrop 0.1.0\"></head>no",
        ),
        (".wiki.preparing/text", "no"),
    ] {
        write(root, name, content.as_bytes());
    }
    let (texts, left_out) = texts_and_left_out(root, &ReadOptions::default());
    assert_eq!(texts, ["Once upon a time."]);
    let found = examples(&left_out, Reason::OwnFolder).join("\n");
    for name in ["wiki", "out/a", "imported", "page.html"] {
        assert!(found.contains(name), "{name}: {found}");
    }
    assert_eq!(left_out.reasons[&Reason::OwnFolder].count, 4);

    for (name, kind) in [
        ("wiki", "a data folder"),
        ("out/a", "a run folder"),
        ("imported", "a model folder"),
        ("page.html", "a report"),
        (".wiki.preparing", "being prepared"),
    ] {
        let message = message(&root.join(name));
        assert!(
            message.contains(name) && message.contains(kind),
            "{message}"
        );
    }
}

/// The second preparation of a folder that holds the first one's result.
#[test]
fn the_result_is_no_source() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    write(root, "story.txt", b"Once upon a time.");
    std::fs::create_dir(root.join("sub")).expect("a folder");
    let outs = ["data", "sub/new/data", "sub/../data2"];
    for out in outs {
        let prepared = || {
            let mut options =
                PrepareOptions::new(vec![Source::Path(root.to_owned())], root.join(out));
            options.tokenizer = TokenizerChoice::Byte.into();
            prepare(&options, &Silent).expect("the story is there");
            ["train.bin", "val.bin", "meta.json"]
                .map(|file| std::fs::read(root.join(out).join(file)).expect("written"))
        };
        let first = prepared();
        assert!(first == prepared(), "{out}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).expect("a link");
        let (texts, left_out) = texts_and_left_out(root, &ReadOptions::default());
        assert_eq!(texts.len(), 1);
        assert_eq!(left_out.reasons[&Reason::OwnFolder].count, 4);
    }
    // The folder that is to be made cannot be its own source, whatever it holds.
    let empty = root.join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let options = PrepareOptions::new(vec![Source::Path(empty.clone())], &empty);
    let message = prepare(&options, &Silent).expect_err("nothing").to_string();
    assert!(message.contains("the data folder to be made"), "{message}");
}

#[test]
fn a_folder_without_tokens_is_not_made() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    for (content, validation, limit) in [
        ("", 0.1, None),
        (" \n", 0.1, None),
        ("\u{FEFF}", 0.1, None),
        ("é", 0.0, Some(1)),
        ("text", 0.0, Some(0)),
        ("ab", 0.9, None),
    ] {
        let path = write(root, "a.txt", content.as_bytes());
        for tokenizer in ["gpt2", "byte", "char", "bpe:300"] {
            let mut options =
                PrepareOptions::new(vec![Source::Path(path.clone())], root.join("data"));
            options.tokenizer = tokenizer.parse().expect("a tokenizer");
            options.validation = validation;
            options.max_text_bytes = limit;
            prepare(&options, &Silent).expect_err(content);
            let left: Vec<_> = std::fs::read_dir(root)
                .expect("a folder")
                .flatten()
                .collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
    }
}

/// Each machine may have folders of its own among the texts, its shard included: they are no files of
/// the text that the machines share.
#[test]
fn shards_do_not_count_folders_of_this_program() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    for number in 1..=4 {
        write(root, &format!("{number}.txt"), b"Once upon a time.");
    }
    let shard = |number: u64| {
        let mut options = PrepareOptions::new(
            vec![Source::Path(root.to_owned())],
            root.join(format!("shards/{number}")),
        );
        options.tokenizer = TokenizerChoice::Byte.into();
        let shard = format!("{number}/2").parse().expect("a shard");
        let description = prepare_shard(&options, shard, &Silent);
        description.expect("the texts are there")
    };
    let first = shard(1);
    let second = shard(2);
    assert_eq!(first.files, second.files);
    assert_eq!(first.sources.len(), second.sources.len());
}
