use std::fs;

use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::folder::hexadecimal;

#[test]
fn damaged_shards_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("a.jsonl");
    fs::write(&source, "{\"text\":\"one\"}\n{\"text\":\"two words\"}\n").unwrap();
    let options = PrepareOptions::new(vec![Source::Path(source)], "unused");
    let parts = shards(&options, 1, root.path());
    let out = root.path().join("out");
    let options = merge_options(parts.clone(), out.clone(), 0.3);
    for name in [
        "tokens.bin",
        "documents.bin",
        "tokenizer.json",
        "shard.json",
    ] {
        let path = parts[0].join(name);
        let whole = fs::read(&path).unwrap();
        for flipped in [0, 7, 23, whole.len() / 2, whole.len() - 2] {
            let mut bytes = whole.clone();
            let Some(byte) = bytes.get_mut(flipped) else {
                continue;
            };
            *byte ^= 0x11;
            fs::write(&path, &bytes).unwrap();
            // A description may have become that of another program's version.
            let merged = merge(&options, &Silent);
            if name != "shard.json" {
                merged.unwrap_err();
                assert!(!out.exists());
            }
        }
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let error = merge(&options, &Silent).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        fs::write(&path, &whole).unwrap();
    }
    merge(&options, &Silent).unwrap();
}

/// Lengths that overflow when they are added up are refused before that, damaged or written on purpose.
#[test]
fn lengths_beyond_all_files_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("text");
    fs::create_dir(&text).unwrap();
    let lines = "{\"text\":\"one\"}\n{\"text\":\"two words\"}\n{\"text\":\"and three more\"}\n";
    for name in ["a.jsonl", "b.jsonl"] {
        fs::write(text.join(name), lines).unwrap();
    }
    let out = root.path().join("out");
    for tokenizer in [TokenizerChoice::Gpt2, TokenizerChoice::Byte] {
        let mut options = PrepareOptions::new(vec![Source::Path(text.clone())], "unused");
        options.tokenizer = tokenizer.into();
        let parts = shards(&options, 2, root.path());
        let options = merge_options(parts.clone(), out.clone(), 0.3);
        // The second shard: what is before it has been added up already.
        let [documents, description] =
            ["documents.bin", "shard.json"].map(|name| parts[1].join(name));
        let (lengths, json) = (
            fs::read(&documents).unwrap(),
            fs::read_to_string(&description).unwrap(),
        );
        let old_hash = hexadecimal(xxh3_128(&lengths));
        assert!(json.contains(&old_hash));
        let refused = |bytes: &[u8], file: &str| {
            fs::write(&documents, bytes).unwrap();
            // Once as damage, once with the hash of the wrong lengths.
            for hash in [old_hash.clone(), hexadecimal(xxh3_128(bytes))] {
                fs::write(&description, json.replace(&old_hash, &hash)).unwrap();
                let error = merge(&options, &Silent).unwrap_err().to_string();
                assert!(error.contains(file), "{error}");
                assert!(!out.exists());
            }
        };
        let entries = lengths.len() / 16;
        assert_eq!(entries, 3);
        let flipped = |places: &[usize]| {
            let mut bytes = lengths.clone();
            places.iter().for_each(|&place| bytes[place] ^= 0xFF);
            bytes
        };
        // The high byte of a length: 7 of the text, 15 of the tokens.
        for byte in [7, 15] {
            let places: Vec<usize> = (0..entries).map(|entry| entry * 16 + byte).collect();
            for &place in &places {
                refused(&flipped(&[place]), "documents.bin");
            }
            refused(&flipped(&places), "documents.bin");
        }
        refused(&[0xFF; 48], "documents.bin");
        fs::write(&documents, &lengths).unwrap();
        for key in ["documents", "tokens/text_bytes", "tokens/tokens"] {
            let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
            *value.pointer_mut(&format!("/{key}")).unwrap() = u64::MAX.into();
            fs::write(&description, value.to_string()).unwrap();
            let error = merge(&options, &Silent).unwrap_err().to_string();
            assert!(error.contains("shard.json"), "{error}");
            assert!(!out.exists());
        }
        fs::write(&description, &json).unwrap();
        merge(&options, &Silent).unwrap();
        fs::remove_dir_all(&out).unwrap();
    }
}

