//! One text column of a Parquet file.

use std::fs::File;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::data_type::ByteArray;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::compression::Compression;
use super::input_stream::{self, InputStream, SharedMeter, read_error};
use super::left_out::{self, Reason};
use super::members::TrailingBytes;
use super::parquet_footer::{self, Footer};
use super::parquet_pages;
use super::parquet_small_column::SmallColumn;
use super::parquet_texts::ColumnTexts;
use super::pipeline::{Emit, Halt, RawDocument};
use super::records::Records;
use super::{ReadOptions, SourceError};
use crate::progress::{Progress, Silent};

/// The number of columns that an error names.
const COLUMNS_NAMED: usize = 20;

/// What is said of a file with encrypted columns.
const ENCRYPTED: &str = "the file is encrypted; write it without encryption first";

/// Reads one document from each row of the file that `stream` has begun to read. Null texts are skipped.
/// Memory holds a few row groups if they are small, else one page of the column. `shown` is the part of
/// the progress that is shown already.
pub(super) fn read(
    stream: InputStream<'_>,
    shown: u64,
    options: &ReadOptions,
    meter: &SharedMeter,
    progress: &dyn Progress,
    emit: &mut Emit<'_>,
) -> Result<(), Halt> {
    let (path, compression) = (stream.path.clone(), stream.compression);
    let trailing = stream.trailing_bytes();
    drop(stream);
    // What was read of a pipe is gone.
    if !std::fs::metadata(&path).is_ok_and(|details| details.is_file()) {
        return Err(SourceError::OtherKind {
            path,
            kind: "Parquet in a pipe; Parquet is read from its end, so name a file",
        }
        .into());
    }
    let file = seekable(&path, compression, meter, &trailing)?;
    let raw_bytes = meter.borrow().bytes;
    let mut rows = Rows {
        records: Records {
            path: path.clone(),
            column: options.text_column.clone(),
            on_error: options.on_error,
        },
        row: 0,
    };
    let mut shown = Shown {
        raw_bytes,
        advanced: shown.min(raw_bytes),
        progress,
    };
    guarded(&mut rows, |rows| rows.read(file, &mut shown, emit))
}

/// The decoder may panic on damaged pages; that is reported as an error of the input.
fn guarded(rows: &mut Rows, read: impl FnOnce(&mut Rows) -> Result<(), Halt>) -> Result<(), Halt> {
    match catch_unwind(AssertUnwindSafe(|| read(rows))) {
        Ok(outcome) => outcome,
        Err(_) => Err(rows
            .wrong("the file is damaged: its decoder gave up")
            .into()),
    }
}

/// Opens a file. Parquet is read from the end, so a compressed file is first unpacked to a temporary
/// one. In both cases the meter counts all raw bytes. `trailing` gets the number of those behind the last
/// compressed stream.
fn seekable(
    path: &Path,
    compression: Compression,
    meter: &SharedMeter,
    trailing: &TrailingBytes,
) -> Result<File, SourceError> {
    let failed = |reason| SourceError::Read {
        path: path.to_owned(),
        reason,
    };
    let mut stream = input_stream::open(path, compression, None, meter, &Silent)?;
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
    trailing.set(stream.trailing_bytes().get());
    unpacked.rewind().map_err(failed)?;
    Ok(unpacked)
}

/// How much progress is shown.
struct Shown<'a> {
    raw_bytes: u64,
    advanced: u64,
    progress: &'a dyn Progress,
}

impl Shown<'_> {
    /// Estimates the bytes done: the share of rows done is taken as the share of the file.
    fn advance(&mut self, row: u64, total: u64) {
        let share = (row as f64 / total.max(1) as f64).min(1.0);
        let done = ((self.raw_bytes as f64 * share) as u64).clamp(self.advanced, self.raw_bytes);
        self.progress.advance(done - self.advanced);
        self.advanced = done;
    }
}

struct Rows {
    records: Records,
    /// Rows read so far.
    row: u64,
}

