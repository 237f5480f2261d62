//! A column of a Parquet row group that is small enough to be decoded as a whole, by a worker.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use bytes::buf::{Buf, Reader};

use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};

use super::parquet_counts::CheckedPages;
use super::parquet_pages::{Pages, SHORTEST_ENTRY};
use super::parquet_rows::BATCH_ROWS;

/// The largest column of a row group that a worker decodes as a whole, in bytes before and after
/// decompression, with the texts that it decodes to. A larger one is decoded page by page on the reading
/// thread.
const LARGEST_COLUMN: u64 = 8 * 1024 * 1024;

/// A small column in memory.
pub(super) struct SmallColumn {
    bytes: ColumnBytes,
    chunk: ColumnChunkMetaData,
    /// The rows that the row group claims.
    pub(super) rows: u64,
}

impl SmallColumn {
    /// Reads a column whose pages have been checked; none if it is not small.
    pub(super) fn read(
        file: &mut File,
        chunk: &ColumnChunkMetaData,
        pages: &Pages,
        rows: u64,
    ) -> Result<Option<Self>> {
        let (start, length) = chunk.byte_range();
        if pages.bytes > LARGEST_COLUMN || length > LARGEST_COLUMN {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(length).read_to_end(&mut bytes)?;
        let column = Self {
            bytes: ColumnBytes {
                start,
                bytes: bytes.into(),
            },
            chunk: chunk.clone(),
            rows,
        };
        let left = LARGEST_COLUMN - pages.bytes;
        // Where this fails, the worker fails at the same row, and says so in its place.
        let is_small = pages.references == 0
            || column
                .repeated_bytes(pages.references, left)
                .map_or(true, |bytes| bytes <= left);
        Ok(is_small.then_some(column))
    }

    /// The bytes of the texts in the first `pages` data pages, which are numbers in a dictionary. Few bytes
    /// of a file can repeat a long text many times. Stops counting beyond `most`.
    fn repeated_bytes(&self, pages: usize, most: u64) -> Result<u64> {
        let ColumnReader::ByteArrayColumnReader(mut column) = self.reader(Some(pages))? else {
            return Ok(0);
        };
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (mut rows, mut bytes) = (0, 0);
        while rows <= self.rows && bytes <= most {
            levels.clear();
            values.clear();
            let (records, _, _) =
                column.read_records(BATCH_ROWS, Some(&mut levels), None, &mut values)?;
            if records == 0 {
                break;
            }
            rows += records as u64;
            let texts = values.iter().map(|text| text.len() as u64 + SHORTEST_ENTRY);
            bytes += texts.sum::<u64>();
        }
        Ok(bytes)
    }

    /// A reader of the first `pages` data pages, or of all.
    pub(super) fn reader(&self, pages: Option<usize>) -> Result<ColumnReader> {
        let bytes = Arc::new(self.bytes.clone());
        let reader = SerializedPageReader::new(bytes, &self.chunk, self.rows as usize, None)?;
        let checked = CheckedPages {
            pages: Box::new(reader),
            left: pages,
            present: self.present(),
        };
        let description = self.chunk.column_descr_ptr();
        Ok(get_column_reader(description, Box::new(checked)))
    }

    /// The level of a row that has a text.
    pub(super) fn present(&self) -> i16 {
        self.chunk.column_descr().max_def_level()
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> usize {
        self.bytes.bytes.len()
    }
}

/// The bytes of a column of a row group, at their place in the file.
#[derive(Clone)]
struct ColumnBytes {
    start: u64,
    bytes: Bytes,
}

impl ColumnBytes {
    fn from(&self, start: u64) -> Result<Bytes> {
        start
            .checked_sub(self.start)
            .and_then(|at| usize::try_from(at).ok())
            .filter(|&at| at <= self.bytes.len())
            .map(|at| self.bytes.slice(at..))
            .ok_or_else(|| ParquetError::General("a page lies outside of its column".into()))
    }
}

impl Length for ColumnBytes {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for ColumnBytes {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF(format!(
                "a page of {length} bytes has only {} in its column",
                bytes.len()
            )));
        }
        Ok(bytes.slice(..length))
    }
}
