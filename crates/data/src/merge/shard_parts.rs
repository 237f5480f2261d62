//! Merging shards.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::join::{Join, Place};
use super::{Contents, MergeOptions, is_datatrove, make_folder};
use crate::error::DataError;
use crate::prepare::Prepared;
use crate::progress::Progress;
use crate::shards::{DocumentLengths, SHARD_FILE, ShardDescription, ShardFolder};
use crate::sources::LeftOut;

pub(super) fn merge(
    options: &MergeOptions,
    progress: &dyn Progress,
) -> Result<Prepared, DataError> {
    if let Some(origin) = &options.tokenizer {
        return Err(DataError::Value {
            name: "tokenizer",
            found: origin.to_string(),
            expected: "none for shards, which hold theirs",
        });
    }
    let shards = open(options)?;
    let tokenizer = shards[0].tokenizer()?;
    let begins = line_feeds(&shards);
    let line_feed_bytes = begins.iter().filter(|&&begins| begins).count() as u64;
    let mut contents = Contents {
        documents: 0,
        text_bytes: line_feed_bytes,
        separated: shards[0].description.separated,
        sources: Vec::new(),
        left_out: LeftOut::default(),
    };
    for shard in &shards {
        let description = &shard.description;
        let bytes = description.tokens.text_bytes.unwrap_or(0);
        let documents = contents.documents.checked_add(description.documents);
        let text_bytes = contents.text_bytes.checked_add(bytes);
        let (Some(documents), Some(text_bytes)) = (documents, text_bytes) else {
            return Err(DataError::Damaged {
                path: shard.path.join(SHARD_FILE),
                expected: "numbers whose sums over all shards are below 2^64".into(),
                found: format!("{} documents, {bytes} bytes of text", description.documents),
            });
        };
        (contents.documents, contents.text_bytes) = (documents, text_bytes);
        contents.sources.extend_from_slice(&description.sources);
        contents.left_out.append(&description.left_out);
    }
    make_folder(options, &tokenizer, contents, progress, |join| {
        let mut pairs = shards.iter().zip(begins);
        pairs.try_for_each(|(shard, line_feed)| write(shard, line_feed, join))
    })
}

/// Opens all shards and puts them in order.
fn open(options: &MergeOptions) -> Result<Vec<ShardFolder>, DataError> {
    let mut shards: Vec<ShardFolder> = Vec::with_capacity(options.parts.len());
    for path in &options.parts {
        if is_datatrove(path) {
            return Err(refusal(
                path,
                "shards and files of datatrove cannot be mixed".into(),
            ));
        }
        let shard = ShardFolder::open(path)?;
        if let Some(first) = shards.first()
            && let Some(difference) = difference(&first.description, &shard.description)
        {
            let first = first.path.display();
            let reason = format!("it does not belong to {first}: {difference}");
            return Err(refusal(path, reason));
        }
        let number = shard.description.shard.number;
        let same = |other: &&ShardFolder| other.description.shard.number == number;
        if let Some(other) = shards.iter().find(same) {
            let other = other.path.display();
            let reason = format!("it is shard {number}, and so is {other}; name each shard once");
            return Err(refusal(path, reason));
        }
        shards.push(shard);
    }
    shards.sort_by_key(|shard| shard.description.shard.number);
    let count = shards[0].description.shard.count;
    if (shards.len() as u64) < count {
        const NAMED: usize = 20;
        let there = |number: &u64| {
            let found = shards.binary_search_by_key(number, |shard| shard.description.shard.number);
            found.is_ok()
        };
        let missing: Vec<String> = (1..=count)
            .filter(|number| !there(number))
            .take(NAMED)
            .map(|number| number.to_string())
            .collect();
        let missing = missing.join(", ");
        let found = shards.len();
        let reason = format!(
            "{found} of {count} shards are given, and these are missing: {missing}; name all of them"
        );
        return Err(refusal(&shards[0].path, reason));
    }
    Ok(shards)
}

fn refusal(path: &Path, reason: String) -> DataError {
    DataError::Merge {
        path: path.into(),
        reason,
    }
}

/// Why two shards are not of one text.
fn difference(first: &ShardDescription, other: &ShardDescription) -> Option<String> {
    let is = |what: &str, other: &dyn std::fmt::Display, first: &dyn std::fmt::Display| {
        Some(format!("its {what} is {other}, there it is {first}"))
    };
    if first.shard.count != other.shard.count {
        return is("number of shards", &other.shard.count, &first.shard.count);
    }
    if first.tokenizer_hash != other.tokenizer_hash || first.vocabulary != other.vocabulary {
        let name = |shard: &ShardDescription| {
            format!("{} with hash {}", shard.tokenizer, shard.tokenizer_hash)
        };
        return is("tokenizer", &name(other), &name(first));
    }
    for (key, value) in first.options.iter().chain(&other.options) {
        let value_of = |shard: &ShardDescription| match shard.options.get(key) {
            Some(value) => format!("`{value}`"),
            None => "not set".into(),
        };
        if first.options.get(key) != Some(value) || other.options.get(key) != Some(value) {
            return is(
                &format!("option `{key}`"),
                &value_of(other),
                &value_of(first),
            );
        }
    }
    if first.files != other.files {
        return Some("it was made from other files (their names and sizes differ)".into());
    }
    if (first.token_type, first.end_of_text, first.separated)
        != (other.token_type, other.end_of_text, other.separated)
    {
        return Some("its tokens are stored in another way".into());
    }
    None
}

/// For each shard whether its first document begins with a line feed that it does not have yet.
fn line_feeds(shards: &[ShardFolder]) -> Vec<bool> {
    let mut ends_line = true;
    let mut begins = Vec::with_capacity(shards.len());
    for ShardFolder { description, .. } in shards {
        let has_text = description.documents > 0;
        begins.push(has_text && description.end_of_text.is_none() && !ends_line);
        if has_text {
            ends_line = description.ends_line;
        }
    }
    begins
}

/// Passes on all documents of a shard, and compares the hash of what was read with its description.
fn write(shard: &ShardFolder, line_feed: bool, join: &mut Join<'_>) -> Result<(), DataError> {
    let mut documents = shard.documents()?;
    let mut hasher = Xxh3::new();
    let (mut start, mut first) = (0, true);
    while let Some(DocumentLengths { text_bytes, tokens }) = documents.next()? {
        let place = Place {
            file: &shard.tokens,
            start,
            tokens,
        };
        join.text(place, text_bytes, line_feed && first)?;
        // All but the last have end-of-text behind them.
        let separated = shard.description.separated && !documents.is_at_end();
        let stored = tokens + u64::from(separated);
        hasher.update(shard.tokens.checked(start, stored)?);
        start += stored;
        first = false;
    }
    shard.check_tokens(&hasher)
}