impl Rows {
    fn read(
        &mut self,
        mut file: File,
        shown: &mut Shown<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Halt> {
        let again = file.try_clone().map_err(|error| self.wrong(error))?;
        match parquet_footer::kind(&file).map_err(|error| self.wrong(error))? {
            Footer::Plain => {
                parquet_footer::check(&file).map_err(|reason| self.wrong(reason))?;
            }
            Footer::CutOff => {
                return Err(self
                    .wrong("the file is cut off: it does not end in PAR1; fetch it again")
                    .into());
            }
            Footer::Encrypted => return Err(self.wrong(ENCRYPTED).into()),
        }
        let reader = SerializedFileReader::new(again).map_err(|error| self.wrong(error))?;
        let metadata = reader.metadata();
        let index = self.column_index(metadata.file_metadata().schema_descr())?;
        let column = metadata.file_metadata().schema_descr().column(index);
        let is_null = column.logical_type_ref() == Some(&LogicalType::Unknown);
        let total = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        for group in 0..metadata.num_row_groups() {
            let details = metadata.row_group(group);
            // Where there are no rows, the places of the columns mean nothing.
            if details.num_rows() == 0 {
                continue;
            }
            let rows = row_count(details);
            let chunk = details.column(index);
            let pages = parquet_pages::check(&file, chunk).map_err(|reason| {
                let is_encrypted = parquet_footer::has_encrypted_columns(&file);
                self.wrong(if is_encrypted {
                    ENCRYPTED.to_owned()
                } else {
                    reason
                })
            })?;
            if is_null {
                if pages.rows != rows {
                    let found = pages.rows;
                    let reason =
                        format!("a row group claims {rows} rows, and its pages hold {found}");
                    return Err(self.wrong(reason).into());
                }
                self.leave_out(rows, emit)?;
                shown.advance(self.row, total);
                continue;
            }
            let small = SmallColumn::read(&mut file, chunk, &pages, rows);
            let texts = match small.map_err(|error| self.wrong(error))? {
                Some(column) => {
                    let texts = column.texts(&pages).map_err(|error| self.wrong(error))?;
                    let (texts, is_small) = texts.ok_or_else(|| self.no_texts())?;
                    if is_small {
                        let mut part = Self {
                            records: self.records.clone(),
                            row: self.row,
                        };
                        emit(RawDocument::Deferred {
                            bytes: column.length(),
                            convert: Box::new(move |emit| {
                                guarded(&mut part, |part| {
                                    part.read_group(texts, rows, emit, &mut |_| {})
                                })
                            }),
                        })?;
                        self.row = self.row.saturating_add(rows);
                        shown.advance(self.row, total);
                        continue;
                    }
                    texts
                }
                None => {
                    let group = reader
                        .get_row_group(group)
                        .map_err(|error| self.wrong(error))?;
                    let pages = group
                        .get_column_page_reader(index)
                        .map_err(|error| self.wrong(error))?;
                    ColumnTexts::new(pages, chunk).ok_or_else(|| self.no_texts())?
                }
            };
            self.read_group(texts, rows, emit, &mut |row| shown.advance(row, total))?;
        }
        shown.progress.advance(shown.raw_bytes - shown.advanced);
        Ok(())
    }

    /// Reads a row group. `progress` gets the row.
    fn read_group(
        &mut self,
        mut texts: ColumnTexts,
        rows: u64,
        emit: &mut Emit<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Halt> {
        let end = self.row.saturating_add(rows);
        let wrong_end = format!("the row group should end at row {end}");
        while let Some(batch) = texts.next().map_err(|error| self.wrong(error))? {
            for text in batch.rows {
                if self.row == end {
                    return Err(self.wrong(wrong_end).into());
                }
                self.emit_row(text, emit)?;
                self.row += 1;
            }
            progress(self.row);
        }
        if self.row == end {
            Ok(())
        } else {
            Err(self.wrong(wrong_end).into())
        }
    }

    fn no_texts(&self) -> SourceError {
        self.wrong("the text column changes its type")
    }

    /// Leaves out rows without text, at once: a few bytes can hold billions.
    fn leave_out(&mut self, rows: u64, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let named = rows.min(left_out::EXAMPLES as u64);
        for _ in 0..named {
            self.emit_row(None, emit)?;
            self.row = self.row.saturating_add(1);
        }
        let count = rows - named;
        self.row = self.row.saturating_add(count);
        emit(RawDocument::ManyLeftOut {
            reason: Reason::NoText,
            count,
        })
    }

    fn emit_row(&self, value: Option<ByteArray>, emit: &mut Emit<'_>) -> Result<(), Halt> {
        let Some(value) = value else {
            let row = self.row.saturating_add(1);
            let example = format!("{}, row {row}", self.records.path.display());
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

    fn column_index(&self, schema: &SchemaDescriptor) -> Result<usize, SourceError> {
        let wanted = self.records.column.as_str();
        let columns = schema.columns();
        let mut named = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.path().string() == wanted)
            .map(|(index, _)| index);
        let first = named.next();
        if named.next().is_some() {
            return Err(self.wrong(format!(
                "two columns are called '{wanted}': write the file again with one of them"
            )));
        }
        let Some(index) = first else {
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
                "no text column '{wanted}'; name one with --text-column; the columns are: {}",
                names.join(", ")
            )));
        };
        let column = schema.column(index);
        if column.max_rep_level() != 0 {
            return Err(self.wrong(format!("column '{wanted}' holds lists, not text")));
        }
        // All its rows are null, so the type in which they would be stored does not matter.
        if column.logical_type_ref() == Some(&LogicalType::Unknown) {
            return Ok(index);
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
            row: self.row.saturating_add(1),
            reason: reason.to_string(),
        }
    }
}

/// The number of rows of a row group.
fn row_count(details: &RowGroupMetaData) -> u64 {
    u64::try_from(details.num_rows()).unwrap_or(0)
}

#[cfg(test)]
#[path = "parquet_rows_tests.rs"]
mod tests;
