use std::fs;
use std::sync::Mutex;

use super::*;
use crate::folder::{DataFolder, Split, TokenType};
use crate::progress::Silent;

fn file(folder: &Path, name: &str, text: &str) -> Source {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    Source::Path(path)
}

fn ids(data: &DataFolder, split: Split) -> Vec<u32> {
    let tokens = data.split(split);
    let mut ids = vec![0; tokens.len()];
    tokens.window(0, &mut ids).unwrap();
    ids
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn end_of_text_stands_between_documents() {
    let root = tempfile::tempdir().unwrap();
    let sources = vec![
        file(root.path(), "a.txt", "Hello, world"),
        file(root.path(), "b.txt", "Hello, world"),
    ];
    let mut options = PrepareOptions::new(sources, root.path().join("data"));
    options.validation = 0.25;
    let meta = prepare(&options, &Silent).unwrap().meta;
    let data = DataFolder::open(&options.out).unwrap();
    assert_eq!(&meta, data.meta());
    // 18 of 24 bytes: `Hello, world`, then the first half of the second document.
    assert_eq!(ids(&data, Split::Train), [15496, 11, 995, 50256, 15496, 11]);
    assert_eq!(ids(&data, Split::Validation), [995]);
    assert_eq!(
        (meta.train.text_bytes, meta.validation.text_bytes),
        (Some(18), Some(6))
    );
    assert_eq!(
        (meta.documents, meta.separated, meta.sources.len()),
        (2, true, 2)
    );

    options.end_of_text = false;
    let meta = prepare(&options, &Silent).unwrap().meta;
    let data = DataFolder::open(&options.out).unwrap();
    assert_eq!(ids(&data, Split::Train), [15496, 11, 995, 15496, 11]);
    assert!(!meta.separated);
}

#[test]
fn every_tokenizer_keeps_the_text() {
    let root = tempfile::tempdir().unwrap();
    let text = "The quick brown fox: 狐狸, ثعلب, 🦊🏳️‍🌈!\r\n\tAnd again, don't.\n".repeat(40);
    let source = file(root.path(), "text.txt", &text);
    for tokenizer in ["gpt2", "bpe:300", "byte", "char"] {
        let out = root.path().join(tokenizer.replace(':', "-"));
        let mut options = PrepareOptions::new(vec![source.clone()], &out);
        options.tokenizer = tokenizer.parse().unwrap();
        let meta = prepare(&options, &Silent).unwrap().meta;
        assert_eq!(TokenizerOrigin::from(meta.tokenizer), options.tokenizer);
        let data = DataFolder::open(&out).unwrap();
        data.verify().unwrap();
        let tokenizer = data.tokenizer().unwrap();
        let (train, validation) = (ids(&data, Split::Train), ids(&data, Split::Validation));
        let train = tokenizer.decode(&train);
        // The training part has all characters.
        assert_eq!(train.clone() + &tokenizer.decode(&validation), text);
        let limit = text.len() * 9 / 10;
        assert!((limit - 3..=limit).contains(&train.len()));
    }
}

#[test]
fn the_tokenizer_knows_only_the_training_part() {
    let root = tempfile::tempdir().unwrap();
    let source = file(root.path(), "text.txt", &("ab".repeat(9) + "zz"));
    let mut options = PrepareOptions::new(vec![source], root.path().join("data"));
    options.tokenizer = TokenizerChoice::Character.into();
    let prepared = prepare(&options, &Silent).unwrap();
    assert_eq!(prepared.meta.vocabulary, 3);
    assert_eq!(prepared.unknown_characters, [0, 2]);
    assert_eq!(prepared.meta.left_out[&Reason::UnknownCharacter], 2);
    let tally = &prepared.left_out.reasons[&Reason::UnknownCharacter];
    assert_eq!(tally.examples, ["'z' (U+007A): 2 times"]);
    let data = DataFolder::open(&options.out).unwrap();
    assert_eq!(data.meta(), &prepared.meta);
    assert_eq!(ids(&data, Split::Validation), [2, 2]);
}

#[test]
fn characters_that_an_existing_tokenizer_lacks_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(TOKENIZER_FILE);
    Tokenizer::characters(&"abc ".chars().collect())
        .save(&path)
        .unwrap();
    // Two documents of several chunks; the second begins on a line of its own.
    let first = file(root.path(), "first.txt", &"abc äö ".repeat(200_000));
    let second = file(root.path(), "second.txt", &"ab ä".repeat(10));
    let counted = [1, 3].map(|threads| {
        let out = root.path().join(format!("data-{threads}"));
        let mut options = PrepareOptions::new(vec![first.clone(), second.clone()], out);
        options.tokenizer = TokenizerOrigin::File(path.clone());
        options.validation = 0.0;
        options.threads = threads;
        let prepared = prepare(&options, &Silent).unwrap();
        assert_eq!(prepared.unknown_characters, [400_011, 0]);
        prepared.left_out.reasons[&Reason::UnknownCharacter].clone()
    });
    assert_eq!(counted[0], counted[1]);
    assert_eq!(counted[0].count, 400_011);
    assert_eq!(
        counted[0].examples,
        [
            "'ä' (U+00E4): 200010 times",
            "'ö' (U+00F6): 200000 times",
            "'\\n' (U+000A): 1 times"
        ]
    );
}

