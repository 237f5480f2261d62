//! A Parquet file with a text column.

use crate::documents;

/// Reads the column `text`.
pub fn run(bytes: &[u8]) {
    // The file's metadata alone decides what is read; documents are checked where they are read.
    let _ = documents::read("rows.parquet", bytes);
}
