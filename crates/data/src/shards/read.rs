//! Reading shards.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{DOCUMENTS_FILE, SHARD_FILE, ShardDescription, TOKENS_FILE};
use crate::error::DataError;
use crate::folder::{TOKENIZER_FILE, Tokens, hexadecimal};
use crate::tokenizer::Tokenizer;

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
            "shard.json",
        )?;
        Ok(Self {
            path: path.into(),
            description,
            tokens,
        })
    }

    /// Reads the tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer, DataError> {
        let path = self.path.join(TOKENIZER_FILE);
        let contents = std::fs::read(&path).map_err(DataError::read(&path))?;
        check_hash(&path, &self.description.tokenizer_hash, xxh3_128(&contents))?;
        Ok(Tokenizer::from_file(&path)?)
    }

    /// The lengths of its documents.
    pub fn documents(&self) -> Result<Documents, DataError> {
        let path = self.path.join(DOCUMENTS_FILE);
        let file = File::open(&path).map_err(DataError::read(&path))?;
        let size = file.metadata().map_err(DataError::read(&path))?.len();
        let documents = self.description.documents;
        if documents.checked_mul(16) != Some(size) {
            return Err(DataError::Damaged {
                path,
                expected: format!("16 bytes for each of {documents} documents"),
                found: format!("{size} bytes"),
            });
        }
        Ok(Documents {
            file: BufReader::new(file),
            path,
            left: documents,
            hasher: Xxh3::new(),
            hash: self.description.documents_hash.clone(),
        })
    }

    /// Compares the hash of the tokens with the one in the description.
    pub fn check_tokens(&self, hasher: &Xxh3) -> Result<(), DataError> {
        match &self.description.tokens.hash {
            Some(expected) => check_hash(self.tokens.path(), expected, hasher.digest128()),
            None => Ok(()),
        }
    }
}

fn check_hash(path: &Path, expected: &str, found: u128) -> Result<(), DataError> {
    let found = hexadecimal(found);
    if expected == found {
        return Ok(());
    }
    Err(DataError::Damaged {
        path: path.into(),
        expected: format!("hash {expected}, as `{SHARD_FILE}` says"),
        found,
    })
}

/// The length of one document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DocumentLengths {
    /// Bytes of text.
    pub text_bytes: u64,
    /// Tokens, without end-of-text.
    pub tokens: u64,
}

/// Reads the lengths of documents, and at their end checks their hash.
pub(crate) struct Documents {
    path: PathBuf,
    file: BufReader<File>,
    left: u64,
    hasher: Xxh3,
    hash: String,
}

impl Documents {
    /// The next document; none at the end.
    pub fn next(&mut self) -> Result<Option<DocumentLengths>, DataError> {
        if self.left == 0 {
            check_hash(&self.path, &self.hash, self.hasher.digest128())?;
            return Ok(None);
        }
        self.left -= 1;
        let mut bytes = [0; 16];
        self.file
            .read_exact(&mut bytes)
            .map_err(DataError::read(&self.path))?;
        self.hasher.update(&bytes);
        let [text_bytes, tokens] = [0, 1].map(|field| {
            let bytes = bytes[field * 8..field * 8 + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight bytes"))
        });
        Ok(Some(DocumentLengths { text_bytes, tokens }))
    }
}
