//! A dump in MediaWiki's XML export format.
//!
//! It holds at most one document for each of its pages.

use crate::documents;

/// Reads a dump.
pub fn run(bytes: &[u8]) {
    if let Ok(documents) = documents::read("dump.xml", bytes) {
        let pages = bytes.windows(5).filter(|window| window == b"<page");
        assert!(documents.len() <= pages.count());
    }
}
