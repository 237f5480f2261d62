mod damaged_shards;
mod datatrove;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::folder::DataFolder;
use crate::prepare::{PrepareOptions, prepare};
use crate::progress::Silent;
use crate::shards::prepare_shard;
use crate::sources::{FileFormat, OnError, Shard, Source};
use crate::tokenizer::TokenizerChoice;
use crate::tokenizer::tests::old_characters;

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn shards(options: &PrepareOptions, count: u64, root: &Path) -> Vec<PathBuf> {
    (1..=count)
        .map(|number| {
            let out = root.join(format!("shard-{number}-of-{count}"));
            let options = PrepareOptions {
                out: out.clone(),
                ..options.clone()
            };
            prepare_shard(&options, Shard { number, count }, &Silent).unwrap();
            out
        })
        .collect()
}

fn merge_options(parts: Vec<PathBuf>, out: PathBuf, validation: f64) -> MergeOptions {
    MergeOptions {
        parts,
        out,
        validation,
        tokenizer: None,
        threads: 2,
    }
}

/// The tokenizers of the comparison, among them byte pairs without end-of-text.
fn tokenizers(folder: &Path) -> Vec<TokenizerOrigin> {
    let text = "the cat, the hat\n and a word über 你好 ".repeat(5);
    let bytes = Tokenizer::train(300, std::slice::from_ref(&text)).unwrap();
    let save = |name: &str, tokenizer: &Tokenizer| {
        let path = folder.join(name);
        tokenizer.save(&path).unwrap();
        TokenizerOrigin::File(path)
    };
    let mut json: serde_json::Value = serde_json::from_str(&bytes.to_json()).unwrap();
    json["added_tokens"] = serde_json::json!([]);
    let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
    vocabulary.remove("<|endoftext|>");
    let endless = folder.join("endless.json");
    fs::write(&endless, json.to_string()).unwrap();
    let some: BTreeSet<char> = text.chars().collect();
    let old = folder.join("old-characters.json");
    fs::write(&old, old_characters(&some.iter().collect::<String>())).unwrap();
    let all = some.into_iter().chain("😀\tsödä".chars()).collect();
    vec![
        TokenizerChoice::Gpt2.into(),
        TokenizerChoice::Byte.into(),
        save("bytes.json", &bytes),
        save("characters.json", &Tokenizer::characters(&all)),
        TokenizerOrigin::File(old),
        TokenizerOrigin::File(endless),
    ]
}

/// JSON lines and plain text of a few words, with empty and blank documents.
fn corpus(runner: &mut TestRunner, folder: &Path) -> usize {
    let document = "( |\n|the cat|über|你好|😀|\\t|, word|a|\n\n b){0,12}";
    let file = prop::collection::vec(document, 0..5);
    let corpus = prop::collection::vec(file, 5..9);
    let corpus: Vec<Vec<String>> = corpus.new_tree(runner).unwrap().current();
    for (number, documents) in corpus.iter().enumerate() {
        let name = folder.join(format!("{number}"));
        if number % 3 == 2 {
            fs::write(name.with_extension("txt"), documents.concat()).unwrap();
        } else {
            let lines: String = documents
                .iter()
                .map(|text| format!("{}\n", serde_json::json!({ "text": text })))
                .collect();
            fs::write(name.with_extension("jsonl"), lines + "\n").unwrap();
        }
    }
    fs::write(folder.join("last.txt"), "an end").unwrap();
    corpus.len()
}

