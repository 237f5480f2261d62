use std::fs;

use super::*;
use crate::folder::Split;

/// Three documents that datatrove 0.10 tokenized with GPT-2's tokenizer and the end-of-text token:
/// "Hello, world!", "ünïcode 你好" and "the last document".
const DATATROVE_TOKENS: &[u8] = include_bytes!("../testdata/datatrove.ds");
const DATATROVE_INDEX: &[u8] = include_bytes!("../testdata/datatrove.ds.index");
const DATATROVE_METADATA: &[u8] = include_bytes!("../testdata/datatrove.ds.metadata");
const DATATROVE_TEXTS: [&str; 3] = ["Hello, world!", "ünïcode 你好", "the last document"];

fn datatrove(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, DATATROVE_TOKENS).unwrap();
    fs::write(folder.join(format!("{name}.index")), DATATROVE_INDEX).unwrap();
    fs::write(folder.join(format!("{name}.metadata")), DATATROVE_METADATA).unwrap();
    path
}

fn ids(data: &DataFolder, split: Split) -> Vec<u32> {
    let tokens = data.split(split);
    let mut ids = vec![0; tokens.len()];
    tokens.window(0, &mut ids).unwrap();
    ids
}

#[test]
fn tokens_of_datatrove_are_joined() {
    let root = tempfile::tempdir().unwrap();
    let parts = vec![
        datatrove(root.path(), "a.ds"),
        datatrove(root.path(), "b.ds"),
    ];
    let out = root.path().join("out");
    let mut options = merge_options(parts, out.clone(), 0.25);
    options.tokenizer = Some(TokenizerChoice::Gpt2.into());
    let meta = merge(&options, &Silent).unwrap().meta;
    let data = DataFolder::open(&out).unwrap();
    data.verify().unwrap();
    let tokenizer = Tokenizer::gpt2();
    let texts = [DATATROVE_TEXTS, DATATROVE_TEXTS].concat();
    let mut expected = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        expected.extend(tokenizer.encode(text));
        expected.extend((number < 5).then_some(50_256));
    }
    let (train, validation) = (ids(&data, Split::Train), ids(&data, Split::Validation));
    assert_eq!([train.clone(), validation].concat(), expected);
    // 94 bytes, of which 70 are for training: as many whole tokens as fit.
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    assert_eq!(bytes, 2 * (13 + 16 + 17));
    let limit = (bytes as f64 * 0.75) as u64;
    let trained = meta.train.text_bytes.unwrap();
    let next = tokenizer.token_bytes(expected[train.len()]).unwrap().len() as u64;
    assert!(trained <= limit && limit < trained + next);
    assert_eq!(
        meta.train.text_bytes.unwrap() + meta.validation.text_bytes.unwrap(),
        bytes as u64
    );
    assert_eq!((meta.documents, meta.sources.len()), (6, 2));
    assert_eq!(meta.sources[0].documents, 3);
}

#[test]
fn damaged_files_of_datatrove_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = datatrove(root.path(), "a.ds");
    let out = root.path().join("out");
    let mut options = merge_options(vec![path.clone()], out.clone(), 0.1);
    let refused = |options: &MergeOptions, expected: &str| {
        let error = merge(options, &Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    };
    refused(&options, "`tokenizer` is none");
    // GPT-2's ids are no bytes.
    options.tokenizer = Some(TokenizerChoice::Byte.into());
    refused(&options, "ids below the vocabulary, 256");
    options.tokenizer = Some(TokenizerChoice::Bpe(400).into());
    refused(&options, "the tokenizer that made the tokens");
    options.tokenizer = Some(TokenizerChoice::Gpt2.into());
    fs::write(&path, &DATATROVE_TOKENS[..DATATROVE_TOKENS.len() - 2]).unwrap();
    refused(&options, "a.ds.metadata` says, found 36 bytes");
    refused(&options, "write it again with datatrove");
    fs::remove_file(root.path().join("a.ds.metadata")).unwrap();
    refused(&options, "a.ds.index");
    fs::write(&path, DATATROVE_TOKENS).unwrap();
    let index = root.path().join("a.ds.index");
    fs::write(&index, &DATATROVE_INDEX[..DATATROVE_INDEX.len() - 1]).unwrap();
    refused(&options, "eight bytes for each document");
    fs::write(&index, &DATATROVE_INDEX[..DATATROVE_INDEX.len() - 8]).unwrap();
    refused(&options, "the last document ends at token");
    fs::remove_file(&index).unwrap();
    refused(&options, "a.ds.index is missing");
    options.parts.push(root.path().into());
    fs::write(&index, DATATROVE_INDEX).unwrap();
    refused(&options, "cannot be mixed");
    options.parts = vec![index];
    refused(&options, "a.ds.index cannot be merged: it holds no tokens");
    options.parts = vec![root.path().into()];
    refused(&options, "a folder of datatrove's files");
}

