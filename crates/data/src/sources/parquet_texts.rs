//! The rows of a text column of a Parquet row group, in the order of the file and decoded once.

use std::collections::VecDeque;

use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::parquet_counts::CheckedPages;

/// Rows that are decoded together.
const BATCH_ROWS: usize = 64;

/// The rows of a column. Some may be decoded before they are asked for, on another thread.
pub(super) struct ColumnTexts {
    reader: ColumnReaderImpl<ByteArrayType>,
    /// The level of a row that has a text.
    present: i16,
    ahead: VecDeque<Batch>,
    /// The error behind the rows that were decoded ahead.
    failed: Option<ParquetError>,
}

/// Rows that were decoded together.
pub(super) struct Batch {
    /// A text for each row; none for null.
    pub(super) rows: Vec<Option<ByteArray>>,
}

impl ColumnTexts {
    /// The rows in these pages; none if they are not texts.
    pub(super) fn new(pages: Box<dyn PageReader>, chunk: &ColumnChunkMetaData) -> Option<Self> {
        let description = chunk.column_descr_ptr();
        let present = description.max_def_level();
        let pages = CheckedPages { pages, present };
        let reader = get_column_reader(description, Box::new(pages));
        let ColumnReader::ByteArrayColumnReader(reader) = reader else {
            return None;
        };
        Some(Self {
            reader,
            present,
            ahead: VecDeque::new(),
            failed: None,
        })
    }

    /// Decodes the next `rows` rows, unless their texts take more than `most` bytes of memory. Says whether
    /// they take no more. An error waits for its turn behind the rows before it.
    pub(super) fn decode_ahead(&mut self, rows: u64, most: u64) -> bool {
        let (mut left, mut bytes) = (rows, 0);
        while left > 0 && bytes <= most {
            let batch =
                match self.decode(BATCH_ROWS.min(usize::try_from(left).unwrap_or(BATCH_ROWS))) {
                    Ok(Some(batch)) => batch,
                    Ok(None) => break,
                    Err(error) => {
                        self.failed = Some(error);
                        break;
                    }
                };
            left = left.saturating_sub(batch.rows.len() as u64);
            bytes += batch.bytes();
            self.ahead.push_back(batch);
        }
        bytes <= most
    }

    /// The next rows; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Batch>> {
        if let Some(batch) = self.ahead.pop_front() {
            return Ok(Some(batch));
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.decode(BATCH_ROWS),
        }
    }

    fn decode(&mut self, most: usize) -> Result<Option<Batch>> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (records, _, _) =
            self.reader
                .read_records(most, Some(&mut levels), None, &mut values)?;
        let mut values = values.into_iter();
        let row = |at: usize| {
            // A column that cannot be null has no levels.
            let is_present = levels.get(at).is_none_or(|&level| level == self.present);
            if is_present { values.next() } else { None }
        };
        let rows: Vec<Option<ByteArray>> = (0..records).map(row).collect();
        Ok((records > 0).then_some(Batch { rows }))
    }
}

impl Batch {
    /// The memory that its rows take, their texts included.
    fn bytes(&self) -> u64 {
        let texts = self.rows.iter().flatten().map(|text| text.len() as u64);
        texts.sum::<u64>() + (self.rows.len() * size_of::<Option<ByteArray>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use parquet::column::page::{Page, PageMetadata};
    use parquet::file::properties::WriterProperties;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// Counts the pages that are taken of a reader.
    struct Counted {
        pages: Box<dyn PageReader>,
        taken: Arc<AtomicUsize>,
    }

    impl Iterator for Counted {
        type Item = Result<Page>;

        fn next(&mut self) -> Option<Self::Item> {
            self.get_next_page().transpose()
        }
    }

    impl PageReader for Counted {
        fn get_next_page(&mut self) -> Result<Option<Page>> {
            let page = self.pages.get_next_page()?;
            let taken = usize::from(page.is_some());
            self.taken.fetch_add(taken, Ordering::Relaxed);
            Ok(page)
        }

        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
            self.pages.peek_next_page()
        }

        fn skip_next_page(&mut self) -> Result<()> {
            self.pages.skip_next_page()
        }
    }

    /// Three texts and a null, over and over.
    fn row(at: usize) -> Option<String> {
        (at % 4 < 3).then(|| format!("text {}", at % 4))
    }

    /// A dictionary and pages of 100 rows.
    fn file(rows: usize) -> Bytes {
        let schema = "message rows { OPTIONAL BYTE_ARRAY text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).expect("the schema is good"));
        let properties = WriterProperties::builder()
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(100)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a file");
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("a column").expect("a column");
        let texts: Vec<ByteArray> = (0..rows)
            .filter_map(row)
            .map(|text| text.as_str().into())
            .collect();
        let levels: Vec<i16> = (0..rows).map(|at| i16::from(row(at).is_some())).collect();
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&texts, Some(&levels), None)
            .expect("texts");
        column.close().expect("the end of the column");
        group.close().expect("the end of the row group");
        writer.close().expect("the end of the file");
        bytes.into()
    }

    /// However far the rows are decoded ahead, each page is read and decompressed once.
    #[test]
    fn pages_are_read_once() {
        let reader = SerializedFileReader::new(file(1000)).expect("a file");
        let group = reader.get_row_group(0).expect("a row group");
        let expected: Vec<Option<String>> = (0..1000).map(row).collect();
        for (ahead, most, is_small, held) in [
            (0, u64::MAX, true, 0),
            (150, u64::MAX, true, 150),
            (1000, u64::MAX, true, 1000),
            // The first 64 rows take more than that.
            (1000, 100, false, 64),
        ] {
            let taken = Arc::new(AtomicUsize::new(0));
            let pages = Counted {
                pages: group.get_column_page_reader(0).expect("pages"),
                taken: Arc::clone(&taken),
            };
            let chunk = group.metadata().column(0);
            let mut texts = ColumnTexts::new(Box::new(pages), chunk).expect("texts");
            assert_eq!(texts.decode_ahead(ahead, most), is_small);
            let rows = texts.ahead.iter().map(|batch| batch.rows.len());
            assert_eq!(rows.sum::<usize>(), held);
            let mut found = Vec::new();
            while let Some(batch) = texts.next().expect("rows") {
                let text = |text: ByteArray| text.as_utf8().expect("text").to_owned();
                found.extend(batch.rows.into_iter().map(|row| row.map(text)));
            }
            assert_eq!(found, expected);
            let taken = taken.load(Ordering::Relaxed);
            assert_eq!(taken, 11, "the dictionary and ten pages");
        }
    }

    /// Each row takes the memory of its handle, and the text 6 bytes more.
    #[test]
    fn rows_without_texts_take_memory_too() {
        let handle = size_of::<Option<ByteArray>>() as u64;
        let rows = vec![None, Some(ByteArray::from("text 0")), None];
        assert_eq!(Batch { rows }.bytes(), 3 * handle + 6);
    }
}
