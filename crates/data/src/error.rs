//! Errors of preparing and reading data.

use std::io;
use std::path::{Path, PathBuf};

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
    #[error(
        "{path} has {tokens} tokens, but {needed} are needed; prepare more text, or choose a \
         shorter context or a larger validation share"
    )]
    TooShort {
        /// The token file.
        path: PathBuf,
        /// Number of its tokens.
        tokens: usize,
        /// Number of tokens needed.
        needed: usize,
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
