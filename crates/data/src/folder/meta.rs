//! `meta.json`: the description of a data folder's content.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::small_file::read_at_most;
use crate::sources::{Reason, SourceRecord};
use crate::tokenizer::{TokenizerChoice, existing};

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// The largest description that is read, in bytes: a limit far above real files.
pub(crate) const LARGEST_DESCRIPTION: u64 = 64 << 20;

/// The type of stored tokens, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Two bytes, for vocabularies of at most 65,536 tokens.
    U16,
    /// Four bytes.
    U32,
}

impl TokenType {
    /// The smaller type that holds every id of a vocabulary.
    pub fn for_vocabulary(vocabulary: usize) -> Self {
        if vocabulary <= 1 << 16 {
            Self::U16
        } else {
            Self::U32
        }
    }

    /// Bytes of one token.
    pub fn size(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

/// The description of one token file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The number of tokens.
    pub tokens: u64,
    /// Bytes of the tokens' UTF-8 text without end-of-text, for computing bits per byte. Unknown for
    /// folders of nanoGPT.
    pub text_bytes: Option<u64>,
    /// XXH3-128 of the file in hexadecimal. Unknown for folders of nanoGPT.
    pub hash: Option<String>,
}

/// The description of a data folder's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Version of the format, [`FORMAT`].
    pub format: u32,
    /// The program that wrote the folder, with its version.
    pub program: String,
    /// The type of stored tokens.
    pub token_type: TokenType,
    /// The kind of tokenizer.
    #[serde(deserialize_with = "existing")]
    pub tokenizer: TokenizerChoice,
    /// XXH3-128 of `tokenizer.json` in hexadecimal. Unknown for folders of nanoGPT.
    pub tokenizer_hash: Option<String>,
    /// The number of tokens of the tokenizer; every id is below it.
    pub vocabulary: u64,
    /// The id of the tokenizer's end-of-text token.
    pub end_of_text: Option<u32>,
    /// Whether there is end-of-text between documents.
    pub separated: bool,
    /// The number of documents.
    pub documents: u64,
    /// The training part.
    pub train: Part,
    /// The validation part.
    pub validation: Part,
    /// The sources of the text.
    pub sources: Vec<SourceRecord>,
    /// The sources of the validation part, if it has sources of its own; `sources` are then those of the
    /// training part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_sources: Vec<SourceRecord>,
    /// The number of pages, records and files of the sources that did not become text, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<Reason, u64>,
}

impl Meta {
    /// The description of a folder that nanoGPT prepared with GPT-2's tokenizer.
    pub(crate) fn of_nanogpt(train: u64, validation: u64) -> Self {
        let part = |tokens| Part {
            tokens,
            text_bytes: None,
            hash: None,
        };
        Self {
            format: FORMAT,
            program: "nanoGPT".into(),
            token_type: TokenType::U16,
            tokenizer: TokenizerChoice::Gpt2,
            tokenizer_hash: None,
            vocabulary: 50_257,
            end_of_text: Some(50_256),
            separated: false,
            documents: 0,
            train: part(train),
            validation: part(validation),
            sources: Vec::new(),
            validation_sources: Vec::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Reads and checks a `meta.json`.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let damaged = |expected: &str, found: String| DataError::Damaged {
            path: path.into(),
            expected: expected.into(),
            found,
        };
        let contents = read_at_most(path, LARGEST_DESCRIPTION)
            .map_err(DataError::read(path))?
            .ok_or_else(|| damaged("at most 64 MiB", "a larger file".into()))?;
        // The other fields depend on the version.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let kind = "the description of a data folder";
        let versioned: Versioned =
            serde_json::from_slice(&contents).map_err(|error| damaged(kind, error.to_string()))?;
        if versioned.format != FORMAT {
            return Err(DataError::Foreign {
                path: path.into(),
                reason: format!(
                    "it has format version {}, this program reads version {FORMAT}; use the \
                     program that made it, or re-run `ldrop data prepare`",
                    versioned.format
                ),
            });
        }
        let meta: Self =
            serde_json::from_slice(&contents).map_err(|error| damaged(kind, error.to_string()))?;
        meta.check(damaged)?;
        Ok(meta)
    }

    fn check(&self, damaged: impl Fn(&str, String) -> DataError) -> Result<(), DataError> {
        let vocabulary = usize::try_from(self.vocabulary).unwrap_or(usize::MAX);
        if !(1..=u32::MAX as usize).contains(&vocabulary) {
            return Err(damaged(
                "a `vocabulary` of 1 to 4294967295 tokens",
                self.vocabulary.to_string(),
            ));
        }
        if TokenType::for_vocabulary(vocabulary).size() > self.token_type.size() {
            return Err(damaged(
                "a `token_type` that holds every id",
                format!("{:?} for {vocabulary} tokens", self.token_type),
            ));
        }
        if let Some(id) = self
            .end_of_text
            .filter(|&id| u64::from(id) >= self.vocabulary)
        {
            return Err(damaged(
                "`end_of_text` below `vocabulary`",
                format!("{id} and {vocabulary}"),
            ));
        }
        Ok(())
    }

    /// The contents of `meta.json` with this description.
    pub(crate) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and numbers serialize");
        text.push('\n');
        text
    }
}
