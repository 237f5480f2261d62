//! JSON lines: one object a line, with a text under the key `text`.
//!
//! The texts are not longer than the file, a file whose only line is such an object gives its text, and
//! leaving out what cannot be read changes nothing where everything can.

use data::sources::{Document, SourceError};
use serde_json::Value;

use crate::documents;

/// Reads JSON lines.
pub fn run(bytes: &[u8]) {
    let read = documents::read("lines.jsonl", bytes);
    check(&read, documents::read_readable("lines.jsonl", bytes), bytes);
    if !bytes.contains(&b'\n')
        && let Some(text) = text(bytes)
    {
        let documents = read.expect("this is an object with a text");
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0].text, text);
    }
}

/// The text of an object, as another reader finds it; none if there is no text.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(mut object)) => match object.remove("text") {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Checks what holds for all JSON.
pub(crate) fn check(
    read: &Result<Vec<Document>, SourceError>,
    readable: Result<Vec<Document>, SourceError>,
    bytes: &[u8],
) {
    if let Ok(documents) = read {
        let text: usize = documents.iter().map(|document| document.text.len()).sum();
        assert!(text <= bytes.len());
        let readable = readable.expect("all of this can be read");
        assert_eq!(&readable, documents);
    }
}
