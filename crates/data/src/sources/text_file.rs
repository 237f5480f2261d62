//! Reads one file: finds out what it is, and reads it in that format.

use std::path::Path;

use super::compression::Compression;
use super::content::{self, Content, HEAD_BYTES, ZERO_BYTES};
use super::file_format::{self, Format, Named};
use super::input_stream::{self, InputStream, SharedMeter};
use super::left_out::Reason;
use super::pipeline::{Emit, Halt, RawDocument};
use super::workers::Workers;
use super::{
    FileFormat, OnError, ReadOptions, SourceError, json_lines, json_values, own_folders,
    parquet_footer, parquet_rows, plain_text, wikipedia_dump,
};
use crate::progress::{Progress, Silent};

/// Reads the documents of a file. With `workers`, they decode the blocks of a bzip2 file.
pub(super) fn read(
    path: &Path,
    options: &ReadOptions,
    workers: Option<&Workers>,
    meter: &SharedMeter,
    progress: &dyn Progress,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let (named, compression) = file_format::of_name(path);
    let mut stream = input_stream::open(path, compression, workers, meter, progress)?;
    let format = examine(&mut stream, named, compression, options.format)?.format;
    let trailing = stream.trailing_bytes();
    match format {
        Format::PlainText => plain_text::read(stream, emit),
        Format::JsonLines => json_lines::read(stream, options, emit),
        Format::JsonValues => json_values::read(stream, options, emit),
        Format::Parquet => {
            // It is read from its end, by a reader of its own that counts from the beginning.
            let already = meter.take().bytes;
            parquet_rows::read(stream, already, options, meter, progress, emit)
        }
        Format::WikipediaDump => wikipedia_dump::read(stream, &options.language_variant, emit),
    }?;
    match trailing.get() {
        0 => Ok(()),
        count => emit(RawDocument::LeftOut {
            reason: Reason::TrailingBytes,
            example: format!("{}: {count} bytes", path.display()),
        }),
    }
}

/// Why a file in a folder is left out; none if it is to be read.
///
/// # Errors
/// The file cannot be read, or it has to be read and is not what its name says.
pub(super) fn left_out(
    path: &Path,
    options: &ReadOptions,
) -> Result<Option<(Reason, String)>, SourceError> {
    let without_text = |why: &str| Ok(Some((Reason::FileWithoutText, why.to_owned())));
    let other = |why: &str| Ok(Some((Reason::OtherFormat, why.to_owned())));
    let (named, compression) = file_format::of_name(path);
    if options.format != FileFormat::Text
        && let Some(kind) = file_format::companion(path)
    {
        return other(kind);
    }
    let open = || input_stream::open(path, compression, None, &SharedMeter::default(), &Silent);
    let mut stream = match open() {
        Err(SourceError::Empty { .. }) => return without_text("empty"),
        stream => stream?,
    };
    // Whoever names a file so means its records.
    let is_meant =
        matches!(named, Named::JsonLines | Named::Parquet) && options.format == FileFormat::Auto;
    let examined = match examine(&mut stream, named, compression, options.format) {
        Err(SourceError::Empty { .. }) => return without_text("empty"),
        Err(error) if is_meant => return Err(error),
        Err(SourceError::GitLfsPointer { .. }) => {
            return Ok(Some((
                Reason::NotFetched,
                "a pointer of Git LFS".to_owned(),
            )));
        }
        Err(SourceError::Binary { .. }) => return without_text("binary"),
        Err(SourceError::OtherKind { kind, .. }) => {
            return without_text(kind.split(';').next().unwrap_or(kind));
        }
        Err(SourceError::UnclearFormat { name, content, .. }) => {
            return other(&format!("its name says {name}, its content is {content}"));
        }
        Err(SourceError::OwnFolder { kind, .. }) => {
            return Ok(Some((Reason::OwnFolder, format!("{kind} of this program"))));
        }
        examined => examined?,
    };
    let is_json =
        examined.is_json && matches!(examined.format, Format::JsonLines | Format::JsonValues);
    match examined.format {
        Format::Parquet if !examined.head.starts_with(b"PAR1") => other("not Parquet"),
        Format::Parquet => Ok(None),
        // A bad byte in records is a fault of one of them.
        _ if !is_json && !plain_text::looks_like_text(&examined.head) => {
            without_text("not UTF-8 text")
        }
        Format::JsonLines | Format::JsonValues
            if !is_meant
                && options.format == FileFormat::Auto
                && !begins_with_text(open()?, examined.format, options)? =>
        {
            let column = &options.text_column;
            other(&format!(
                "JSON without a text '{column}' in its first object"
            ))
        }
        _ => Ok(None),
    }
}

