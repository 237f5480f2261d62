//! A data folder: `meta.json`, `tokenizer.json` and the token files.
//!
//! A folder that is opened has as many tokens as its description says. What it gives out is below the
//! vocabulary, and its tokenizer keeps texts.

use std::path::Path;

use data::folder::{META_FILE, TOKENIZER_FILE, TRAIN_FILE, VALIDATION_FILE};
use data::{DataFolder, Split, sample, windows};

use crate::{parts, place, tokenizer};

/// Opens a data folder.
///
/// The first zero byte ends the description, the next one the tokenizer. The first byte after them is the
/// length of the validation part, which follows; the rest is the training part. Without a description the
/// folder is one of nanoGPT. In the description `HASH-OF-TRAIN`, `HASH-OF-VALIDATION` and
/// `HASH-OF-TOKENIZER` stand for the right hashes, which a fuzzer would not find.
pub fn run(bytes: &[u8]) {
    let [meta, tokenizer, tokens] = parts::split(bytes);
    let (validation, train) = match tokens.split_first() {
        Some((&length, tokens)) => tokens.split_at(tokens.len().min(length.into())),
        None => (&[][..], &[][..]),
    };
    place::clear();
    if !meta.is_empty() {
        let files = [
            ("TRAIN", train),
            ("VALIDATION", validation),
            ("TOKENIZER", tokenizer),
        ];
        place::file(META_FILE, &parts::with_hashes(meta, &files));
    }
    place::file(TOKENIZER_FILE, tokenizer);
    place::file(VALIDATION_FILE, validation);
    place::file(TRAIN_FILE, train);
    let folder = place::folder();
    match DataFolder::open(&folder) {
        Ok(data) => check(&data, bytes),
        Err(error) => {
            let message = error.to_string();
            let named = message.contains(&*folder.to_string_lossy());
            assert!(named, "no file name in: {message}");
        }
    }
}

fn check(data: &DataFolder, bytes: &[u8]) {
    let meta = data.meta();
    assert_eq!(data.path(), Path::new(&place::folder()));
    assert!(!data.fingerprint().is_empty());
    let sound = data.verify().is_ok();
    for (split, part) in [
        (Split::Train, &meta.train),
        (Split::Validation, &meta.validation),
    ] {
        let tokens = data.split(split);
        assert_eq!(tokens.len() as u64, part.tokens);
        assert_eq!(tokens.is_empty(), part.tokens == 0);
        let known = |ids: &[u32]| ids.iter().all(|&id| u64::from(id) < meta.vocabulary);
        if let Ok(windows) = windows(tokens, 3) {
            let mut targets = 0;
            for window in windows {
                match window {
                    Ok(window) => {
                        assert!(known(&window.inputs) && known(&window.targets));
                        targets += window.targets.len();
                    }
                    Err(_) => assert!(!sound),
                }
            }
            assert!(!sound || targets + 1 == tokens.len());
        }
        if let Ok(batch) = sample(tokens, 2, 3, &mut |bound| bound - 1) {
            assert!(known(&batch.inputs) && known(&batch.targets));
        }
    }
    // GPT-2's takes long to check, and is no file of the folder.
    if meta.tokenizer_hash.is_some()
        && let Ok(own) = data.tokenizer()
    {
        assert_eq!(own.vocabulary() as u64, meta.vocabulary);
        tokenizer::check(&own, bytes);
    }
}
