//! The choice of a tokenizer, as it is written on a command line.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// The fewest tokens of a trained byte-pair encoding: one for each byte, and end-of-text.
pub const SMALLEST_BPE: usize = 257;
/// The most tokens of a trained byte-pair encoding.
pub const LARGEST_BPE: usize = 1_000_000;

/// A kind of tokenizer: `gpt2`, `bpe:N`, `byte` or `char`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TokenizerChoice {
    /// GPT-2's byte-pair encoding of 50,257 tokens; end-of-text is 50,256.
    #[default]
    Gpt2,
    /// A byte-level byte-pair encoding of this many tokens, trained on the training part.
    /// End-of-text is its last token.
    Bpe(usize),
    /// The 256 bytes; no end-of-text.
    Byte,
    /// Every character of the training part, and one token for all others; no end-of-text.
    Character,
}

impl TokenizerChoice {
    /// Whether the tokenizer has an end-of-text token.
    pub fn has_end_of_text(self) -> bool {
        matches!(self, Self::Gpt2 | Self::Bpe(_))
    }
}

impl fmt::Display for TokenizerChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt2 => formatter.write_str("gpt2"),
            Self::Bpe(tokens) => write!(formatter, "bpe:{tokens}"),
            Self::Byte => formatter.write_str("byte"),
            Self::Character => formatter.write_str("char"),
        }
    }
}

/// A text does not name a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no tokenizer is called `{found}`: expected `gpt2`, `bpe:N` with N from {SMALLEST_BPE} to \
     {LARGEST_BPE} (for example `bpe:4096`), `byte`, `char`, or the path of a `tokenizer.json` or \
     of a folder that holds one"
)]
pub struct UnknownTokenizer {
    /// The text.
    pub found: String,
}

impl FromStr for TokenizerChoice {
    type Err = UnknownTokenizer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownTokenizer { found: text.into() };
        match text {
            "gpt2" => Ok(Self::Gpt2),
            "byte" => Ok(Self::Byte),
            "char" => Ok(Self::Character),
            _ => {
                let tokens = text.strip_prefix("bpe:").ok_or_else(unknown)?;
                let tokens = tokens.parse().map_err(|_| unknown())?;
                if (SMALLEST_BPE..=LARGEST_BPE).contains(&tokens) {
                    Ok(Self::Bpe(tokens))
                } else {
                    Err(unknown())
                }
            }
        }
    }
}

impl TryFrom<String> for TokenizerChoice {
    type Error = UnknownTokenizer;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Reads the kind of a tokenizer that exists. A byte-pair encoding that another program made may have
/// fewer tokens (no end-of-text) or more than one that this program trains.
///
/// # Errors
/// The text names no kind.
pub(crate) fn existing<'de, D: Deserializer<'de>>(from: D) -> Result<TokenizerChoice, D::Error> {
    let text = String::deserialize(from)?;
    match text.strip_prefix("bpe:").map(str::parse) {
        Some(Ok(tokens)) => Ok(TokenizerChoice::Bpe(tokens)),
        _ => text.parse().map_err(D::Error::custom),
    }
}

impl From<TokenizerChoice> for String {
    fn from(choice: TokenizerChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_read_as_it_is_written() {
        for text in ["gpt2", "bpe:257", "bpe:4096", "bpe:1000000", "byte", "char"] {
            assert_eq!(text.parse::<TokenizerChoice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_impossible_choice_is_named_in_the_error() {
        for text in [
            "",
            "GPT2",
            "bpe",
            "bpe:",
            "bpe:-1",
            "bpe:256",
            "bpe:1000001",
            "bpe:4k",
        ] {
            let error = text.parse::<TokenizerChoice>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
