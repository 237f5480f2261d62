//! The data of an experiment: a prepared folder, or text to prepare.

use std::path::PathBuf;

use data::TokenizerOrigin;
use data::sources::Source;

/// How a prepared folder is named in words.
pub(super) const A_FOLDER: &str = "the data folder ";

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
    pub tokenizer: TokenizerOrigin,
    /// Share of the text for validation. Not used if there are `validation_sources`.
    pub validation: f64,
    /// The sources of the validation part, if it has its own.
    pub validation_sources: Vec<Source>,
    /// Stop after this many bytes of text.
    pub max_text_bytes: Option<u64>,
}

impl std::fmt::Display for DataChoice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(formatter, "{A_FOLDER}{}", path.display()),
            Self::Prepare(preparation) => {
                let list = |sources: &[Source]| {
                    let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
                    names.join(", ")
                };
                write!(
                    formatter,
                    "{}, tokenizer {}, ",
                    list(&preparation.sources),
                    preparation.tokenizer
                )?;
                match preparation.validation_sources.as_slice() {
                    [] => write!(
                        formatter,
                        "the last {}% for validation",
                        preparation.validation * 100.0
                    )?,
                    own => write!(formatter, "for validation {}", list(own))?,
                }
                match preparation.max_text_bytes {
                    Some(bytes) => write!(formatter, ", at most {bytes} bytes of text"),
                    None => Ok(()),
                }
            }
        }
    }
}
