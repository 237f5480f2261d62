//! Errors of sources of text.

use std::path::PathBuf;

use super::left_out::LeftOut;

/// An error of a source of text. Every variant names the file (or source) and, if there is one, the
/// position: in bytes of the decompressed text, or in lines or rows, counted from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A text does not name a source.
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
        /// The operating system's message.
        reason: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {reason}; use fewer with --threads")]
    Thread {
        /// The operating system's message.
        reason: std::io::Error,
    },
    /// The file has no bytes, packed or unpacked.
    #[error("{path} is empty: name a file with text")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A folder has no file with text.
    #[error(
        "{path} has no file with text (hidden files, and folders that this program wrote, are not \
         looked at)"
    )]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// All sources together have no document.
    #[error(
        "no text in {names}: nothing in it became a document{}",
        left_out.in_brackets()
    )]
    NoDocuments {
        /// The sources' names.
        names: String,
        /// What the sources do hold.
        left_out: Box<LeftOut>,
    },
    /// The file is not text.
    #[error(
        "{path} is binary: byte {position} is zero; plain text, JSON, Parquet and Wikipedia dumps can be read \
         (convert text in UTF-16 to UTF-8; fetch a file again that a download or a crash left half full)"
    )]
    Binary {
        /// The file.
        path: PathBuf,
        /// Offset of the first zero byte.
        position: u64,
    },
    /// The file is of a kind that cannot be read.
    #[error("{path} is {kind}")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The kind, and what to do with it.
        kind: &'static str,
    },
    /// The file only says where Git LFS keeps its content.
    #[error(
        "{path} is a pointer of Git LFS, its content has not been fetched: run `git lfs pull` in its \
         repository"
    )]
    GitLfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The format does not follow from name and content.
    #[error(
        "{path}: its name says {name}, its content is {content}; if you mean this file, say how to \
         read it with --format (text, jsonl, json, parquet or wikipedia)"
    )]
    UnclearFormat {
        /// The file.
        path: PathBuf,
        /// What the name says.
        name: String,
        /// What the content shows.
        content: String,
    },
    /// The source is a folder that this program wrote.
    #[error(
        "{path} is {kind} of this program, not a source of text; name the text that it was made from"
    )]
    OwnFolder {
        /// The folder.
        path: PathBuf,
        /// What kind of folder it is.
        kind: &'static str,
    },
    /// The text is not UTF-8.
    #[error("{path}: byte {position} is not valid UTF-8: convert the file to UTF-8 first")]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first invalid byte.
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
        /// The decompressor's message.
        reason: String,
    },
    /// The compressed stream cannot be read, though nothing shows that it is damaged.
    #[error(
        "{path} cannot be unpacked as {compression}: {reason}; unpack it with the program that made it"
    )]
    UnsupportedCompression {
        /// The file.
        path: PathBuf,
        /// bzip2, gzip or zstd.
        compression: &'static str,
        /// The decompressor's message.
        reason: String,
    },
    /// The dump is not well-formed XML, or not a MediaWiki dump.
    #[error("{path}: malformed Wikipedia dump at byte {position}: {reason}")]
    Xml {
        /// The file.
        path: PathBuf,
        /// Offset in the XML.
        position: u64,
        /// The problem.
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
    /// A document is too large.
    #[error("{path}: {what} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The page, line or row.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A record of a JSON file is invalid.
    #[error("{path}:{line}: {reason}")]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line where the record begins, counted from one.
        line: u64,
        /// The problem.
        reason: String,
    },
    /// A Parquet file is damaged or has no such text column.
    #[error("{path}, row {row}: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The row, counted from one. What concerns the whole file is reported at row 1.
        row: u64,
        /// The problem.
        reason: String,
    },
    /// There are more shards than files.
    #[error(
        "the sources have {files} files, too few for {shards} shards of at least one file each: \
         prepare at most {files} shards, or divide the files"
    )]
    TooManyShards {
        /// The number of shards.
        shards: u64,
        /// The number of files.
        files: u64,
    },
    /// None of this program's dependencies is on the disk.
    #[error(
        "no source of this program's dependencies in {path}: run `cargo fetch` in this program's folder, \
         or name files of your own in place of `cargo`"
    )]
    NoCargoSources {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The hub cannot be reached, or has no such data.
    #[error("hf:{repository}: {reason}")]
    Hub {
        /// `OWNER/NAME`.
        repository: String,
        /// The problem, and what to do.
        reason: String,
    },
}