#[test]
fn validation_sources_make_the_validation_part() {
    let root = tempfile::tempdir().unwrap();
    let train = [
        file(root.path(), "a.txt", "one two three"),
        file(root.path(), "b.txt", "four five"),
    ];
    let own = [
        file(root.path(), "v.txt", "two four"),
        file(root.path(), "w.txt", "six"),
    ];
    let trained = root.path().join("trained");
    for kind in ["gpt2", "bpe:260", "byte", "char"] {
        // What the parts are alone.
        let mut alone = PrepareOptions::new(train.to_vec(), &trained);
        alone.validation = 0.0;
        alone.tokenizer = kind.parse().unwrap();
        let first = prepare(&alone, &Silent).unwrap().meta;
        let mut alone = PrepareOptions::new(own.to_vec(), root.path().join("own"));
        alone.validation = 0.0;
        alone.tokenizer = TokenizerOrigin::File(trained.clone());
        let second = prepare(&alone, &Silent).unwrap().meta;

        let mut options = PrepareOptions::new(train.to_vec(), root.path().join("both"));
        options.validation_sources = own.to_vec();
        options.tokenizer = kind.parse().unwrap();
        let prepared = prepare(&options, &Silent).unwrap();
        let meta = prepared.meta;
        // The `s` and the `x` of `six`.
        let unknown = if kind == "char" { 2 } else { 0 };
        assert_eq!(
            (&meta.train, &meta.validation),
            (&first.train, &second.train)
        );
        assert_eq!(
            (&meta.sources, &meta.validation_sources),
            (&first.sources, &second.sources)
        );
        assert_eq!(
            (meta.documents, meta.tokenizer_hash),
            (4, first.tokenizer_hash)
        );
        let data = DataFolder::open(&options.out).unwrap();
        assert_eq!(data.meta().validation_sources.len(), 2);
        assert_eq!(prepared.unknown_characters, [0, unknown]);
    }
}

#[test]
fn the_limit_of_text_is_that_of_the_training_part() {
    let root = tempfile::tempdir().unwrap();
    let train = file(root.path(), "a.txt", &"training ".repeat(100));
    let own = file(root.path(), "v.txt", &"validation ".repeat(100));
    let mut options = PrepareOptions::new(vec![train], root.path().join("data"));
    options.validation_sources = vec![own];
    options.tokenizer = TokenizerChoice::Byte.into();
    options.max_text_bytes = Some(50);
    let meta = prepare(&options, &Silent).unwrap().meta;
    assert_eq!((meta.train.tokens, meta.validation.tokens), (50, 1100));
}

#[test]
fn text_of_both_parts_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let train = file(root.path(), "a.txt", "the same text");
    let copy = file(root.path(), "v.txt", "the same text");
    for own in [train.clone(), copy] {
        let mut options = PrepareOptions::new(vec![train.clone()], root.path().join("data"));
        options.validation_sources = vec![own];
        let error = prepare(&options, &Silent).unwrap_err();
        assert!(matches!(error, DataError::Shared { .. }), "{error}");
        assert!(!options.out.exists());
    }
    // An own text without text is named too.
    let empty = file(root.path(), "empty.txt", " ");
    let mut options = PrepareOptions::new(vec![train], root.path().join("data"));
    options.validation_sources = vec![empty];
    let error = prepare(&options, &Silent).unwrap_err().to_string();
    assert!(error.contains("empty.txt"), "{error}");
}

