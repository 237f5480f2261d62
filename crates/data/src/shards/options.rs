//! The options that all shards of a text must have in common, as `shard.json` stores them.

use std::collections::BTreeMap;
use std::fmt;

use crate::prepare::PrepareOptions;
use crate::sources::{FileFormat, OnError};

pub(super) fn common(options: &PrepareOptions) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("text_column".into(), options.text_column.clone()),
        ("end_of_text".into(), options.end_of_text.to_string()),
        ("language_variant".into(), options.language_variant.clone()),
        ("format".into(), options.format.to_string()),
        ("on_error".into(), options.on_error.to_string()),
    ])
}

/// The name that `--format` has for it. Shards store it, so it stays.
impl fmt::Display for FileFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::JsonLines => "jsonl",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Wikipedia => "wikipedia",
        })
    }
}

/// The name that `--on-error` has for it. Shards store it, so it stays.
impl fmt::Display for OnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
        })
    }
}
