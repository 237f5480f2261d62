//! What can be wrong with a source of text.

use std::path::PathBuf;

/// What can be wrong with a source of text. Every variant names the file (or source) and, where
/// there is one, the position: bytes of the decompressed text, lines and rows counted from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// What was typed is no source.
    #[error("'{text}' is not a source: expected {expected}")]
    Invalid {
        /// What was typed.
        text: String,
        /// What would be one.
        expected: &'static str,
    },
    /// The file or folder cannot be opened or read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file has no bytes.
    #[error("{path} is empty (byte 0): name a file that holds text")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A folder has no file that holds text.
    #[error("{path} has no file that holds text (hidden, empty and binary files are skipped)")]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// All sources together have no document.
    #[error(
        "no text in {names}: nothing is left once markup, redirects and empty documents are gone"
    )]
    NoDocuments {
        /// The sources' names.
        names: String,
    },
    /// The file is not text.
    #[error(
        "{path} is binary: byte {position} is zero; known are plain text, JSON lines, Parquet and Wikipedia dumps"
    )]
    Binary {
        /// The file.
        path: PathBuf,
        /// Where the first zero byte is.
        position: u64,
    },
    /// The text is not UTF-8.
    #[error("{path}: byte {position} is not valid UTF-8: convert the file to UTF-8 first")]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first wrong byte.
        position: u64,
    },
    /// The compressed stream is cut off or damaged.
    #[error(
        "{path}: damaged or cut-off {compression} stream near byte {raw_position} of the file \
         (byte {position} of its contents): {reason}; fetch the file again"
    )]
    Decompress {
        /// The file.
        path: PathBuf,
        /// bzip2, gzip or zstd.
        compression: &'static str,
        /// Bytes of the file read so far.
        raw_position: u64,
        /// Bytes decompressed so far.
        position: u64,
        /// What the decompressor says.
        reason: String,
    },
    /// The dump is not well-formed XML, or not a MediaWiki dump.
    #[error("{path}: malformed Wikipedia dump at byte {position}: {reason}")]
    Xml {
        /// The file.
        path: PathBuf,
        /// Offset in the XML.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The dump ends before its end tag.
    #[error(
        "{path} ends at byte {position}, before </mediawiki>: the dump is cut off, fetch it again"
    )]
    DumpCutOff {
        /// The file.
        path: PathBuf,
        /// Length of the XML.
        position: u64,
    },
    /// One document is larger than anything sensible.
    #[error("{path}: {what} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Which page, line or row.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A line of a JSON lines file is not what it must be.
    #[error("{path}:{line}: {reason}")]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A Parquet file is damaged or has no such text column.
    #[error("{path}, row {row}: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The row, counted from one; 0 where the file's own description is wrong.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// None of this program's dependencies lies on the disk.
    #[error(
        "no source of this program's dependencies in {path}: run `cargo fetch` in this program's folder, \
         or name files of your own in place of `cargo`"
    )]
    NoCargoSources {
        /// Where they were looked for.
        path: PathBuf,
    },
    /// The hub cannot be reached, or has no such data.
    #[error("hf:{repository}: {reason}")]
    Hub {
        /// `OWNER/NAME`.
        repository: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}