#[test]
fn a_folder_may_be_for_evaluations_only() {
    let root = tempfile::tempdir().unwrap();
    let source = file(root.path(), "a.txt", "all of it");
    let mut options = PrepareOptions::new(Vec::new(), root.path().join("data"));
    options.validation_sources = vec![source];
    let meta = prepare(&options, &Silent).unwrap().meta;
    assert_eq!((meta.train.tokens, meta.validation.tokens), (0, 3));
    DataFolder::open(&options.out).unwrap().verify().unwrap();
    options.tokenizer = TokenizerChoice::Character.into();
    let error = prepare(&options, &Silent).unwrap_err().to_string();
    assert!(error.contains("without training text"), "{error}");
    options.validation_sources.clear();
    assert!(prepare(&options, &Silent).is_err());
}

#[test]
fn text_for_an_evaluation_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let source = file(root.path(), "a.txt", "ab ba");
    let tokenizer = Tokenizer::characters(&"ab".chars().collect());
    let data = prepare_for_evaluation(vec![source], tokenizer, 1, &Silent).unwrap();
    assert_eq!(data.tokenizer().vocabulary(), 3);
    assert_eq!(ids(data.folder(), Split::Validation), [0, 1, 2, 1, 0]);
    assert!(data.folder().split(Split::Train).is_empty());
    assert_eq!(data.prepared().unknown_characters, [0, 1]);
    let place = data.folder().path().to_owned();
    assert!(place.exists());
    drop(data);
    assert!(!place.exists() && !place.parent().unwrap().exists());
}

#[test]
fn an_existing_tokenizer_is_taken_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let first = file(root.path(), "first.txt", &"abc abd ".repeat(30));
    let second = file(root.path(), "second.txt", "other words, and abc");
    for kind in ["bpe:270", "char", "byte", "gpt2"] {
        let trained = root.path().join("trained");
        let mut options = PrepareOptions::new(vec![first.clone()], &trained);
        options.tokenizer = kind.parse().unwrap();
        let before = prepare(&options, &Silent).unwrap().meta;
        for path in [trained.clone(), trained.join(TOKENIZER_FILE)] {
            let mut options = PrepareOptions::new(vec![second.clone()], root.path().join("data"));
            options.tokenizer = TokenizerOrigin::File(path);
            let meta = prepare(&options, &Silent).unwrap().meta;
            assert_eq!(meta.tokenizer, before.tokenizer);
            assert_eq!(meta.tokenizer_hash, before.tokenizer_hash);
            let data = DataFolder::open(&options.out).unwrap();
            let train = data.tokenizer().unwrap().decode(&ids(&data, Split::Train));
            assert_eq!(
                train,
                match kind {
                    "char" => "����� ���d�� a�d a",
                    _ => "other words, and a",
                }
            );
        }
    }
    let mut options = PrepareOptions::new(vec![second], root.path().join("none"));
    options.tokenizer = TokenizerOrigin::File(root.path().join("missing.json"));
    let error = prepare(&options, &Silent).unwrap_err().to_string();
    assert!(error.contains("missing.json"), "{error}");
    assert!(!options.out.exists());
}

#[test]
fn large_vocabularies_take_four_bytes() {
    let root = tempfile::tempdir().unwrap();
    let text: String = ('\u{10000}'..='\u{20000}').collect();
    let mut options = PrepareOptions::new(
        vec![file(root.path(), "a.txt", &text)],
        root.path().join("data"),
    );
    options.tokenizer = TokenizerChoice::Character.into();
    options.validation = 0.0;
    let meta = prepare(&options, &Silent).unwrap().meta;
    assert_eq!(
        (meta.token_type, meta.vocabulary),
        (TokenType::U32, 0x10001 + 1)
    );
    let data = DataFolder::open(&options.out).unwrap();
    assert_eq!(ids(&data, Split::Train), (0..0x10001).collect::<Vec<_>>());
    assert!(data.split(Split::Validation).is_empty());
}

