//! A data folder: two token files, their description, and the tokenizer that made them.

mod meta;
#[cfg(test)]
mod tests;
mod tokens;

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

pub(crate) use meta::LARGEST_DESCRIPTION;
pub use meta::{FORMAT, Meta, Part, TokenType};
pub use tokens::Tokens;
pub(crate) use tokens::hexadecimal;

use crate::error::DataError;
use crate::shards::SHARD_FILE;
use crate::sources::own_folder;
use crate::tokenizer::{Tokenizer, TokenizerChoice, TokenizerError, read_file};

/// File name of the training part in a data folder.
pub const TRAIN_FILE: &str = "train.bin";
/// File name of the validation part in a data folder.
pub const VALIDATION_FILE: &str = "val.bin";
/// File name of the description in a data folder.
pub const META_FILE: &str = "meta.json";
/// File name of the tokenizer in a data folder.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Token files up to this many bytes are compared with their hash when a folder is opened.
const CHECKED_AT_OPEN: usize = 256 << 20;

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The part that models are trained on.
    Train,
    /// The part that models are evaluated on.
    Validation,
}

/// An opened data folder.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    meta: Meta,
    train: Tokens,
    validation: Tokens,
}

impl DataFolder {
    /// Opens and checks a folder that `ldrop data prepare` made, or one that nanoGPT made with
    /// GPT-2's tokenizer (`train.bin` and `val.bin` alone).
    ///
    /// Checks sizes, the description, the tokenizer's hash, and the hashes of token files of at most 256
    /// MiB; [`verify`](Self::verify) checks the hashes of larger ones too.
    ///
    /// # Errors
    /// A file is missing or damaged, or the folder has a format that cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        if !path.try_exists().map_err(DataError::read(path))? {
            return Err(DataError::NotFound { path: path.into() });
        }
        if path.join(SHARD_FILE).exists() {
            return Err(DataError::Foreign {
                path: path.into(),
                reason: "it is one shard of a text; join all shards with `ldrop data merge`".into(),
            });
        }
        refuse_unprepared(path)?;
        for file in [TRAIN_FILE, VALIDATION_FILE] {
            let there = path
                .join(file)
                .try_exists()
                .map_err(DataError::read(path))?;
            if !there {
                return Err(DataError::Missing {
                    path: path.into(),
                    missing: file,
                });
            }
        }
        let meta_path = path.join(META_FILE);
        if !meta_path
            .try_exists()
            .map_err(DataError::read(&meta_path))?
        {
            return Self::open_nanogpt(path);
        }
        let meta = Meta::read(&meta_path)?;
        let open = |file, part: &Part| {
            let tokens = Some(part.tokens);
            Tokens::open(
                path.join(file),
                meta.token_type,
                meta.vocabulary,
                tokens,
                META_FILE,
            )
        };
        let folder = Self {
            train: open(TRAIN_FILE, &meta.train)?,
            validation: open(VALIDATION_FILE, &meta.validation)?,
            path: path.into(),
            meta,
        };
        folder.tokenizer_contents()?;
        folder.check_hashes(CHECKED_AT_OPEN)?;
        Ok(folder)
    }

    fn open_nanogpt(path: &Path) -> Result<Self, DataError> {
        let other = path.join("meta.pkl");
        if other.exists() {
            return Err(DataError::Foreign {
                path: other,
                reason: "nanoGPT made this folder with a vocabulary of characters, which is read \
                         from here only for GPT-2's tokens; prepare its text with `ldrop data \
                         prepare --tokenizer char`"
                    .into(),
            });
        }
        let known = Meta::of_nanogpt(0, 0);
        let open = |file| {
            let path = path.join(file);
            Tokens::open(path, known.token_type, known.vocabulary, None, META_FILE)
        };
        let (train, validation) = (open(TRAIN_FILE)?, open(VALIDATION_FILE)?);
        let meta = Meta::of_nanogpt(train.len() as u64, validation.len() as u64);
        Ok(Self {
            path: path.into(),
            meta,
            train,
            validation,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The description of the folder's content.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The tokens of a part.
    pub fn split(&self, split: Split) -> &Tokens {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }

    /// Reads the tokenizer that made the tokens.
    ///
    /// # Errors
    /// `tokenizer.json` is missing or damaged, or is not the one that made the tokens.
    pub fn tokenizer(&self) -> Result<Tokenizer, DataError> {
        let Some(contents) = self.tokenizer_contents()? else {
            return Ok(Tokenizer::gpt2());
        };
        let path = self.path.join(TOKENIZER_FILE);
        let tokenizer = Tokenizer::from_contents(&path, &contents)?;
        let meta = &self.meta;
        let stated = (meta.vocabulary, meta.tokenizer, meta.end_of_text);
        check_tokenizer(path, &tokenizer, stated)?;
        Ok(tokenizer)
    }

    /// A fingerprint for recognizing the same data, for example when training is resumed.
    pub fn fingerprint(&self) -> String {
        let parts = [
            self.meta.vocabulary.to_string(),
            self.meta.tokenizer_hash.clone().unwrap_or_default(),
            self.meta.train.hash.clone().unwrap_or_default(),
            self.meta.validation.hash.clone().unwrap_or_default(),
            self.train.fingerprint(),
            self.validation.fingerprint(),
        ];
        hexadecimal(xxh3_128(parts.join(" ").as_bytes()))
    }

    /// Compares every file with its hash, whatever its length, and every id with the vocabulary.
    ///
    /// # Errors
    /// The first file that is damaged.
    pub fn verify(&self) -> Result<(), DataError> {
        self.check_hashes(usize::MAX)?;
        for tokens in [&self.train, &self.validation] {
            let mut ids = vec![0; 1 << 16];
            for start in (0..tokens.len()).step_by(ids.len()) {
                let count = ids.len().min(tokens.len() - start);
                tokens.window(start, &mut ids[..count])?;
            }
        }
        Ok(())
    }

    fn check_hashes(&self, longest: usize) -> Result<(), DataError> {
        let parts = [
            (&self.train, &self.meta.train),
            (&self.validation, &self.meta.validation),
        ];
        for (tokens, part) in parts {
            if tokens.len() * self.meta.token_type.size() <= longest
                && let Some(expected) = &part.hash
            {
                check_hash(tokens.path(), expected, tokens.hash(), META_FILE)?;
            }
        }
        Ok(())
    }

    /// The contents of `tokenizer.json`, which have the hash of the description. None if it states no hash.
    fn tokenizer_contents(&self) -> Result<Option<Vec<u8>>, DataError> {
        let Some(expected) = &self.meta.tokenizer_hash else {
            return Ok(None);
        };
        match read_tokenizer(&self.path, expected, META_FILE) {
            Err(DataError::Tokenizer(TokenizerError::Read { source, .. }))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(DataError::Missing {
                    path: self.path.clone(),
                    missing: TOKENIZER_FILE,
                })
            }
            read => read.map(Some),
        }
    }
}

/// Whether a path leads to a data folder or to one shard of it, complete or not, and not to a text.
pub fn is_data_folder(path: &Path) -> bool {
    let files = [TRAIN_FILE, VALIDATION_FILE, META_FILE, SHARD_FILE];
    files.iter().any(|file| path.join(file).exists())
}

/// Refuses a file, and a folder of something else than token files.
fn refuse_unprepared(path: &Path) -> Result<(), DataError> {
    let not_prepared = |what| DataError::NotPrepared {
        path: path.into(),
        what,
    };
    if path.is_file() {
        return Err(not_prepared("a file"));
    }
    let is_empty = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
    if is_empty || is_data_folder(path) {
        return Ok(());
    }
    match own_folder(path) {
        None => Err(not_prepared("a folder without token files")),
        Some(kind) => Err(DataError::Foreign {
            path: path.into(),
            reason: format!(
                "it is {kind}, not a data folder; name one that `ldrop data prepare` made"
            ),
        }),
    }
}

/// The contents of the `tokenizer.json` in a folder, which must have the hash that `description` states.
pub(crate) fn read_tokenizer(
    folder: &Path,
    hash: &str,
    description: &str,
) -> Result<Vec<u8>, DataError> {
    let path = folder.join(TOKENIZER_FILE);
    let contents = read_file(&path)?;
    check_hash(&path, hash, hexadecimal(xxh3_128(&contents)), description)?;
    Ok(contents)
}

/// Compares the tokenizer in a file with what a description states: its number of tokens, its kind and its
/// end-of-text token.
pub(crate) fn check_tokenizer(
    path: PathBuf,
    tokenizer: &Tokenizer,
    stated: (u64, TokenizerChoice, Option<u32>),
) -> Result<(), DataError> {
    let vocabulary = tokenizer.vocabulary() as u64;
    let found = (vocabulary, tokenizer.kind(), tokenizer.end_of_text());
    if found == stated {
        return Ok(());
    }
    let in_words = |(tokens, kind, end): (u64, TokenizerChoice, Option<u32>)| {
        format!("{tokens} tokens ({kind}, end-of-text {end:?})")
    };
    Err(DataError::Damaged {
        path,
        expected: in_words(stated),
        found: in_words(found),
    })
}

/// Compares the hash of a file with the one that `description` states.
pub(crate) fn check_hash(
    path: &Path,
    expected: &str,
    found: String,
    description: &str,
) -> Result<(), DataError> {
    if expected == found {
        return Ok(());
    }
    Err(DataError::Damaged {
        path: path.into(),
        expected: format!("hash {expected}, as `{description}` says"),
        found,
    })
}
