//! JSON lines: one object a line, with a text under the key `text`.
//!
//! The texts are not longer than the file, and a file whose only line is such an object gives its text.

use serde_json::Value;

use crate::documents;

/// Reads JSON lines.
pub fn run(bytes: &[u8]) {
    let read = documents::read("lines.jsonl", bytes);
    if let Ok(documents) = &read {
        let text: usize = documents.iter().map(|document| document.text.len()).sum();
        assert!(text <= bytes.len());
    }
    // What another reader takes for an object with a text is one.
    if let Ok(Value::Object(object)) = serde_json::from_slice(bytes)
        && !bytes.contains(&b'\n')
        && let Some(Value::String(text)) = object.get("text")
        && !text.trim().is_empty()
    {
        let documents = read.expect("this is an object with a text");
        assert_eq!(documents.len(), 1);
        assert_eq!(&documents[0].text, text);
    }
}
