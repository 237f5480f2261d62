//! What can be wrong with a run configuration, and how it is told.

use std::path::{Path, PathBuf};

/// Where a value of the configuration was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// At this line of the file, counted from 1.
    Line(usize),
    /// At this line, counted from 1, of another file that the file names.
    OtherFile(PathBuf, usize),
    /// In an override, as it was typed.
    Override(String),
    /// Nowhere: the key is missing.
    #[default]
    Nowhere,
}

/// One thing that is wrong with a run configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, with dots between the tables that it stands in; empty if it is not about a key.
    pub key: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong, and what would be accepted.
    pub message: String,
}

impl Problem {
    /// A problem of what was written at `origin`.
    pub(crate) fn new(key: &str, origin: &Origin, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            origin: origin.clone(),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Origin::Line(line) => write!(formatter, "line {line}: {}", self.message),
            Origin::OtherFile(path, line) => {
                write!(
                    formatter,
                    "{}, line {line}: {}",
                    path.display(),
                    self.message
                )
            }
            Origin::Override(typed) => write!(formatter, "--set {typed}: {}", self.message),
            Origin::Nowhere => formatter.write_str(&self.message),
        }
    }
}

/// Why a run configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The configuration has problems: all of them.
    #[error("{}: {}{}", path.display(), count(problems), list(problems))]
    Invalid {
        /// The file, or what stands for it.
        path: PathBuf,
        /// All that is wrong.
        problems: Vec<Problem>,
    },
    /// The configuration cannot be written as TOML.
    #[error("{path}: the configuration cannot be written as TOML: {reason}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        reason: String,
    },
}

impl ConfigError {
    /// The problems of a file, those with lines first, in the order of the lines.
    pub(crate) fn invalid(path: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| match problem.origin {
            Origin::Line(line) => line,
            _ => usize::MAX,
        });
        Self::Invalid {
            path: path.into(),
            problems,
        }
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem in the configuration".into(),
        many => format!("{many} problems in the configuration"),
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}
