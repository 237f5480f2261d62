//! What a merge takes: a shard (`shard.json`, `tokenizer.json`, `documents.bin` and `tokens.bin`), or a file
//! of datatrove (`NAME.ds` with its index and metadata).
//!
//! The merged folder is sound and has as many documents and bytes of text as its part.

use std::path::PathBuf;

use data::folder::TOKENIZER_FILE;
use data::progress::Silent;
use data::shards::{DOCUMENTS_FILE, SHARD_FILE, TOKENS_FILE};
use data::{DataFolder, MergeOptions, ShardDescription, TokenizerOrigin, merge};

use crate::{parts, place};

/// Merges one part, with a third of its text for validation.
///
/// The first zero byte ends the description, the next one the tokenizer. The first byte after them is the
/// number of documents. Their lengths follow (of a shard two numbers of eight bytes for each; of datatrove
/// one, its end), then the tokens. A description that does not begin with a brace is the metadata of
/// datatrove, which are left out if it is empty. In the description `HASH-OF-TOKENIZER`,
/// `HASH-OF-DOCUMENTS` and `HASH-OF-TOKENS` stand for the right hashes, which a fuzzer would not find.
pub fn run(bytes: &[u8]) {
    let [description, tokenizer, rest] = parts::split(bytes);
    let (&count, rest) = rest.split_first().unwrap_or((&0, &[]));
    let is_shard = description.starts_with(b"{");
    let size = usize::from(count) * if is_shard { 16 } else { 8 };
    let (documents, tokens) = rest.split_at(rest.len().min(size));
    place::clear();
    let options = if is_shard {
        let files = [
            ("TOKENIZER", tokenizer),
            ("DOCUMENTS", documents),
            ("TOKENS", tokens),
        ];
        let folder = PathBuf::from("shard");
        place::file(
            folder.join(SHARD_FILE),
            &parts::with_hashes(description, &files),
        );
        place::file(folder.join(TOKENIZER_FILE), tokenizer);
        place::file(folder.join(DOCUMENTS_FILE), documents);
        place::file(folder.join(TOKENS_FILE), tokens);
        options(place::folder().join(folder), None)
    } else {
        if !description.is_empty() {
            place::file("text.ds.metadata", description);
        }
        place::file("text.ds.index", documents);
        let file = place::file("text.ds", tokens);
        let tokenizer = place::file(TOKENIZER_FILE, tokenizer);
        options(file, Some(TokenizerOrigin::File(tokenizer)))
    };
    match merge(&options, &Silent) {
        Ok(_) => check(&options),
        Err(error) => {
            let message = error.to_string();
            let named = message.contains(&*place::folder().to_string_lossy());
            assert!(named, "no file name in: {message}");
            assert!(!options.out.exists());
        }
    }
    place::clear();
}

fn options(part: PathBuf, tokenizer: Option<TokenizerOrigin>) -> MergeOptions {
    MergeOptions {
        parts: vec![part],
        out: place::folder().join("data"),
        validation: 1.0 / 3.0,
        tokenizer,
        threads: 1,
    }
}

fn check(options: &MergeOptions) {
    let data = DataFolder::open(&options.out).expect("a merged folder can be opened");
    data.verify().expect("a merged folder is sound");
    let meta = data.meta();
    let tokenizer = data.tokenizer().expect("a merged folder has its tokenizer");
    assert_eq!(tokenizer.vocabulary() as u64, meta.vocabulary);
    let text_bytes = meta.train.text_bytes.zip(meta.validation.text_bytes);
    let text_bytes = text_bytes.map(|(train, validation)| train + validation);
    let part = &options.parts[0];
    if options.tokenizer.is_some() {
        // End-of-text is left out at the end of a document and put between two.
        let size = std::fs::metadata(part).expect("it was read").len();
        let tokens = meta.train.tokens + meta.validation.tokens;
        assert!(tokens <= size / 2 + meta.documents);
    } else {
        let description = std::fs::read(part.join(SHARD_FILE)).expect("it was read");
        let description: ShardDescription =
            serde_json::from_slice(&description).expect("it was read");
        assert_eq!(meta.documents, description.documents);
        assert_eq!(text_bytes, description.tokens.text_bytes);
    }
}