#[test]
fn tokens_of_four_bytes_are_read_and_stored_as_the_vocabulary_needs() {
    let root = tempfile::tempdir().unwrap();
    let path = datatrove(root.path(), "a.ds");
    let wide: Vec<u8> = DATATROVE_TOKENS
        .chunks(2)
        .flat_map(|bytes| [bytes[0], bytes[1], 0, 0])
        .collect();
    fs::write(&path, wide).unwrap();
    let metadata = String::from_utf8(DATATROVE_METADATA.to_vec()).unwrap();
    let metadata = metadata.replacen("|2\n", "|4\n", 1);
    fs::write(root.path().join("a.ds.metadata"), metadata).unwrap();
    let out = root.path().join("out");
    let mut options = merge_options(vec![path], out.clone(), 0.0);
    options.tokenizer = Some(TokenizerChoice::Gpt2.into());
    merge(&options, &Silent).unwrap();
    let data = DataFolder::open(&out).unwrap();
    let text = Tokenizer::gpt2().decode(&ids(&data, Split::Train));
    assert_eq!(text, DATATROVE_TEXTS.join("<|endoftext|>"));
}

/// Which characters they were, the tokens do not say: each counts as U+FFFD, three bytes.
#[test]
fn unknown_tokens_of_datatrove_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let letters = Tokenizer::characters(&['a', 'b'].into());
    letters.save(root.path().join("tokenizer.json")).unwrap();
    let tokens: Vec<u8> = [0_u16, 2, 1, 2]
        .into_iter()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(root.path().join("a.ds"), tokens).unwrap();
    fs::write(root.path().join("a.ds.index"), 4_u64.to_le_bytes()).unwrap();
    let parts = vec![root.path().join("a.ds")];
    let mut options = merge_options(parts, root.path().join("out"), 0.4);
    options.tokenizer = Some(TokenizerOrigin::File(root.path().join("tokenizer.json")));
    let merged = merge(&options, &Silent).unwrap();
    assert_eq!(merged.unknown_characters, [1, 1]);
    assert_eq!(merged.left_out.reasons[&Reason::UnknownCharacter].count, 2);
    let bytes = [
        merged.meta.train.text_bytes,
        merged.meta.validation.text_bytes,
    ];
    assert_eq!(bytes, [Some(4), Some(4)]);
}

/// Documents with end-of-text before their text too, or without text, at the end of the training part.
#[test]
fn documents_are_divided_where_the_training_part_is_full() {
    let root = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::train(260, &["text".to_owned()]).unwrap();
    tokenizer.save(root.path().join("tokenizer.json")).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|text| tokenizer.encode(text)[0]);
    let end = tokenizer.end_of_text().unwrap();
    let [two_bytes, one_byte, no_text] = [&[a, b, end][..], &[end, c, end], &[end, end]];
    let joined = |documents: [&[u32]; 3], validation: f64| {
        let path = root.path().join("a.ds");
        let tokens = documents.concat();
        let tokens: Vec<u8> = tokens
            .iter()
            .flat_map(|&id| (id as u16).to_le_bytes())
            .collect();
        fs::write(&path, tokens).unwrap();
        let mut all = 0;
        let ends = documents.map(|document| {
            all += document.len() as u64;
            all.to_le_bytes()
        });
        fs::write(root.path().join("a.ds.index"), ends.concat()).unwrap();
        let out = root.path().join("out");
        let mut options = merge_options(vec![path], out.clone(), validation);
        options.tokenizer = Some(TokenizerOrigin::File(root.path().join("tokenizer.json")));
        let meta = merge(&options, &Silent).unwrap().meta;
        let data = DataFolder::open(&out).unwrap();
        let bytes = [meta.train.text_bytes, meta.validation.text_bytes].map(Option::unwrap);
        (
            ids(&data, Split::Train),
            ids(&data, Split::Validation),
            bytes,
        )
    };
    // Three bytes: all of them, two (where a document ends), and one (within a document).
    let documents = [two_bytes, one_byte, no_text];
    for (validation, train_tokens, bytes) in [(0.0, 7, [3, 0]), (0.3, 3, [2, 1]), (0.6, 1, [1, 2])]
    {
        let (train, validation, found) = joined(documents, validation);
        assert_eq!(
            [&*train, &validation].concat(),
            [a, b, end, end, c, end, end]
        );
        assert_eq!((train.len(), found), (train_tokens, bytes));
    }
    let (train, validation, bytes) = joined([two_bytes, no_text, one_byte], 0.3);
    assert_eq!(train, [a, b, end, end, end]);
    assert_eq!((validation, bytes), (vec![end, c], [2, 1]));
}
