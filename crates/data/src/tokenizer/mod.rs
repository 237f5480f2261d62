//! Tokenizers: text to token ids and back.
//!
//! There are four kinds. A text that is encoded and then decoded is the same, byte for byte, with one
//! exception: a vocabulary of characters has one token, `<unk>`, for all characters that it lacks, which
//! is decoded as U+FFFD ([`Tokenizer::unknown`]). Each kind is saved as a `tokenizer.json` that gives the
//! same ids in the Hugging Face tokenizers library.

mod byte_symbols;
mod character_encoder;
mod choice;
mod definition;
mod gpt2;
mod json;
mod origin;
mod pair_encoder;
mod pair_trainer;
pub(crate) mod pieces;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod token_table;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) use choice::existing;
pub use choice::{LARGEST_BPE, SMALLEST_BPE, TokenizerChoice, UnknownTokenizer};
pub(crate) use origin::Resolved;
pub use origin::TokenizerOrigin;
pub use stream::TextStream;

use character_encoder::CharacterEncoder;
use definition::{BytePairs, Characters, Definition, Others};
use pair_encoder::PairEncoder;
use token_table::TokenTable;

use crate::small_file::read_at_most;

/// The largest `tokenizer.json` that is read, in bytes: a limit far above real files.
const LARGEST_FILE: u64 = 256 << 20;

/// An error of reading, writing or training a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("cannot read the tokenizer {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not a usable tokenizer.
    #[error(
        "{path} is not a usable tokenizer: {reason}; expected a `tokenizer.json` as this \
         program writes it: re-run `ldrop data prepare`, or copy the file from where the model \
         came from"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write the tokenizer {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A byte-pair encoding cannot be trained.
    #[error("cannot train a tokenizer of {tokens} tokens: {reason}")]
    Train {
        /// The number of tokens asked for.
        tokens: usize,
        /// The reason.
        reason: String,
    },
}

/// Turns text into token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    tokens: TokenTable,
}

enum Encoder {
    Gpt2(&'static tiktoken::CoreBpe),
    BytePairs(BytePairs, Box<PairEncoder>),
    Byte,
    Characters(CharacterEncoder),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Gpt2(_) => "Gpt2",
            Self::BytePairs(..) => "BytePairs",
            Self::Byte => "Byte",
            Self::Characters(..) => "Characters",
        })
    }
}

impl Tokenizer {
    /// GPT-2's byte-pair encoding.
    pub fn gpt2() -> Self {
        Self {
            encoder: Encoder::Gpt2(gpt2::encoder()),
            tokens: gpt2::table(),
        }
    }

    /// One token for each byte.
    pub fn byte() -> Self {
        Self {
            encoder: Encoder::Byte,
            tokens: (0..=255_u8).map(|byte| [byte]).collect(),
        }
    }

    /// One token for each of these characters in ascending order, then one for all others.
    pub fn characters(characters: &BTreeSet<char>) -> Self {
        Self::from_characters(Characters {
            characters: characters.iter().copied().collect(),
            others: Others::Unknown,
        })
    }

    /// A byte-level byte-pair encoding of at most `tokens` tokens, end-of-text being the last,
    /// trained on these texts. Texts with too few different pairs give fewer tokens.
    ///
    /// A token has at most 256 bytes. Memory is about 35 times the size of all different words.
    ///
    /// # Errors
    /// `tokens` is not within [`SMALLEST_BPE`] and [`LARGEST_BPE`], or the texts have 4 GiB of
    /// different words.
    pub fn train(tokens: usize, texts: &[String]) -> Result<Self, TokenizerError> {
        let failed = |reason| TokenizerError::Train { tokens, reason };
        if !(SMALLEST_BPE..=LARGEST_BPE).contains(&tokens) {
            return Err(failed(format!(
                "expected from {SMALLEST_BPE} to {LARGEST_BPE}"
            )));
        }
        let pairs = pair_trainer::train(tokens, texts).map_err(failed)?;
        Self::from_byte_pairs(pairs).map_err(failed)
    }