#[test]
fn shards_give_the_bytes_of_one_machine() {
    let mut runner = TestRunner::deterministic();
    let tokenizers_folder = tempfile::tempdir().unwrap();
    let tokenizers = tokenizers(tokenizers_folder.path());
    for round in 0..3 {
        let root = tempfile::tempdir().unwrap();
        let text = root.path().join("text");
        fs::create_dir(&text).unwrap();
        corpus(&mut runner, &text);
        for (number, tokenizer) in tokenizers.iter().enumerate() {
            // Writing GPT-2's vocabulary takes a second without optimization.
            if number == 0 && round > 1 {
                continue;
            }
            let mut options = PrepareOptions::new(vec![Source::Path(text.clone())], "");
            options.tokenizer = tokenizer.clone();
            options.end_of_text = round % 4 != 0;
            let alone = [[0.0, 0.37], [0.1, 0.5], [0.24, 0.93]][round % 3].map(|validation| {
                options.validation = validation;
                options.out = root.path().join("one").join(validation.to_string());
                (
                    validation,
                    prepare(&options, &Silent).unwrap(),
                    files(&options.out),
                )
            });
            for count in [1, 2, 3, 5] {
                let mut parts = shards(&options, count, root.path());
                parts.rotate_left(round % count as usize);
                for (validation, alone, expected) in &alone {
                    let out = root.path().join("merged");
                    let merged = merge_options(parts.clone(), out.clone(), *validation);
                    let merged = merge(&merged, &Silent).unwrap();
                    assert_eq!(merged.meta, alone.meta, "{tokenizer} {count} {validation}");
                    assert_eq!(merged.left_out, alone.left_out);
                    assert!(files(&out) == *expected, "{tokenizer} {count} {validation}");
                }
            }
        }
    }
}

#[test]
fn a_long_document_is_divided_as_on_one_machine() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("text");
    fs::create_dir(&text).unwrap();
    // More than one segment, with and without places to cut, and no line feed at the end.
    fs::write(text.join("1.txt"), "short").unwrap();
    fs::write(
        text.join("2.txt"),
        "wörd ".repeat(300_000) + &"ü".repeat(700_000),
    )
    .unwrap();
    fs::write(text.join("3.txt"), "ä".repeat(600_001)).unwrap();
    let one = root.path().join("one");
    for (tokenizer, validation) in tokenizers(root.path())
        .into_iter()
        .zip([0.1, 0.5, 0.7, 0.4, 0.3, 0.6])
    {
        let mut options = PrepareOptions::new(vec![Source::Path(text.clone())], &one);
        options.tokenizer = tokenizer;
        let parts = shards(&options, 3, root.path());
        options.validation = validation;
        prepare(&options, &Silent).unwrap();
        let out = root.path().join("merged");
        merge(&merge_options(parts, out.clone(), validation), &Silent).unwrap();
        assert!(files(&out) == files(&one));
    }
}

/// The merge could not tell at which byte it divides a text of unknown characters.
#[test]
fn shards_refuse_what_they_cannot_keep() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("text.txt");
    fs::write(&text, "abä äö").unwrap();
    let path = root.path().join("characters.json");
    Tokenizer::characters(&['a', 'b', ' '].into())
        .save(&path)
        .unwrap();
    let shard = Shard {
        number: 1,
        count: 1,
    };
    let mut options =
        PrepareOptions::new(vec![Source::Path(text.clone())], root.path().join("shard"));
    options.tokenizer = TokenizerOrigin::File(path);
    let error = prepare_shard(&options, shard, &Silent)
        .unwrap_err()
        .to_string();
    let expected = "does not know 3 characters of the text ('ä' (U+00E4): 2 times, 'ö'";
    assert!(error.contains(expected), "{error}");
    options.tokenizer = TokenizerChoice::Byte.into();
    options.validation_sources = vec![Source::Path(text)];
    let error = prepare_shard(&options, shard, &Silent)
        .unwrap_err()
        .to_string();
    assert!(error.contains("divided when it is merged"), "{error}");
    assert!(!options.out.exists());
}