/// Shards that state the hash of their tokens, so that only the ids show what is wrong.
#[test]
fn ids_beyond_the_vocabulary_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("a.jsonl");
    fs::write(&source, "{\"text\":\"one\"}\n{\"text\":\"two words\"}\n").unwrap();
    let mut options = PrepareOptions::new(vec![Source::Path(source)], "unused");
    options.tokenizer = TokenizerChoice::Byte.into();
    let parts = shards(&options, 1, root.path());
    let out = root.path().join("out");
    // Without a validation part all tokens are copied; with one, some are decoded.
    for validation in [0.0, 0.3] {
        let options = merge_options(parts.clone(), out.clone(), validation);
        let [tokens, description] = ["tokens.bin", "shard.json"].map(|name| parts[0].join(name));
        let whole = fs::read(&tokens).unwrap();
        let json = fs::read_to_string(&description).unwrap();
        // "one", a line feed and "two words", two bytes for each byte of text.
        assert_eq!(whole.len(), 24 + 2);
        for token in 0..whole.len() / 2 {
            let mut bytes = whole.clone();
            bytes[token * 2..][..2].copy_from_slice(&256_u16.to_le_bytes());
            fs::write(&tokens, &bytes).unwrap();
            let [old, new] = [&whole, &bytes].map(|bytes| hexadecimal(xxh3_128(bytes)));
            fs::write(&description, json.replace(&old, &new)).unwrap();
            let error = merge(&options, &Silent).unwrap_err().to_string();
            let expected = format!("below the vocabulary, 256, found 256 as token {token};");
            assert!(
                error.contains("tokens.bin is damaged") && error.contains(&expected),
                "{error}"
            );
            assert!(!out.exists());
        }
        fs::write(&tokens, &whole).unwrap();
        fs::write(&description, &json).unwrap();
    }
}

/// The description agrees with itself and with the tokens, but not with the tokenizer.
#[test]
fn a_description_of_another_tokenizer_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("a.txt");
    fs::write(&source, "some text").unwrap();
    let mut options = PrepareOptions::new(vec![Source::Path(source)], "unused");
    options.tokenizer = TokenizerChoice::Byte.into();
    let parts = shards(&options, 1, root.path());
    let out = root.path().join("out");
    let options = merge_options(parts.clone(), out.clone(), 0.0);
    let description = parts[0].join("shard.json");
    let json = fs::read_to_string(&description).unwrap();
    let refused = |key: &str, value: serde_json::Value, expected: &str| {
        let mut other: serde_json::Value = serde_json::from_str(&json).unwrap();
        other[key] = value;
        fs::write(&description, other.to_string()).unwrap();
        let error = merge(&options, &Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    };
    let found = "found 256 tokens (byte, end-of-text None)";
    refused("vocabulary", 300.into(), found);
    refused("tokenizer", "char".into(), found);
    refused("end_of_text", 10.into(), found);
    let tokens = parts[0].join("tokens.bin");
    let bytes = fs::read(&tokens).unwrap();
    let wide: Vec<u8> = bytes
        .chunks(2)
        .flat_map(|id| [id[0], id[1], 0, 0])
        .collect();
    fs::write(&tokens, wide).unwrap();
    refused("token_type", "u32".into(), "expected tokens of 2 bytes");
}

/// A divided document is decoded, and compared with the length that the shard states for it.
#[test]
fn text_of_another_length_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("a.txt");
    // Eleven bytes.
    fs::write(&source, "five cafés").unwrap();
    let mut options = PrepareOptions::new(vec![Source::Path(source)], "unused");
    options.tokenizer = TokenizerChoice::Byte.into();
    let parts = shards(&options, 1, root.path());
    let out = root.path().join("out");
    let options = merge_options(parts.clone(), out.clone(), 0.5);
    let [tokens, documents, description] =
        ["tokens.bin", "documents.bin", "shard.json"].map(|name| parts[0].join(name));
    let [whole, lengths] = [&tokens, &documents].map(|path| fs::read(path).unwrap());
    let json = fs::read_to_string(&description).unwrap();
    let count = whole.len() as u64 / 2;
    assert_eq!(lengths[..8], 11_u64.to_le_bytes());
    let refused = |bytes: &[u8], text_bytes: u64, expected: &str| {
        let stated = [text_bytes.to_le_bytes(), count.to_le_bytes()].concat();
        fs::write(&tokens, bytes).unwrap();
        fs::write(&documents, &stated).unwrap();
        let mut json = json.clone();
        for (old, new) in [(&whole[..], bytes), (&lengths, &stated)] {
            let [old, new] = [old, new].map(|bytes| hexadecimal(xxh3_128(bytes)));
            json = json.replace(&old, &new);
        }
        let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["tokens"]["text_bytes"] = text_bytes.into();
        fs::write(&description, json.to_string()).unwrap();
        let error = merge(&options, &Silent).unwrap_err().to_string();
        assert!(error.contains("tokens.bin is damaged"), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    };
    refused(
        &whole,
        10,
        "text of 10 bytes in the 11 tokens from token 0 on, found more of it",
    );
    refused(&whole, 12, "found 11 bytes");
    let mut bytes = whole.clone();
    *bytes.last_chunk_mut().unwrap() = 0xC3_u16.to_le_bytes();
    refused(&bytes, 11, "found a character that does not end");
    *bytes.last_chunk_mut().unwrap() = 0xFF_u16.to_le_bytes();
    refused(&bytes, 11, "found invalid utf-8");
}