    /// Reads a `tokenizer.json`. GPT-2's is recognized and gets the fast encoder.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or holds a tokenizer of another kind.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        Self::from_contents(path, &read_file(path)?)
    }

    /// The tokenizer of a `tokenizer.json` that [`read_file`] read; `path` is for messages.
    pub(crate) fn from_contents(path: &Path, contents: &[u8]) -> Result<Self, TokenizerError> {
        let invalid = |reason| TokenizerError::Invalid {
            path: path.into(),
            reason,
        };
        let contents = std::str::from_utf8(contents).map_err(|error| invalid(error.to_string()))?;
        match definition::parse(contents).map_err(invalid)? {
            Definition::Byte => Ok(Self::byte()),
            Definition::Characters(characters) => Ok(Self::from_characters(characters)),
            Definition::BytePairs(pairs) => Self::from_byte_pairs(pairs).map_err(invalid),
        }
    }

    fn from_characters(characters: Characters) -> Self {
        let encoder = CharacterEncoder::new(characters);
        Self {
            tokens: encoder.table(),
            encoder: Encoder::Characters(encoder),
        }
    }

    fn from_byte_pairs(pairs: BytePairs) -> Result<Self, String> {
        // The comparison with GPT-2's takes time, so it is made only if the size is right.
        if pairs.tokens.len() == gpt2::VOCABULARY as usize && pairs == *gpt2::byte_pairs() {
            return Ok(Self::gpt2());
        }
        let tokens = pairs.tokens.iter().collect();
        let encoder = Box::new(PairEncoder::new(&pairs)?);
        Ok(Self {
            encoder: Encoder::BytePairs(pairs, encoder),
            tokens,
        })
    }

    /// Writes a `tokenizer.json`, whole or not at all: it is written beside its place and renamed.
    ///
    /// # Errors
    /// The file cannot be written. Then `path` is unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TokenizerError> {
        let path = path.as_ref();
        let contents = self.to_json();
        write_atomically(path, contents.as_bytes()).map_err(|source| TokenizerError::Write {
            path: path.into(),
            source,
        })
    }

    /// The contents of the `tokenizer.json`.
    pub fn to_json(&self) -> String {
        json::contents(&match &self.encoder {
            Encoder::Gpt2(_) => Definition::BytePairs(gpt2::byte_pairs().clone()),
            Encoder::BytePairs(pairs, _) => Definition::BytePairs(pairs.clone()),
            Encoder::Byte => Definition::Byte,
            Encoder::Characters(encoder) => Definition::Characters(encoder.definition().clone()),
        })
    }

    /// The kind; for a trained encoding with its number of tokens.
    pub fn kind(&self) -> TokenizerChoice {
        match &self.encoder {
            Encoder::Gpt2(_) => TokenizerChoice::Gpt2,
            Encoder::BytePairs(..) => TokenizerChoice::Bpe(self.tokens.len()),
            Encoder::Byte => TokenizerChoice::Byte,
            Encoder::Characters(..) => TokenizerChoice::Character,
        }
    }

    /// Encodes a text. `<|endoftext|>` in it is encoded like any other text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match &self.encoder {
            Encoder::Gpt2(encoder) => encoder.encode(text),
            Encoder::BytePairs(_, encoder) => encoder.encode(text),
            Encoder::Byte => text.bytes().map(u32::from).collect(),
            Encoder::Characters(encoder) => encoder.encode(text),
        }
    }

    /// Decodes ids. Bytes that are not UTF-8 and the unknown token become U+FFFD, end-of-text becomes
    /// `<|endoftext|>`, and ids outside the vocabulary are ignored.
    pub fn decode(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned()
    }

    /// Decodes ids into bytes, which need not be UTF-8; otherwise as [`decode`](Self::decode).
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .filter_map(|&id| self.token_bytes(id))
            .flatten()
            .copied()
            .collect()
    }

    /// The number of tokens; ids are below it.
    pub fn vocabulary(&self) -> usize {
        self.tokens.len()
    }

    /// The id of the token that separates documents.
    pub fn end_of_text(&self) -> Option<u32> {
        match &self.encoder {
            Encoder::Gpt2(_) => Some(gpt2::END_OF_TEXT),
            Encoder::BytePairs(pairs, _) => pairs.end_of_text,
            Encoder::Byte | Encoder::Characters(..) => None,
        }
    }

    /// The id of the token that stands for every character which the tokenizer lacks; none if it
    /// lacks no character.
    ///
    /// With such a tokenizer each character is one token.
    pub fn unknown(&self) -> Option<u32> {
        match &self.encoder {
            Encoder::Characters(encoder) => encoder.unknown(),
            Encoder::Gpt2(_) | Encoder::BytePairs(..) | Encoder::Byte => None,
        }
    }

    /// The bytes of a token; none if there is no such token. Those of the unknown token are U+FFFD.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id)
    }
}

/// Reads a `tokenizer.json` of at most [`LARGEST_FILE`] bytes.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let contents = read_at_most(path, LARGEST_FILE).map_err(|source| TokenizerError::Read {
        path: path.into(),
        source,
    })?;
    contents.ok_or_else(|| TokenizerError::Invalid {
        path: path.into(),
        reason: format!("it has more than {LARGEST_FILE} bytes"),
    })
}

/// Writes a file beside its place, flushes it to the disk and renames it into place.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // By default only its owner may read a temporary file; this one gets the permissions of an
        // ordinary file.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    if cfg!(unix) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
