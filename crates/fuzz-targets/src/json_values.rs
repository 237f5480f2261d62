//! A JSON array of objects, or objects one after another, over any number of lines.
//!
//! What holds for [JSON lines](crate::json_lines) holds here too, and an array whose only element is an
//! object with a text gives that text.

use crate::{documents, json_lines};

/// Reads JSON.
pub fn run(bytes: &[u8]) {
    let read = documents::read("values.json", bytes);
    let readable = documents::read_readable("values.json", bytes);
    json_lines::check(&read, readable, bytes);
    let inner = bytes
        .strip_prefix(b"[")
        .and_then(|bytes| bytes.strip_suffix(b"]"));
    if let Some(text) = inner.and_then(json_lines::text) {
        let documents = read.expect("this is an array of an object with a text");
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0].text, text);
    }
}
