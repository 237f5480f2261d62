//! Reading a file of text, with what holds for every format.

use data::progress::Silent;
use data::sources::{Document, ReadOptions, Source, SourceError, read_documents};

use crate::place;

/// The most text that is read of one input, in bytes: a compressed file may hold far more than it has.
const MOST_TEXT: u64 = 1 << 20;

/// Reads bytes as a file of this name, and checks that
/// - an error names the file;
/// - documents are not empty and the last one does not go on;
/// - the record tells of this one file, and not of more bytes than it has.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Document>, SourceError> {
    let path = place::file(name, bytes);
    let options = ReadOptions {
        threads: 1,
        max_text_bytes: Some(MOST_TEXT),
        ..ReadOptions::default()
    };
    let mut documents: Vec<Document> = Vec::new();
    let read = read_documents(
        &[Source::Path(path)],
        &options,
        &Silent,
        &mut |document| -> Result<(), SourceError> {
            documents.push(document);
            Ok(())
        },
    );
    match read {
        Ok((records, _)) => {
            assert_eq!(records.len(), 1, "one file has one record");
            assert!(records[0].bytes <= bytes.len() as u64);
            assert!(documents.iter().all(|document| !document.text.is_empty()));
            assert!(documents.last().is_some_and(|last| !last.continues));
            let text: usize = documents.iter().map(|document| document.text.len()).sum();
            assert!(text as u64 <= MOST_TEXT);
            Ok(documents)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(name), "no file name in: {message}");
            Err(error)
        }
    }
}
