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
    pub(crate) fn invalid(path: &Path, problems: Vec<Problem>) -> Self {
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

/// How alike two words must be for one to be offered in place of the other, from 0 to 1.
pub(crate) const ALIKE: f64 = 0.6;

/// How alike a key of another table must be: it takes more to believe in two mistakes.
const ALIKE_ELSEWHERE: f64 = 0.85;

/// The one of `known` that is most like `found`, if any is at all like it; of equals, the one that begins
/// most like it.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str], alike: f64) -> Option<&'a str> {
    known
        .iter()
        .map(|&word| (strsim::normalized_damerau_levenshtein(found, word), word))
        .filter(|&(likeness, _)| likeness >= alike)
        .max_by(|left, right| {
            let begins = |word: &str| {
                let pairs = found.chars().zip(word.chars());
                pairs.take_while(|(left, right)| left == right).count()
            };
            let likeness = left.0.total_cmp(&right.0);
            likeness.then_with(|| begins(left.1).cmp(&begins(right.1)))
        })
        .map(|(_, word)| word)
}

/// The end of a message about an unknown word: what was probably meant, or all that is known.
pub(crate) fn suggestion(found: &str, known: &[&str]) -> String {
    match nearest(found, known, ALIKE) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("expected one of {}", quoted(known)),
    }
}

/// The message about an unknown key of the table `table` (empty: the top level).
///
/// Names the nearest key of that table, or else a key of that name in another table, or else all
/// keys of the table.
pub(super) fn unknown_key(table: &str, key: &str, known: &[&str], everywhere: &[String]) -> String {
    let full = |key: &str| {
        if table.is_empty() {
            key.into()
        } else {
            format!("{table}.{key}")
        }
    };
    let unknown = format!("unknown key `{}`", full(key));
    if let Some(near) = nearest(key, known, ALIKE) {
        return format!("{unknown}; did you mean `{}`?", full(near));
    }
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
    let elsewhere = everywhere
        .iter()
        .map(|path| {
            (
                strsim::normalized_damerau_levenshtein(key, &last(path)),
                path,
            )
        })
        .filter(|&(likeness, _)| likeness >= ALIKE_ELSEWHERE)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match elsewhere {
        Some((_, path)) => format!("{unknown}; did you mean `{path}`?"),
        None if known.is_empty() => format!("{unknown}; there are no keys here"),
        None => format!("{unknown}; the keys here are {}", quoted(known)),
    }
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
