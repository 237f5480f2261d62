//! A Parquet file with a text column.

use crate::documents;

/// How an uncompressed file begins and ends. Compressed ones are read by the target `text_file`: the window
/// that a zstd file claims is larger than what a page of Parquet may claim.
const MARK: &[u8] = b"PAR1";

/// Reads the column `text`.
pub fn run(bytes: &[u8]) {
    if !bytes.starts_with(MARK) {
        return;
    }
    // The file's metadata alone decides what is read; documents are checked where they are read.
    let _ = documents::read("rows.parquet", bytes);
}
