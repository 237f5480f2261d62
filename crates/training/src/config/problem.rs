//! Problems of a run configuration, and their messages.

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
    /// The key is missing.
    #[default]
    Nowhere,
}

/// One problem of a run configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key: tables and key, separated by dots. Empty if the problem is not about a key.
    pub key: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong, and which values are accepted.
    pub message: String,
}

impl Problem {
    /// A problem with the value written at `origin`.
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
    /// The configuration is not valid.
    #[error("{}: {}{}", path.display(), count(problems), list(problems))]
    Invalid {
        /// The file, or a name for the text.
        path: PathBuf,
        /// All problems.
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
    /// An error with all problems of a file, first those with lines, in the order of the lines.
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
