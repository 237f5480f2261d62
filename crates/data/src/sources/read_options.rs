//! How sources are read, as the options of the command line say it.

use std::fmt;
use std::path::PathBuf;

/// How the files of sources are to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// As their names and contents say; an error where these differ.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// One JSON object on each line.
    JsonLines,
    /// A JSON array of objects, or objects one after another.
    Json,
    /// Parquet.
    Parquet,
    /// Dumps of MediaWiki.
    Wikipedia,
}

/// The name that `--format` has for it. Shards store it, so it stays.
impl fmt::Display for FileFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::JsonLines => "jsonl",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Wikipedia => "wikipedia",
        })
    }
}

/// What happens to a record that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is an error.
    #[default]
    Stop,
    /// It is left out and counted.
    Skip,
}

/// The name that `--on-error` has for it. Shards store it, so it stays.
impl fmt::Display for OnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
        })
    }
}

/// How sources are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Name of the column (Parquet) or key (JSON lines) that holds the text.
    pub text_column: String,
    /// The format of all files of paths and of datasets.
    pub format: FileFormat,
    /// What happens to a record of JSON or Parquet that cannot be read.
    pub on_error: OnError,
    /// A folder that is no source although it may lie within one: the one that is being prepared.
    pub out: Option<PathBuf>,
    /// Number of threads that turn raw input into text; at least one is used. As many more, at most four,
    /// read files ahead.
    pub threads: usize,
    /// The variant that is chosen where a wiki's text gives several, for example `zh-tw` or `sr-el`; if
    /// empty, the first one of the wiki's language.
    pub language_variant: String,
    /// Stop, at a character boundary, after this many bytes of text from all sources together.
    pub max_text_bytes: Option<u64>,
}

impl Default for ReadOptions {
    /// The column `text`, all processors, no limit.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            text_column: "text".to_owned(),
            format: FileFormat::Auto,
            on_error: OnError::Stop,
            out: None,
            threads,
            language_variant: String::new(),
            max_text_bytes: None,
        }
    }
}
