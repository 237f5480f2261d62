//! One text column of a Parquet file.

use std::fs::File;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::ByteArrayType;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::SourceError;
use super::file_format::Compression;
use super::input_stream::{self, SharedMeter, read_error};
use super::pipeline::{Emit, Halt, RawDocument};
use crate::progress::{Progress, Silent};

/// Rows that are decoded together.
const BATCH_ROWS: usize = 64;

/// Reads one document from each row. Null texts are skipped. Only one page of the column is in memory.
pub(super) fn read(
    path: &Path,
    compression: Compression,
    column: &str,
    meter: &SharedMeter,
    progress: &dyn Progress,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let file = seekable(path, compression, meter)?;
    let mut rows = Rows {
        path,
        column,
        row: 0,
        raw_bytes: meter.borrow().bytes,
        advanced: 0,
        progress,
    };
    // The decoder may panic on damaged pages; that is reported as an error of the input.
    match catch_unwind(AssertUnwindSafe(|| rows.read(file, emit))) {
        Ok(outcome) => outcome,
        Err(_) => Err(rows
            .wrong("the file is damaged: its decoder gave up")
            .into()),
    }
}

/// Opens a file. Parquet is read from the end, so a compressed file is first unpacked to a temporary
/// one. In both cases the meter counts all raw bytes.
fn seekable(
    path: &Path,
    compression: Compression,
    meter: &SharedMeter,
) -> Result<File, SourceError> {
    let failed = |reason| SourceError::Read {
        path: path.to_owned(),
        reason,
    };
    let mut stream = input_stream::open(path, compression, meter, &Silent)?;
    if compression == Compression::None {
        std::io::copy(&mut stream.reader, &mut std::io::sink())
            .map_err(|error| read_error(path, &error))?;
        return File::open(path).map_err(failed);
    }
    let mut unpacked = tempfile::tempfile().map_err(failed)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = stream
            .reader
            .read(&mut buffer)
            .map_err(|error| read_error(path, &error))?;
        if read == 0 {
            break;
        }
        std::io::Write::write_all(&mut unpacked, &buffer[..read]).map_err(failed)?;
    }
    unpacked.rewind().map_err(failed)?;
    Ok(unpacked)
}

struct Rows<'a> {
    path: &'a Path,
    column: &'a str,
    /// Rows read so far.
    row: u64,
    raw_bytes: u64,
    advanced: u64,
    progress: &'a dyn Progress,
}

impl Rows<'_> {
    fn read(&mut self, file: File, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let reader = SerializedFileReader::new(file).map_err(|error| self.wrong(error))?;
        let metadata = reader.metadata();
        let index = self.column_index(metadata.file_metadata().schema_descr())?;
        let total = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        for group in 0..metadata.num_row_groups() {
            let rows = u64::try_from(metadata.row_group(group).num_rows()).unwrap_or(0);
            let group = reader
                .get_row_group(group)
                .map_err(|error| self.wrong(error))?;
            let column = group
                .get_column_reader(index)
                .map_err(|error| self.wrong(error))?;
            let ColumnReader::ByteArrayColumnReader(column) = column else {
                return Err(self.wrong("the text column changes its type").into());
            };
            self.read_group(column, rows, total, emit)?;
        }
        self.progress.advance(self.raw_bytes - self.advanced);
        Ok(())
    }

    fn read_group(
        &mut self,
        mut column: ColumnReaderImpl<ByteArrayType>,
        rows: u64,
        total: u64,
        emit: &mut Emit<'_>,
    ) -> Result<(), Halt> {
        let end = self.row.saturating_add(rows);
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        loop {
            levels.clear();
            values.clear();
            let (records, _, _) = column
                .read_records(BATCH_ROWS, Some(&mut levels), None, &mut values)
                .map_err(|error| self.wrong(error))?;
            if records == 0 {
                break;
            }
            let first = self.row;
            for (offset, value) in values.iter().enumerate() {
                // If the batch has nulls, this may be a row shortly before the one with the problem.
                self.row = first + offset as u64;
                let text = std::str::from_utf8(value.data()).map_err(|error| {
                    self.wrong(format!(
                        "byte {} of the text is not valid UTF-8",
                        error.valid_up_to()
                    ))
                })?;
                emit(RawDocument::Text {
                    text: text.to_owned(),
                    continues: false,
                })?;
            }
            self.row = first + records as u64;
            self.advance(total);
        }
        if self.row == end {
            Ok(())
        } else {
            Err(self
                .wrong(format!("the row group should end at row {end}"))
                .into())
        }
    }

    /// Estimates the bytes done: the share of rows done is taken as the share of the file.
    fn advance(&mut self, total: u64) {
        let share = (self.row as f64 / total.max(1) as f64).min(1.0);
        let done = ((self.raw_bytes as f64 * share) as u64).clamp(self.advanced, self.raw_bytes);
        self.progress.advance(done - self.advanced);
        self.advanced = done;
    }

    fn column_index(
        &self,
        schema: &parquet::schema::types::SchemaDescriptor,
    ) -> Result<usize, SourceError> {
        let named = schema
            .columns()
            .iter()
            .position(|column| column.path().string() == self.column);
        let Some(index) = named else {
            let names: Vec<_> = schema
                .columns()
                .iter()
                .take(20)
                .map(|column| column.path().string())
                .collect();
            return Err(self.wrong(format!(
                "no text column '{}'; the columns are: {}",
                self.column,
                names.join(", ")
            )));
        };
        let column = schema.column(index);
        if column.physical_type() != Type::BYTE_ARRAY || column.max_rep_level() != 0 {
            let found = column.physical_type();
            return Err(self.wrong(format!(
                "column '{}' holds {found} or lists, not text",
                self.column
            )));
        }
        Ok(index)
    }

    fn wrong(&self, reason: impl ToString) -> SourceError {
        SourceError::Parquet {
            path: self.path.to_owned(),
            row: self.row + 1,
            reason: reason.to_string(),
        }
    }
}