#[test]
fn shards_that_do_not_belong_together_are_named() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("text");
    fs::create_dir(&text).unwrap();
    for number in 0..4 {
        fs::write(text.join(format!("{number}.txt")), format!("text {number}")).unwrap();
    }
    let mut options = PrepareOptions::new(vec![Source::Path(text.clone())], "unused");
    options.tokenizer = TokenizerChoice::Byte.into();
    let folder = |name: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let three = shards(&options, 3, &folder("three"));
    let two = shards(&options, 2, &folder("two"));
    options.tokenizer = TokenizerChoice::Gpt2.into();
    let other_tokenizer = shards(&options, 3, &folder("gpt2"));
    options.tokenizer = TokenizerChoice::Byte.into();
    options.text_column = "body".into();
    let other_option = shards(&options, 3, &folder("option"));
    options.text_column = "text".into();
    options.on_error = OnError::Skip;
    let other_action = shards(&options, 3, &folder("action"));
    options.on_error = OnError::Stop;
    options.format = FileFormat::Text;
    let other_format = shards(&options, 3, &folder("format"));
    options.format = FileFormat::Auto;
    fs::write(text.join("3.txt"), "another text").unwrap();
    let other_files = shards(&options, 3, &folder("files"));
    let out = root.path().join("out");
    let check = |parts: &[&PathBuf], expected: &[&str]| {
        let parts = parts.iter().map(|&part| part.clone()).collect();
        let error = merge(&merge_options(parts, out.clone(), 0.1), &Silent).unwrap_err();
        let error = error.to_string();
        for expected in expected {
            assert!(error.contains(expected), "{error}");
        }
        assert!(!out.exists());
    };
    check(&[&three[0], &three[2]], &["2 of 3", "missing: 2"]);
    check(
        &[&three[0], &three[1], &three[0]],
        &["shard 1", "shard-1-of-3"],
    );
    check(&[&three[0], &two[1]], &["shard-2-of-2", "number of shards"]);
    check(
        &[&three[0], &other_tokenizer[1]],
        &["gpt2/shard-2-of-3", "tokenizer"],
    );
    check(
        &[&three[0], &other_option[1]],
        &["option/shard-2-of-3", "`text_column` is `body`"],
    );
    check(
        &[&three[0], &other_action[1]],
        &["`on_error` is `skip`, there it is `stop`"],
    );
    check(
        &[&three[0], &other_format[1]],
        &["`format` is `text`, there it is `auto`"],
    );
    check(
        &[&three[0], &other_files[1]],
        &["files/shard-2-of-3", "other files"],
    );
    check(&[&text], &["text", "no shard"]);
    // A shard is no data folder.
    let error = DataFolder::open(&three[0]).unwrap_err().to_string();
    assert!(error.contains("ldrop data merge"), "{error}");
}

#[test]
fn a_merge_without_text_to_train_on_fails_as_one_machine_does() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("a.txt");
    fs::write(&source, "short").unwrap();
    let out = root.path().join("out");
    let mut options = PrepareOptions::new(vec![Source::Path(source)], &out);
    let parts = shards(&options, 1, root.path());
    options.validation = 0.99;
    let alone = prepare(&options, &Silent).unwrap_err().to_string();
    let merged = merge(&merge_options(parts, out.clone(), 0.99), &Silent).unwrap_err();
    assert_eq!(merged.to_string(), alone);
    assert!(!out.exists());
}

#[test]
fn a_shard_needs_a_tokenizer_and_all_of_its_text() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("a.txt");
    fs::write(&source, "some text").unwrap();
    let mut options = PrepareOptions::new(vec![Source::Path(source)], root.path().join("out"));
    let shard = |number, count| Shard { number, count };
    options.tokenizer = TokenizerChoice::Bpe(300).into();
    let error = prepare_shard(&options, shard(1, 1), &Silent).unwrap_err();
    assert!(error.to_string().contains("needs no training"), "{error}");
    options.tokenizer = TokenizerChoice::Byte.into();
    options.max_text_bytes = Some(3);
    let error = prepare_shard(&options, shard(1, 1), &Silent).unwrap_err();
    assert!(error.to_string().contains("max_text_bytes"), "{error}");
    options.max_text_bytes = None;
    let error = prepare_shard(&options, shard(1, 2), &Silent).unwrap_err();
    assert!(error.to_string().contains("1 files"), "{error}");
}

#[test]
fn a_part_is_not_replaced_by_the_result() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("text");
    fs::create_dir(&text).unwrap();
    for name in ["a.txt", "b.txt"] {
        fs::write(text.join(name), "some words").unwrap();
    }
    let mut options = PrepareOptions::new(vec![Source::Path(text)], "");
    options.tokenizer = TokenizerChoice::Byte.into();
    let parts = shards(&options, 2, root.path());
    let before = files(&parts[0]);
    // The same folder under another name.
    let out = parts[1].join("..").join("shard-1-of-2");
    let error = merge(&merge_options(parts.clone(), out, 0.0), &Silent).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("shard-1-of-2 cannot be merged") && message.contains("replace"),
        "{message}"
    );
    assert_eq!(files(&parts[0]), before);
    merge(
        &merge_options(parts, root.path().join("merged"), 0.0),
        &Silent,
    )
    .unwrap();
}
