//! Where the tokenizer of new data comes from, as it is written on a command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::choice::{TokenizerChoice, UnknownTokenizer};
use super::{Tokenizer, TokenizerError};
use crate::folder::TOKENIZER_FILE;

/// A tokenizer that is made, or one that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerOrigin {
    /// A tokenizer of this kind; `bpe:N` and `char` are trained on the text.
    Kind(TokenizerChoice),
    /// A `tokenizer.json`, or a data, run or model folder that holds one. It is taken as it is.
    File(PathBuf),
}

/// A tokenizer, or the kind that is to be trained.
#[derive(Debug)]
pub(crate) enum Resolved {
    Existing(Tokenizer),
    Trained(TokenizerChoice),
}

impl Resolved {
    /// Whether the tokenizer has an end-of-text token.
    pub fn has_end_of_text(&self) -> bool {
        match self {
            Self::Existing(tokenizer) => tokenizer.end_of_text().is_some(),
            Self::Trained(kind) => kind.has_end_of_text(),
        }
    }
}

impl TokenizerOrigin {
    /// The tokenizer; none if it has to be trained first.
    ///
    /// # Errors
    /// The file cannot be read or holds no usable tokenizer.
    pub fn existing(&self) -> Result<Option<Tokenizer>, TokenizerError> {
        Ok(match self.resolve()? {
            Resolved::Existing(tokenizer) => Some(tokenizer),
            Resolved::Trained(_) => None,
        })
    }

    /// The tokenizer, unless it has to be trained first.
    ///
    /// # Errors
    /// The file cannot be read or holds no usable tokenizer.
    pub(crate) fn resolve(&self) -> Result<Resolved, TokenizerError> {
        Ok(match self {
            Self::Kind(TokenizerChoice::Gpt2) => Resolved::Existing(Tokenizer::gpt2()),
            Self::Kind(TokenizerChoice::Byte) => Resolved::Existing(Tokenizer::byte()),
            Self::Kind(kind @ (TokenizerChoice::Bpe(_) | TokenizerChoice::Character)) => {
                Resolved::Trained(*kind)
            }
            Self::File(path) => Resolved::Existing(Tokenizer::from_file(file(path))?),
        })
    }
}

/// The tokenizer's file at a path: the path itself, or the file in that folder. In a run folder it is
/// that of the best checkpoint, or of the latest if none is the best; all have the same.
fn file(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.into();
    }
    let own = path.join(TOKENIZER_FILE);
    if own.exists() {
        return own;
    }
    ["best", "latest"]
        .iter()
        .filter_map(|pointer| std::fs::read_to_string(path.join(pointer)).ok())
        .map(|name| {
            path.join("checkpoints")
                .join(name.trim())
                .join(TOKENIZER_FILE)
        })
        .find(|file| file.exists())
        .unwrap_or(own)
}

impl Default for TokenizerOrigin {
    fn default() -> Self {
        Self::Kind(TokenizerChoice::default())
    }
}

impl From<TokenizerChoice> for TokenizerOrigin {
    fn from(choice: TokenizerChoice) -> Self {
        Self::Kind(choice)
    }
}

impl FromStr for TokenizerOrigin {
    type Err = UnknownTokenizer;

    /// A kind, or a path: what contains a separator, ends in `.json`, or exists.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<TokenizerChoice>()
            .map(Self::Kind)
            .or_else(|unknown| {
                let is_path = text.contains(std::path::is_separator)
                    || text.ends_with(".json")
                    || (!text.is_empty() && Path::new(text).exists());
                if is_path {
                    Ok(Self::File(text.into()))
                } else {
                    Err(unknown)
                }
            })
    }
}

impl fmt::Display for TokenizerOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(choice) => choice.fmt(formatter),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_paths_are_told_apart() {
        for (text, origin) in [
            ("gpt2", TokenizerChoice::Gpt2.into()),
            ("bpe:300", TokenizerChoice::Bpe(300).into()),
            ("./gpt2", TokenizerOrigin::File("./gpt2".into())),
            ("mine.json", TokenizerOrigin::File("mine.json".into())),
            // The folder of this crate has it.
            ("src", TokenizerOrigin::File("src".into())),
        ] {
            assert_eq!(text.parse::<TokenizerOrigin>().unwrap(), origin);
            assert_eq!(origin.to_string(), text);
        }
        for text in ["", "gpt3", "bpe:5"] {
            let error = text.parse::<TokenizerOrigin>().unwrap_err().to_string();
            assert!(error.contains("the path of"), "{error}");
        }
    }

    #[test]
    fn a_tokenizer_is_found_in_a_file_and_in_each_kind_of_folder() {
        let root = tempfile::tempdir().unwrap();
        let letters = Tokenizer::characters(&"abc".chars().collect());
        let model = root.path().join("model");
        let run = root.path().join("run");
        let checkpoint = run.join("checkpoints/step-00000002");
        for folder in [&model, &checkpoint] {
            std::fs::create_dir_all(folder).unwrap();
            letters.save(folder.join(TOKENIZER_FILE)).unwrap();
        }
        std::fs::write(run.join("latest"), "step-00000002\n").unwrap();
        for path in [model.join(TOKENIZER_FILE), model, run] {
            let Resolved::Existing(found) = TokenizerOrigin::File(path).resolve().unwrap() else {
                panic!("a file holds a tokenizer");
            };
            assert_eq!(found.to_json(), letters.to_json());
        }
        let error = TokenizerOrigin::File(root.path().into()).resolve();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }

    #[test]
    fn kinds_that_are_trained_do_not_exist_yet() {
        for (kind, exists, has_end) in [
            (TokenizerChoice::Gpt2, true, true),
            (TokenizerChoice::Bpe(300), false, true),
            (TokenizerChoice::Byte, true, false),
            (TokenizerChoice::Character, false, false),
        ] {
            let resolved = TokenizerOrigin::from(kind).resolve().unwrap();
            assert_eq!(matches!(resolved, Resolved::Existing(_)), exists);
            assert_eq!(resolved.has_end_of_text(), has_end);
        }
    }
}