/// What a file turned out to be.
struct Examined {
    format: Format,
    /// Whether it shows or its name says that it is JSON.
    is_json: bool,
    head: Vec<u8>,
}

/// Finds the format of a file from its name and its first bytes, unless the user chose one.
fn examine(
    stream: &mut InputStream<'_>,
    named: Named,
    named_compression: Compression,
    choice: FileFormat,
) -> Result<Examined, SourceError> {
    let head = stream.peek(HEAD_BYTES)?;
    let path = || stream.path.clone();
    if head.is_empty() {
        return Err(SourceError::Empty { path: path() });
    }
    // Whatever format was asked for: it is the format of what has not been fetched.
    if content::is_git_lfs_pointer(&head) {
        return Err(SourceError::GitLfsPointer { path: path() });
    }
    if head.starts_with(parquet_footer::ENCRYPTED_MARK) && head.contains(&0) {
        return Err(SourceError::OtherKind {
            path: path(),
            kind: "encrypted Parquet; write it without encryption first",
        });
    }
    let content = Content::of_head(&head, head.len() < HEAD_BYTES);
    let chosen = file_format::of_choice(choice);
    let is_forced = match chosen {
        Some(Format::Parquet) => true,
        // Running text can begin with the letters that mark an archive.
        Some(Format::PlainText) => plain_text::looks_like_text(&head),
        Some(Format::JsonLines | Format::JsonValues) => is_damaged_json(&content, &head),
        None if named == Named::JsonLines => is_damaged_json(&content, &head),
        _ => false,
    };
    let content = match content {
        content if named == Named::Json => content.of_json_name(&head, head.len() < HEAD_BYTES),
        Content::Binary(_) if is_forced && chosen.is_none() => Content::JsonLines { lines: 1 },
        content => content,
    };
    let is_json = named == Named::JsonLines
        || matches!(
            content,
            Content::JsonLines { .. } | Content::JsonValues { .. }
        )
        || is_damaged_json(&content, &head);
    if let Content::Binary(kind) = content
        && !is_forced
    {
        let zero = head.iter().position(|&byte| byte == 0);
        return Err(match zero {
            Some(position) if kind == ZERO_BYTES => SourceError::Binary {
                path: path(),
                position: position as u64,
            },
            _ => SourceError::OtherKind { path: path(), kind },
        });
    }
    if let Some(format) = chosen {
        return Ok(Examined {
            format,
            is_json,
            head,
        });
    }
    if own_folders::is_page(&head) {
        return Err(SourceError::OwnFolder {
            path: path(),
            kind: "a report",
        });
    }
    match file_format::decide(named, named_compression, stream.compression, &content) {
        Ok(format) => Ok(Examined {
            format,
            is_json,
            head,
        }),
        Err(doubt) => Err(SourceError::UnclearFormat {
            path: path(),
            name: doubt.name,
            content: doubt.content,
        }),
    }
}

/// Whether a file with zero bytes has lines of JSON among them.
fn is_damaged_json(content: &Content, head: &[u8]) -> bool {
    *content == Content::Binary(ZERO_BYTES) && content::has_json_line(head)
}

/// Whether the first object of a JSON file has a text under the key.
fn begins_with_text(
    stream: InputStream<'_>,
    format: Format,
    options: &ReadOptions,
) -> Result<bool, SourceError> {
    let options = ReadOptions {
        on_error: OnError::Stop,
        ..options.clone()
    };
    let mut found = false;
    let mut first = |raw| match raw {
        RawDocument::Deferred { convert, .. } => convert(&mut |_| {
            found = true;
            Err(Halt::Closed)
        }),
        _ => {
            found = true;
            Err(Halt::Closed)
        }
    };
    let outcome = if format == Format::JsonLines {
        json_lines::read(stream, &options, &mut first)
    } else {
        json_values::read(stream, &options, &mut first)
    };
    match outcome {
        Err(Halt::Failed(error @ (SourceError::Read { .. } | SourceError::Decompress { .. }))) => {
            Err(error)
        }
        _ => Ok(found),
    }
}
