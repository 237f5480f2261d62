//! A column of a Parquet row group that is small enough to be decoded as a whole, by a worker.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use bytes::buf::{Buf, Reader};

use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};

use super::parquet_pages::Pages;
use super::parquet_texts::ColumnTexts;

/// The largest column of a row group that a worker decodes as a whole, in bytes before and after
/// decompression, with the texts that it decodes to. A larger one is decoded page by page on the reading
/// thread.
const LARGEST_COLUMN: u64 = 8 * 1024 * 1024;

/// A small column in memory.
pub(super) struct SmallColumn {
    bytes: ColumnBytes,
    chunk: ColumnChunkMetaData,
    /// The rows that the row group claims.
    rows: u64,
}

impl SmallColumn {
    /// Reads a column whose pages have been checked; none if its bytes are not few.
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
        Ok(Some(Self {
            bytes: ColumnBytes {
                start,
                bytes: bytes.into(),
            },
            chunk: chunk.clone(),
            rows,
        }))
    }

    /// Its rows, with those at its beginning decoded that are numbers in a dictionary. Says whether all its
    /// texts are small: few bytes of a file can repeat a long text many times.
    pub(super) fn texts(&self, pages: &Pages) -> Result<Option<(ColumnTexts, bool)>> {
        let bytes = Arc::new(self.bytes.clone());
        let reader = SerializedPageReader::new(bytes, &self.chunk, self.rows as usize, None)?;
        let Some(mut texts) = ColumnTexts::new(Box::new(reader), &self.chunk) else {
            return Ok(None);
        };
        let is_small = texts.decode_ahead(pages.references, LARGEST_COLUMN - pages.bytes);
        Ok(Some((texts, is_small)))
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
