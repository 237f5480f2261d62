//! One text column of a Parquet file.

use std::fs::File;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{ConvertedType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::compression::Compression;
use super::input_stream::{self, InputStream, SharedMeter, read_error};
use super::left_out::Reason;
use super::parquet_pages;
use super::pipeline::{Emit, Halt, RawDocument};
use super::records::Records;
use super::{ReadOptions, SourceError};
use crate::progress::{Progress, Silent};

/// Rows that are decoded together.
const BATCH_ROWS: usize = 64;

/// The number of columns that an error names.
const COLUMNS_NAMED: usize = 20;

/// Reads one document from each row of the file that `stream` has begun to read. Null texts are skipped.
/// Only one page of the column is in memory. `shown` is the part of the progress that is shown already.
pub(super) fn read(
    stream: InputStream<'_>,
    shown: u64,
    options: &ReadOptions,
    meter: &SharedMeter,
    progress: &dyn Progress,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let (path, compression) = (stream.path.clone(), stream.compression);
    drop(stream);
    let file = seekable(&path, compression, meter)?;
    let raw_bytes = meter.borrow().bytes;
    let mut rows = Rows {
        records: Records {
            path: path.clone(),
            column: &options.text_column,
            on_error: options.on_error,
        },
        row: 0,
        raw_bytes,
        advanced: shown.min(raw_bytes),
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
    records: Records<'a>,
    /// Rows read so far.
    row: u64,
    raw_bytes: u64,
    advanced: u64,
    progress: &'a dyn Progress,
}

impl Rows<'_> {
    fn read(&mut self, file: File, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let again = file.try_clone().map_err(|error| self.wrong(error))?;
        let reader = SerializedFileReader::new(file).map_err(|error| self.wrong(error))?;
        let metadata = reader.metadata();
        let index = self.column_index(metadata.file_metadata().schema_descr())?;
        let total = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        for group in 0..metadata.num_row_groups() {
            let details = metadata.row_group(group);
            let rows = u64::try_from(details.num_rows()).unwrap_or(0);
            parquet_pages::check(&again, details.column(index))
                .map_err(|reason| self.wrong(reason))?;
            let group = reader
                .get_row_group(group)
                .map_err(|error| self.wrong(error))?;
            let column = group
                .get_column_reader(index)
                .map_err(|error| self.wrong(error))?;
            let ColumnReader::ByteArrayColumnReader(column) = column else {
                return Err(self.wrong("the text column changes its type").into());
            };
            let present = details.column(index).column_descr().max_def_level();
            self.read_group(column, present, rows, total, emit)?;
        }
        self.progress.advance(self.raw_bytes - self.advanced);
        Ok(())
    }

    /// Reads a row group. A row has a text if its level is `present`.
    fn read_group(
        &mut self,
        mut column: ColumnReaderImpl<ByteArrayType>,
        present: i16,
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
            let mut values = values.drain(..);
            for offset in 0..records {
                // A column that cannot be null has no levels.
                let is_present = levels.get(offset).is_none_or(|&level| level == present);
                let value = if is_present { values.next() } else { None };
                self.emit_row(value, emit)?;
                self.row += 1;
            }
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

    fn emit_row(&self, value: Option<ByteArray>, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let Some(value) = value else {
            let example = format!("{}, row {}", self.records.path.display(), self.row + 1);
            return self.records.left_out(Reason::NoText, example, emit);
        };
        match std::str::from_utf8(value.data()) {
            Ok(text) => emit(RawDocument::Text {
                text: text.to_owned(),
                continues: false,
            }),
            Err(error) => {
                let at = error.valid_up_to();
                let error = self.wrong(format!("byte {at} of the text is not valid UTF-8"));
                self.records.unreadable(error, emit)
            }
        }
    }

    /// Estimates the bytes done: the share of rows done is taken as the share of the file.
    fn advance(&mut self, total: u64) {
        let share = (self.row as f64 / total.max(1) as f64).min(1.0);
        let done = ((self.raw_bytes as f64 * share) as u64).clamp(self.advanced, self.raw_bytes);
        self.progress.advance(done - self.advanced);
        self.advanced = done;
    }

    fn column_index(&self, schema: &SchemaDescriptor) -> Result<usize, SourceError> {
        let wanted = self.records.column;
        let columns = schema.columns();
        let named = columns
            .iter()
            .position(|column| column.path().string() == wanted);
        let Some(index) = named else {
            let inside = columns.iter().map(|column| column.path().string());
            let inside: Vec<String> = inside
                .filter(|path| {
                    path.strip_prefix(wanted)
                        .is_some_and(|rest| rest.starts_with('.'))
                })
                .take(COLUMNS_NAMED)
                .collect();
            if !inside.is_empty() {
                return Err(self.wrong(format!(
                    "column '{wanted}' is not text: it is a list or a group of {}",
                    inside.join(", ")
                )));
            }
            let names = columns.iter().map(|column| column.path().string());
            let names: Vec<String> = names.take(COLUMNS_NAMED).collect();
            return Err(self.wrong(format!(
                "no text column '{wanted}'; the columns are: {}",
                names.join(", ")
            )));
        };
        let column = schema.column(index);
        if column.max_rep_level() != 0 {
            return Err(self.wrong(format!("column '{wanted}' holds lists, not text")));
        }
        let is_number = matches!(
            column.converted_type(),
            ConvertedType::DECIMAL | ConvertedType::BSON | ConvertedType::INTERVAL
        );
        if column.physical_type() != Type::BYTE_ARRAY || is_number {
            let found = match column.converted_type() {
                ConvertedType::NONE => column.physical_type().to_string(),
                converted => converted.to_string(),
            };
            return Err(self.wrong(format!("column '{wanted}' holds {found}, not text")));
        }
        Ok(index)
    }

    fn wrong(&self, reason: impl ToString) -> SourceError {
        SourceError::Parquet {
            path: self.records.path.clone(),
            row: self.row + 1,
            reason: reason.to_string(),
        }
    }
}
