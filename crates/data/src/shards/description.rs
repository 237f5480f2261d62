//! `shard.json`: the description of a shard.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::folder::{LARGEST_DESCRIPTION, Part, TokenType};
use crate::small_file::read_at_most;
use crate::sources::{LeftOut, Shard, SourceRecord};
use crate::tokenizer::{TokenizerChoice, existing};

/// The version of the format of shards that this program writes and reads.
pub const SHARD_FORMAT: u32 = 1;

/// The description of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardDescription {
    /// Version of the format, [`SHARD_FORMAT`].
    pub format: u32,
    /// The program that wrote the shard, with its version.
    pub program: String,
    /// Its number, and the number of all shards.
    pub shard: Shard,
    /// A fingerprint of the names and sizes of the files of all shards.
    pub files: String,
    /// The options that all shards must have in common.
    pub options: BTreeMap<String, String>,
    /// The type of stored tokens.
    pub token_type: TokenType,
    /// The kind of tokenizer.
    #[serde(deserialize_with = "existing")]
    pub tokenizer: TokenizerChoice,
    /// XXH3-128 of `tokenizer.json` in hexadecimal.
    pub tokenizer_hash: String,
    /// The number of tokens of the tokenizer; every id is below it.
    pub vocabulary: u64,
    /// The id of the tokenizer's end-of-text token.
    pub end_of_text: Option<u32>,
    /// Whether there is end-of-text between documents.
    pub separated: bool,
    /// The number of documents.
    pub documents: u64,
    /// XXH3-128 of `documents.bin` in hexadecimal.
    pub documents_hash: String,
    /// The tokens.
    pub tokens: Part,
    /// Whether the text is empty or ends in a line feed.
    pub ends_line: bool,
    /// The sources of the text.
    pub sources: Vec<SourceRecord>,
    /// What the sources hold that did not become text.
    pub left_out: LeftOut,
}

impl ShardDescription {
    /// Reads a `shard.json`.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let damaged = |found: String| DataError::Damaged {
            path: path.into(),
            expected: "the description of a shard".into(),
            found,
        };
        let contents = read_at_most(path, LARGEST_DESCRIPTION)
            .map_err(DataError::read(path))?
            .ok_or_else(|| damaged("more than 64 MiB".into()))?;
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let versioned: Versioned =
            serde_json::from_slice(&contents).map_err(|error| damaged(error.to_string()))?;
        if versioned.format != SHARD_FORMAT {
            return Err(DataError::Foreign {
                path: path.into(),
                reason: format!(
                    "it has format version {}, this program reads version {SHARD_FORMAT}; prepare \
                     all shards with the version that merges them",
                    versioned.format
                ),
            });
        }
        let read: Self =
            serde_json::from_slice(&contents).map_err(|error| damaged(error.to_string()))?;
        if !(1..=read.shard.count).contains(&read.shard.number) {
            return Err(damaged(format!("shard {}", read.shard)));
        }
        Ok(read)
    }

    /// The contents of `shard.json` with this description.
    pub(super) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and numbers serialize");
        text.push('\n');
        text
    }
}
