//! The data of an experiment: a prepared folder, or text to prepare.

use std::path::PathBuf;

use data::TokenizerChoice;
use data::sources::Source;

/// The data of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub enum DataChoice {
    /// A prepared data folder.
    Folder(PathBuf),
    /// Text to prepare in the experiment's folder.
    Prepare(Preparation),
}

/// How the text of an experiment is prepared; see [`data::PrepareOptions`].
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// The sources of the text.
    pub sources: Vec<Source>,
    /// The tokenizer.
    pub tokenizer: TokenizerChoice,
    /// Share of the text for validation.
    pub validation: f64,
    /// Stop after this many bytes of text.
    pub max_text_bytes: Option<u64>,
}

impl std::fmt::Display for DataChoice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(formatter, "the data folder {}", path.display()),
            Self::Prepare(preparation) => {
                let sources: Vec<String> = preparation
                    .sources
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                write!(
                    formatter,
                    "{}, tokenizer {}, the last {}% for validation",
                    sources.join(", "),
                    preparation.tokenizer,
                    preparation.validation * 100.0
                )?;
                match preparation.max_text_bytes {
                    Some(bytes) => write!(formatter, ", at most {bytes} bytes of text"),
                    None => Ok(()),
                }
            }
        }
    }
}
