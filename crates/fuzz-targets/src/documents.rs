//! Reading a file of text, with what holds for every format.

use std::ops::ControlFlow;
use std::path::Path;

use data::progress::Silent;
use data::sources::{
    Document, OnError, ReadOptions, Source, SourceError, read_documents, read_file,
};

use crate::place;

/// The most text that is read of one input, in bytes: a compressed file may hold far more than it has.
pub(crate) const MOST_TEXT: usize = 1 << 20;

fn options() -> ReadOptions {
    ReadOptions {
        threads: 1,
        max_text_bytes: Some(MOST_TEXT as u64),
        ..ReadOptions::default()
    }
}

/// Reads bytes as a file of this name, and checks that
/// - an error names the file;
/// - documents are not empty, and the last one does not go on.
///
/// Ends after [`MOST_TEXT`] with the documents so far.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Document>, SourceError> {
    read_with(name, bytes, &options())
}

/// The same, without the records that cannot be read.
pub(crate) fn read_readable(name: &str, bytes: &[u8]) -> Result<Vec<Document>, SourceError> {
    let options = ReadOptions {
        on_error: OnError::Skip,
        ..options()
    };
    read_with(name, bytes, &options)
}

fn read_with(
    name: &str,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<Vec<Document>, SourceError> {
    let path = place::file(name, bytes);
    let mut documents: Vec<Document> = Vec::new();
    let mut text = 0;
    let read = read_file(&path, options, &mut |document| {
        text += document.text.len();
        documents.push(document);
        if text > MOST_TEXT {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match read {
        Ok(_) => {
            assert!(documents.iter().all(|document| {
                // A piece of white space may stand between others.
                document.continues || !document.text.is_empty()
            }));
            let last = documents.last();
            assert!(text > MOST_TEXT || last.is_none_or(|last| !last.continues));
            Ok(documents)
        }
        Err(error) => {
            assert_named(name, &error);
            Err(error)
        }
    }
}

/// Reads a file with threads, and checks that the text is the same as without them.
pub(crate) fn read_with_threads(path: &Path, without: &Result<Vec<Document>, SourceError>) {
    let mut text = String::new();
    let with = read_documents(
        &[Source::Path(path.to_owned())],
        &options(),
        &Silent,
        &mut |document: Document| -> Result<(), SourceError> {
            text.push_str(&document.text);
            Ok(())
        },
    );
    match (with, without) {
        (Ok((records, _)), Ok(documents)) => {
            assert_eq!(records.len(), 1, "one file has one record");
            let whole: String = documents.iter().map(|document| &*document.text).collect();
            assert_eq!(text, whole[..whole.floor_char_boundary(MOST_TEXT)]);
        }
        (Err(error), Ok(documents)) => {
            assert!(documents.is_empty(), "{error}");
            assert!(matches!(error, SourceError::NoDocuments { .. }), "{error}");
        }
        // Where there is enough text before it, the error is not reached.
        (Ok(_), Err(error)) => assert!(text.len() >= MOST_TEXT, "{error}"),
        // Threads read bzip2 block by block, so they notice damage at another byte than the serial reader.
        (
            Err(SourceError::Decompress { path: with, .. }),
            Err(SourceError::Decompress { path: without, .. }),
        ) => assert_eq!(&with, without),
        (Err(with), Err(without)) => assert_eq!(with.to_string(), without.to_string()),
    }
}

fn assert_named(name: &str, error: &SourceError) {
    let message = error.to_string();
    assert!(message.contains(name), "no file name in: {message}");
}
