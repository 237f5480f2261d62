//! What can go wrong between sources and batches.

use std::io;
use std::path::{Path, PathBuf};

use crate::sources::SourceError;
use crate::tokenizer::TokenizerError;

/// What can go wrong when data is prepared or read.
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
        "{path} holds no data: `{missing}` is not there; make it with `ldrop data prepare \
         SOURCE... --out {path}`"
    )]
    Missing {
        /// The data folder.
        path: PathBuf,
        /// The file that is not there.
        missing: &'static str,
    },
    /// A file of a data folder is not what it should be.
    #[error("{path} is damaged: expected {expected}, found {found}; re-run `ldrop data prepare`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The folder was made by a program that this one cannot read from.
    #[error("{path} is of another kind: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
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
        /// How many tokens it has.
        tokens: usize,
        /// How many were needed.
        needed: usize,
    },
    /// A value that nothing can be done with.
    #[error("`{name}` is {found}: expected {expected}")]
    Value {
        /// What the value is called.
        name: &'static str,
        /// What was found.
        found: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The folder to write to holds something else.
    #[error(
        "{path} holds `{foreign}`, which `ldrop data prepare` did not write; choose another \
         folder, or move its contents away"
    )]
    Occupied {
        /// The folder, or the file in its place.
        path: PathBuf,
        /// What it holds.
        foreign: String,
    },
    /// Another process is preparing the same folder.
    #[error("{path} is being prepared by another process; wait for it, or choose another folder")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

impl DataError {
    /// Turns what the operating system says about reading `path` into an error.
    pub(crate) fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read {
            path: path.into(),
            source,
        }
    }

    /// Turns what the operating system says about writing `path` into an error.
    pub(crate) fn write(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write {
            path: path.into(),
            source,
        }
    }
}
