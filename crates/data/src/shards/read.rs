//! Reading shards.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{DOCUMENTS_FILE, SHARD_FILE, ShardDescription, TOKENS_FILE};
use crate::error::DataError;
use crate::folder::{
    TOKENIZER_FILE, TokenType, Tokens, check_hash, check_tokenizer, hexadecimal, read_tokenizer,
};
use crate::tokenizer::Tokenizer;

/// Bytes of a document's lengths in `documents.bin`.
const DOCUMENT_BYTES: usize = 16;

/// An opened shard.
#[derive(Debug)]
pub(crate) struct ShardFolder {
    /// The folder.
    pub path: PathBuf,
    /// Its description.
    pub description: ShardDescription,
    /// Its tokens; their hash has not been checked.
    pub tokens: Tokens,
}

impl ShardFolder {
    /// Opens a shard and checks the sizes of its files.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = path.join(SHARD_FILE);
        if !file.exists() {
            return Err(DataError::Merge {
                path: path.into(),
                reason: format!(
                    "it is no shard, because it has no `{SHARD_FILE}`: name folders that `ldrop data \
                     prepare --shard` made, or files of datatrove that end in .ds"
                ),
            });
        }
        let description = ShardDescription::read(&file)?;
        let tokens = Tokens::open(
            path.join(TOKENS_FILE),
            description.token_type,
            description.vocabulary,
            Some(description.tokens.tokens),
            SHARD_FILE,
        )?;
        Ok(Self {
            path: path.into(),
            description,
            tokens,
        })
    }

    /// Reads the tokenizer, and compares it with the description. Otherwise ids could be merged that it
    /// does not have, or tokens of another size than those of the merged folder.
    pub fn tokenizer(&self) -> Result<Tokenizer, DataError> {
        let stated = &self.description;
        let contents = read_tokenizer(&self.path, &stated.tokenizer_hash, SHARD_FILE)?;
        let path = self.path.join(TOKENIZER_FILE);
        let tokenizer = Tokenizer::from_contents(&path, &contents)?;
        let about_it = (stated.vocabulary, stated.tokenizer, stated.end_of_text);
        check_tokenizer(path, &tokenizer, about_it)?;
        let token_type = TokenType::for_vocabulary(tokenizer.vocabulary());
        if stated.token_type != token_type {
            return Err(DataError::Damaged {
                path: self.path.join(SHARD_FILE),
                expected: format!("tokens of {} bytes", token_type.size()),
                found: format!("tokens of {} bytes", stated.token_type.size()),
            });
        }
        Ok(tokenizer)
    }

    /// The lengths of its documents. They have the hash and the sums that the description says, so adding
    /// them up does not overflow.
    pub fn documents(&self) -> Result<Documents, DataError> {
        let path = self.path.join(DOCUMENTS_FILE);
        let failed = DataError::read(&path);
        let damaged = |expected: String, found: String| DataError::Damaged {
            path: path.clone(),
            expected,
            found,
        };
        let file = File::open(&path).map_err(&failed)?;
        let size = file.metadata().map_err(&failed)?.len();
        let count = self.description.documents;
        if count.checked_mul(DOCUMENT_BYTES as u64) != Some(size) {
            return Err(damaged(
                format!("{DOCUMENT_BYTES} bytes for each of {count} documents"),
                format!("{size} bytes"),
            ));
        }
        let mut documents = Documents {
            file: BufReader::new(file),
            path: path.clone(),
            left: count,
        };
        let mut hasher = Xxh3::new();
        // Sums of damaged lengths may overflow: then there is none, and the hash differs.
        let (mut text_bytes, mut tokens) = (Some(0_u64), Some(0_u64));
        while let Some(bytes) = documents.next_bytes()? {
            hasher.update(&bytes);
            let lengths = DocumentLengths::from_bytes(bytes);
            text_bytes = text_bytes.and_then(|sum| sum.checked_add(lengths.text_bytes));
            tokens = tokens.and_then(|sum| sum.checked_add(lengths.tokens));
        }
        let found = hexadecimal(hasher.digest128());
        check_hash(&path, &self.description.documents_hash, found, SHARD_FILE)?;
        // All but the last have end-of-text behind them.
        let separators = match self.description.separated {
            true => count.saturating_sub(1),
            false => 0,
        };
        let tokens = tokens.and_then(|sum| sum.checked_add(separators));
        let part = &self.description.tokens;
        let expected = (part.text_bytes.unwrap_or(0), part.tokens);
        if (text_bytes, tokens) != (Some(expected.0), Some(expected.1)) {
            let number = |sum: Option<u64>| sum.map_or("too many".into(), |sum| sum.to_string());
            return Err(damaged(
                format!(
                    "documents of {} bytes of text in {} tokens, as `{SHARD_FILE}` says",
                    expected.0, expected.1
                ),
                format!("{} bytes in {} tokens", number(text_bytes), number(tokens)),
            ));
        }
        documents.file.rewind().map_err(&failed)?;
        documents.left = count;
        Ok(documents)
    }

    /// Compares the hash of the tokens with the one in the description.
    pub fn check_tokens(&self, hasher: &Xxh3) -> Result<(), DataError> {
        match &self.description.tokens.hash {
            Some(expected) => check_hash(
                self.tokens.path(),
                expected,
                hexadecimal(hasher.digest128()),
                SHARD_FILE,
            ),
            None => Ok(()),
        }
    }
}

/// The length of one document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DocumentLengths {
    /// Bytes of text.
    pub text_bytes: u64,
    /// Tokens, without end-of-text.
    pub tokens: u64,
}

impl DocumentLengths {
    fn from_bytes(bytes: [u8; DOCUMENT_BYTES]) -> Self {
        let [text_bytes, tokens] = [0, 8].map(|start| {
            let bytes = bytes[start..start + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight bytes"))
        });
        Self { text_bytes, tokens }
    }

    /// Its entry in `documents.bin`.
    pub fn to_bytes(self) -> [u8; DOCUMENT_BYTES] {
        let mut bytes = [0; DOCUMENT_BYTES];
        bytes[..8].copy_from_slice(&self.text_bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tokens.to_le_bytes());
        bytes
    }
}

/// Reads the lengths of documents.
pub(crate) struct Documents {
    path: PathBuf,
    file: BufReader<File>,
    /// The number of documents that follow.
    left: u64,
}

impl Documents {
    /// The next document; none at the end.
    pub fn next(&mut self) -> Result<Option<DocumentLengths>, DataError> {
        Ok(self.next_bytes()?.map(DocumentLengths::from_bytes))
    }

    /// Whether no document follows.
    pub fn is_at_end(&self) -> bool {
        self.left == 0
    }

    fn next_bytes(&mut self) -> Result<Option<[u8; DOCUMENT_BYTES]>, DataError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut bytes = [0; DOCUMENT_BYTES];
        self.file
            .read_exact(&mut bytes)
            .map_err(DataError::read(&self.path))?;
        Ok(Some(bytes))
    }
}
