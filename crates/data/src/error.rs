//! Errors of preparing and reading data.

use std::io;
use std::path::{Path, PathBuf};

use crate::folder::{TRAIN_FILE, VALIDATION_FILE};
use crate::sources::SourceError;
use crate::tokenizer::TokenizerError;

/// An error of preparing or reading data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tokenizer cannot be read, written or trained.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is nothing at the path.
    #[error(
        "{path}: there is no such file or folder; name a data folder, which `ldrop data prepare SOURCE... --out \
         {}` makes",
        in_shell(path)
    )]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// There is no prepared data.
    #[error(
        "{path} is not a data folder: `{missing}` is missing; make one with `ldrop data prepare \
         SOURCE... --out {path}`"
    )]
    Missing {
        /// The data folder.
        path: PathBuf,
        /// The missing file.
        missing: &'static str,
    },
    /// There is text, but it has not been prepared.
    #[error(
        "{path} is {what}, not a data folder; make one with `ldrop data prepare {} --out {}`, and name \
         that",
        in_shell(path), in_shell(&suggested_folder(path))
    )]
    NotPrepared {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// A file of a data folder is damaged.
    #[error("{path} is damaged: expected {expected}, found {found}; re-run `ldrop data prepare`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The expected content.
        expected: String,
        /// The content found.
        found: String,
    },
    /// The folder was made by another program, in a format that cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The reason, and what to do.
        reason: String,
    },
    /// More tokens were asked for than there are.
    #[error("{path} has {tokens} tokens, but {needed} are needed; {}", more_tokens(path, *tokens, *needed))]
    TooShort {
        /// The token file.
        path: PathBuf,
        /// Number of its tokens.
        tokens: usize,
        /// Number of tokens needed.
        needed: usize,
    },
    /// The same file is in the training text and in the validation text.
    #[error(
        "{validation} is in the validation text and, as {train}, in the training text: the model would be \
         evaluated on what it has learned; leave it out of one of the two"
    )]
    Shared {
        /// The file's name in the training text.
        train: String,
        /// Its name in the validation text.
        validation: String,
    },
    /// There would be no training text.
    #[error(
        "{path} would have no training text: {bytes} bytes of text were read, and the share \
         {validation} at their end is for validation; name more text, or choose a smaller validation share \
         or a larger limit of text"
    )]
    NoTokens {
        /// The data folder.
        path: PathBuf,
        /// Bytes of text.
        bytes: u64,
        /// The share for validation.
        validation: f64,
    },
    /// A value is out of range.
    #[error("`{name}` is {found}: expected {expected}")]
    Value {
        /// The name of the value.
        name: &'static str,
        /// The value.
        found: String,
        /// The accepted range.
        expected: &'static str,
    },
    /// The folder to write to has other content.
    #[error(
        "{path} holds `{foreign}`, which `ldrop data prepare` did not write; choose another \
         folder, or move its contents away"
    )]
    Occupied {
        /// The folder, or the file in its place.
        path: PathBuf,
        /// The other content.
        foreign: String,
    },
    /// A part cannot be merged.
    #[error("{path} cannot be merged: {reason}")]
    Merge {
        /// The part.
        path: PathBuf,
        /// The reason, and what to do.
        reason: String,
    },
    /// Another process is preparing the same folder.
    #[error("{path} is being prepared by another process; wait for it, or choose another folder")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

/// How a token file gets more tokens.
fn more_tokens(path: &Path, tokens: usize, needed: usize) -> String {
    let of_part = match path.file_name().and_then(|name| name.to_str()) {
        Some(TRAIN_FILE) if tokens == 0 => {
            return "its folder has no training text, as one that was prepared without SOURCE is for \
                    evaluations only; name a folder that `ldrop data prepare SOURCE...` made"
                .into();
        }
        Some(TRAIN_FILE) => "prepare more text, or choose a smaller validation share",
        Some(VALIDATION_FILE) => {
            "prepare more text, or choose a larger validation share (`--validation`) or a validation \
             text of its own (`--validation-source`)"
        }
        _ => return "it ends before its description says".into(),
    };
    // A window has one token more than the context; two are the fewest that can be used.
    match needed {
        0..=2 => of_part.into(),
        _ => format!("{of_part}, or a shorter context"),
    }
}

/// The data folder that is suggested for a text.
pub fn suggested_folder(text: &Path) -> PathBuf {
    let name = text.file_name().and_then(|name| name.to_str());
    // Of `wiki.xml.bz2` the first part, but not the empty one of a hidden file.
    let stem = name.and_then(|name| name.split('.').find(|part| !part.is_empty()));
    Path::new("data").join(stem.unwrap_or("text"))
}

/// A path as it is typed in a shell.
pub fn in_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

impl DataError {
    /// Adds the path to an error of reading.
    pub(crate) fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read {
            path: path.into(),
            source,
        }
    }

    /// Adds the path to an error of writing.
    pub(crate) fn write(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write {
            path: path.into(),
            source,
        }
    }
}
