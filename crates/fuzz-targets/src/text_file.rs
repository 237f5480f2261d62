//! A text file under any name, so in any format and compression.
//!
//! A plain text file comes out as it went in, and threads change nothing.

use data::sources::Document;

use crate::{documents, place};

/// The names, which tell format and compression.
pub(crate) const NAMES: [&str; 12] = [
    "text.txt",
    "text.txt.bz2",
    "text.txt.gz",
    "text.txt.zst",
    "lines.jsonl.bz2",
    "lines.jsonl.gz",
    "lines.jsonl.zst",
    "dump.xml.bz2",
    "dump.xml.gz",
    "dump.xml.zst",
    "rows.parquet.zst",
    "array.json",
];

/// Reads a file: the first byte chooses the name, the others are its contents.
pub fn run(bytes: &[u8]) {
    let Some((&choice, contents)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(choice) % NAMES.len()];
    let read = documents::read(name, contents);
    documents::read_with_threads(&place::folder().join(name), &read);
    if let Ok(documents) = read
        && name == NAMES[0]
        && has_plain_text(contents)
    {
        let text: String = documents
            .iter()
            .map(|Document { text, .. }| text.as_str())
            .collect();
        let contents = contents.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(contents);
        assert_eq!(text.as_bytes(), contents);
    }
    place::clear();
}

/// Whether the contents of a file that is called text can be nothing else.
fn has_plain_text(contents: &[u8]) -> bool {
    let begin = contents.trim_ascii_start().first();
    begin.is_some_and(u8::is_ascii_alphanumeric) && !contents.starts_with(b"BZh")
}
