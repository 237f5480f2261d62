//! The wikitext of one page.
//!
//! The text of an article is at most a constant times as long as its wikitext.

use data::sources::Document;

use crate::documents;

/// Bytes of text for each byte of wikitext. A short template can stand for a longer text, and an entity of
/// four bytes for a character of three.
const LONGEST: usize = 16;

/// Converts a page; bytes that are not UTF-8 are left alone.
pub fn run(bytes: &[u8]) {
    let Ok(wikitext) = std::str::from_utf8(bytes) else {
        return;
    };
    let dump = dump(wikitext);
    if let Ok(documents) = documents::read("page.xml", dump.as_bytes()) {
        assert!(documents.len() <= 1, "one page is one document");
        let Some(Document { text, .. }) = documents.first() else {
            return;
        };
        assert!(text.starts_with(TITLE), "no title in {text:?}");
        assert!(
            text.len() <= LONGEST * wikitext.len() + 100,
            "{} bytes of wikitext became {} of text",
            wikitext.len(),
            text.len()
        );
    }
}

const TITLE: &str = "A page";

/// A dump with one article.
pub(crate) fn dump(wikitext: &str) -> String {
    let mut escaped = String::with_capacity(wikitext.len() + 256);
    escaped.push_str("<mediawiki xml:lang=\"en\"><page><title>");
    escaped.push_str(TITLE);
    escaped.push_str("</title><ns>0</ns><revision><text>");
    for character in wikitext.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ => escaped.push(character),
        }
    }
    escaped.push_str("</text></revision></page></mediawiki>");
    escaped
}
