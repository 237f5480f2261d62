//! A text file under any name, so in any format and compression.
//!
//! A plain text file comes out as it went in.

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
    if let Ok(documents) = documents::read(name, contents)
        && name == NAMES[0]
    {
        let read: String = documents
            .iter()
            .map(|Document { text, .. }| text.as_str())
            .collect();
        let contents = contents.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(contents);
        // A text that is too long is cut off at a character boundary.
        assert!(contents.starts_with(read.as_bytes()));
        assert!(read.len() == contents.len() || read.len() > 1_000_000);
    }
    place::clear();
}