#[test]
fn threads_do_not_change_a_byte() {
    let root = tempfile::tempdir().unwrap();
    // Several chunks of text, but few different words: the trainer is slow without optimization.
    let line = |number: usize| format!("{}: some text, don't stop here.\n", number % 89);
    let long: String = (0..45_000).map(line).collect();
    let sources: Vec<Source> = (0..30)
        .map(|number| {
            let text = &long[number * 7..number * 900 + 99];
            file(root.path(), &format!("{number:02}.txt"), text)
        })
        .chain([file(root.path(), "long.txt", &long)])
        .collect();
    for tokenizer in [TokenizerChoice::Gpt2, TokenizerChoice::Bpe(400)] {
        let prepared = [1, 3].map(|threads| {
            let out = root.path().join(format!("data-{threads}"));
            let mut options = PrepareOptions::new(sources.clone(), &out);
            options.tokenizer = tokenizer.into();
            options.threads = threads;
            prepare(&options, &Silent).unwrap();
            files(&out)
        });
        assert!(prepared[0] == prepared[1]);
    }
}

#[test]
fn a_failure_leaves_what_was_there() {
    let root = tempfile::tempdir().unwrap();
    let good = file(root.path(), "good.txt", "some text");
    let bad = root.path().join("bad.txt");
    fs::write(&bad, b"broken \xFF text").unwrap();
    let out = root.path().join("data");
    let mut options = PrepareOptions::new(vec![good.clone(), Source::Path(bad)], &out);
    let error = prepare(&options, &Silent).unwrap_err().to_string();
    assert!(error.contains("bad.txt"), "{error}");
    assert_eq!(files_beside(root.path()), ["bad.txt", "good.txt"]);

    let bad = std::mem::replace(&mut options.sources, vec![good]);
    prepare(&options, &Silent).unwrap();
    let before = files(&out);
    options.sources = bad;
    prepare(&options, &Silent).unwrap_err();
    assert!(files(&out) == before);
    assert_eq!(files_beside(root.path()), ["bad.txt", "data", "good.txt"]);

    options.validation = 1.0;
    assert!(matches!(
        prepare(&options, &Silent),
        Err(DataError::Value { .. })
    ));
}

fn files_beside(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(String, Option<u64>, u64)>>);

impl Progress for Recorder {
    fn begin(&self, stage: &str, total: Option<u64>) {
        self.0.lock().unwrap().push((stage.into(), total, 0));
    }

    fn advance(&self, amount: u64) {
        self.0.lock().unwrap().last_mut().unwrap().2 += amount;
    }

    fn end(&self) {}
}

#[test]
fn stages_are_reported_to_their_end() {
    let root = tempfile::tempdir().unwrap();
    let source = file(root.path(), "a.txt", &"text ".repeat(100));
    let mut options = PrepareOptions::new(vec![source], root.path().join("data"));
    options.tokenizer = TokenizerChoice::Bpe(260).into();
    let recorder = Recorder::default();
    prepare(&options, &recorder).unwrap();
    let stages = recorder.0.into_inner().unwrap();
    let last: Vec<&(String, Option<u64>, u64)> = stages.iter().rev().take(2).collect();
    assert_eq!(last[1].0, "training tokenizer");
    assert_eq!(*last[0], ("encoding".into(), Some(500), 500));
}

/// A byte-level encoding of another program may have the 256 bytes alone.
#[test]
fn a_foreign_encoding_of_any_size_gives_a_folder_that_can_be_opened() {
    let root = tempfile::tempdir().unwrap();
    let source = file(root.path(), "a.txt", "plain text, nothing else");
    let path = root.path().join("tokenizer.json");
    let bytes = Tokenizer::byte().to_json();
    let divided = bytes.replace("\"use_regex\": false", "\"use_regex\": true");
    assert_ne!(divided, bytes);
    std::fs::write(&path, divided).unwrap();
    let out = root.path().join("data");
    let mut options = PrepareOptions::new(vec![source], out.clone());
    options.tokenizer = path.to_str().unwrap().parse().unwrap();
    options.validation = 0.0;
    prepare(&options, &Silent).unwrap();
    let data = DataFolder::open(out).unwrap();
    assert_eq!(data.meta().tokenizer, TokenizerChoice::Bpe(256));
    assert_eq!(data.meta().train.tokens, 24);
}
