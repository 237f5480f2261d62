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
