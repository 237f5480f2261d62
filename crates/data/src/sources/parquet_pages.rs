//! Checks the sizes that the pages of a Parquet column claim, before its decoder reserves memory for
//! them.
//!
//! A page begins with a header in Thrift's compact protocol. Of its fields only the sizes, the numbers
//! of texts and their encoding are looked at; everything else is skipped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use super::parquet_thrift::Thrift;

/// The largest page that is read, in bytes after decompression. Writers end a page at about 1 MiB,
/// but a single long text makes a page as large as itself.
pub(super) const LARGEST_PAGE: u64 = 256 * 1024 * 1024;

/// The largest header of a page. It holds two values for statistics besides numbers.
const LARGEST_HEADER: u64 = 16 * 1024 * 1024;

/// Bytes that are read at first: nearly every header is shorter.
const FIRST_READ: u64 = 512;

/// The bytes that the shortest text takes in a dictionary or in a page of plain texts: its length.
pub(super) const SHORTEST_ENTRY: u64 = 4;

/// What the pages of a column of a row group hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// Rows, with those that have no text.
    pub(super) rows: u64,
    /// The most bytes that the pages, and the texts in them, take after decompression. The texts of
    /// `references` are not in it: only the dictionary says how long they are.
    pub(super) bytes: u64,
    /// The rows of the first data pages, whose texts are numbers in a dictionary.
    pub(super) references: u64,
}

impl Pages {
    /// Adds a data page.
    fn add(&mut self, page: &DataPage, unpacked: u64, dictionary: u64) {
        let is = |encoding: Encoding| page.encoding == encoding as i64;
        let before = self.rows;
        self.rows = self.rows.saturating_add(page.values);
        if is(Encoding::PLAIN) || is(Encoding::DELTA_LENGTH_BYTE_ARRAY) {
            return;
        }
        let is_reference = is(Encoding::PLAIN_DICTIONARY) || is(Encoding::RLE_DICTIONARY);
        if is_reference && self.references == before {
            self.references = self.rows;
            return;
        }
        // Each text can repeat all of the page or of the dictionary.
        let texts = page.values.saturating_mul(unpacked.max(dictionary));
        self.bytes = self.bytes.saturating_add(texts);
    }
}

/// Checks all pages of a column of a row group. The error is the problem.
pub(super) fn check(mut file: &File, column: &ColumnChunkMetaData) -> Result<Pages, String> {
    let claims = |what: &str| format!("the file is damaged: {what}");
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    // Where the decoder begins, even if the data pages come first.
    let start = column
        .dictionary_page_offset()
        .unwrap_or(column.data_page_offset());
    let end = u64::try_from(start)
        .ok()
        .zip(u64::try_from(column.compressed_size()).ok())
        .and_then(|(start, size)| start.checked_add(size))
        .filter(|&end| end <= length)
        .ok_or_else(|| claims("a column reaches beyond the end of the file"))?;
    let mut at = start as u64;
    let (mut pages, mut dictionary) = (Pages::default(), 0);
    while at < end {
        let header = read_header(&mut file, at, end).map_err(|what| claims(&what))?;
        let (Ok(packed), Ok(unpacked)) =
            (u64::try_from(header.packed), u64::try_from(header.unpacked))
        else {
            return Err(claims("a page has a negative size"));
        };
        at += header.length;
        if unpacked > LARGEST_PAGE {
            return Err(format!(
                "a page claims {unpacked} bytes: pages of at most {LARGEST_PAGE} bytes are read; write \
                 the file again with smaller pages"
            ));
        }
        let entries = header.entries.unwrap_or(0).unsigned_abs();
        if entries > unpacked / SHORTEST_ENTRY {
            return Err(claims(
                "a dictionary claims more texts than it has bytes for",
            ));
        }
        if packed > end - at {
            return Err(claims("a page reaches beyond the end of its column"));
        }
        at += packed;
        pages.bytes = pages.bytes.saturating_add(unpacked);
        if header.entries.is_some() {
            dictionary = dictionary.max(unpacked);
        }
        if let Some(page) = header.data {
            pages.add(&page, unpacked, dictionary);
        }
    }
    Ok(pages)
}

/// What is looked at in a header.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    /// Bytes of the header itself.
    length: u64,
    packed: i64,
    unpacked: i64,
    /// Texts in a dictionary page.
    entries: Option<i64>,
    data: Option<DataPage>,
}

/// What is looked at of a page that is no dictionary.
#[derive(Debug, PartialEq, Eq)]
struct DataPage {
    /// Rows, with those that have no text.
    values: u64,
    encoding: i64,
}

fn read_header(file: &mut &File, at: u64, end: u64) -> Result<Header, String> {
    let mut size = FIRST_READ;
    loop {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.take(size.min(end - at)).read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        match parse_header(&bytes) {
            Some(header) => return Ok(header),
            None if size >= LARGEST_HEADER || size >= end - at => {
                return Err("a page has no valid header".to_owned());
            }
            None => size *= 8,
        }
    }
}

/// Parses a header; none if it is invalid or goes on beyond `bytes`. The decoder takes a field by its
/// number, whatever its kind, so another kind than the specified one is invalid.
fn parse_header(bytes: &[u8]) -> Option<Header> {
    const KIND: i16 = 1;
    const UNPACKED: i16 = 2;
    const PACKED: i16 = 3;
    const DATA: i16 = 5;
    const DICTIONARY: i16 = 7;
    const DATA_V2: i16 = 8;
    let mut thrift = Thrift::new(bytes);
    let mut header = Header::default();
    let (mut page_kind, mut first, mut second) = (0, None, None);
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (KIND, Thrift::I32) => page_kind = thrift.short_integer()?,
            (UNPACKED, Thrift::I32) => header.unpacked = thrift.short_integer()?,
            (PACKED, Thrift::I32) => header.packed = thrift.short_integer()?,
            (DATA, Thrift::STRUCT) => first = Some(numbers(&mut thrift, 2)?),
            (DATA_V2, Thrift::STRUCT) => second = Some(numbers(&mut thrift, 4)?),
            (DICTIONARY, Thrift::STRUCT) => {
                header.entries = Some(numbers(&mut thrift, 2)?.0);
            }
            (KIND..=PACKED | DATA | DICTIONARY | DATA_V2, _) => return None,
            _ => thrift.skip(kind, 0)?,
        }
    }
    let data = match page_kind {
        0 => first,
        3 => second,
        // An index or a dictionary.
        _ => None,
    };
    if let Some((values, encoding)) = data {
        let values = u64::try_from(values).ok()?;
        header.data = Some(DataPage { values, encoding });
    }
    header.length = thrift.position() as u64;
    Some(header)
}

/// Reads the part of a header for one kind of page: its number of texts, which is field 1, and their
/// encoding, which is field `encoding`.
fn numbers(thrift: &mut Thrift<'_>, encoding: i16) -> Option<(i64, i64)> {
    let mut found = (0, 0);
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (1, Thrift::I32) => found.0 = thrift.short_integer()?,
            (id, Thrift::I32) if id == encoding => found.1 = thrift.short_integer()?,
            (id, _) if id == 1 || id == encoding => return None,
            _ => thrift.skip(kind, 1)?,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;

    use super::*;

    /// A column of `size` bytes whose dictionary and data pages begin at these offsets.
    fn column(dictionary: Option<i64>, data: i64, size: usize) -> ColumnChunkMetaData {
        let schema = "message rows { REQUIRED BYTE_ARRAY text (UTF8); }";
        let schema = parse_message_type(schema).expect("the schema is good");
        let schema = SchemaDescriptor::new(Arc::new(schema));
        ColumnChunkMetaData::builder(schema.column(0))
            .set_dictionary_page_offset(dictionary)
            .set_data_page_offset(data)
            .set_total_compressed_size(size as i64)
            .build()
            .expect("a column")
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, bytes).expect("written");
        file
    }

    /// A field with the next id, or the one after `skipped` ids.
    fn field(skipped: u8, kind: u8) -> u8 {
        (skipped + 1) << 4 | kind
    }

    #[test]
    fn headers_are_parsed() {
        // Type 2 (dictionary), 300 bytes of 200, 7 entries in PLAIN (0); numbers are doubled.
        let header = [
            &[field(0, 5), 4][..],
            &[field(0, 5), 0xD8, 0x04],
            &[field(0, 5), 0x90, 0x03],
            &[field(3, 12), field(0, 5), 14, field(0, 5), 0, 0],
            &[0],
        ]
        .concat();
        let expected = Header {
            length: header.len() as u64,
            packed: 200,
            unpacked: 300,
            entries: Some(7),
            data: None,
        };
        assert_eq!(
            parse_header(&[&header[..], b"data"].concat()),
            Some(expected)
        );
        for end in 0..header.len() {
            assert_eq!(parse_header(&header[..end]), None, "{end}");
        }
    }

    #[test]
    fn the_check_begins_where_the_decoder_does() {
        // Type 0 (data), 2 bytes of 2.
        let good = [
            field(0, 5),
            0,
            field(0, 5),
            4,
            field(0, 5),
            4,
            0,
            b'a',
            b'b',
        ];
        // 2^31 - 1 bytes of none, and two bytes less to fill.
        let huge = [
            field(0, 5),
            0,
            field(0, 5),
            0xFE,
            0xFF,
            0xFF,
            0xFF,
            0x0F,
            field(0, 5),
        ];
        let file = file(&[b"PAR1", &good[..], &huge, &[0, 0]].concat());
        let at = 4 + good.len() as i64;
        let (sound, size) = (|column| check(&file, &column), good.len());
        assert!(sound(column(None, 4, size)).is_ok());
        assert!(sound(column(Some(4), at, size)).is_ok());
        for column in [column(Some(at), 4, size + 2), column(None, at, size + 2)] {
            let problem = sound(column).unwrap_err();
            assert!(problem.contains("claims 2147483647 bytes"), "{problem}");
        }
        // No page begins with the mark of the file.
        assert!(sound(column(Some(0), 4, size)).is_err());
    }

    #[test]
    fn data_pages_say_how_many_texts_they_hold_and_how() {
        let sizes = [field(0, 5), 4, field(0, 5), 6];
        // 5 texts in DELTA_BYTE_ARRAY (7); for the second version after numbers of nulls and rows.
        let first = [field(0, 5), 10, field(0, 5), 14, field(0, 5), 6, 0];
        let second = [
            field(0, 5),
            10,
            field(0, 5),
            0,
            field(0, 5),
            10,
            field(0, 5),
            14,
            0,
        ];
        let page = |kind: u8, part: &[u8]| {
            let header = [&[field(0, 5), kind * 2], &sizes[..], part, &[0]].concat();
            parse_header(&header).map(|header| header.data)
        };
        let expected = Some(Some(DataPage {
            values: 5,
            encoding: 7,
        }));
        let [first, second] = [(1, &first[..]), (4, &second)]
            .map(|(skipped, part)| [&[field(skipped, 12)], part].concat());
        assert_eq!(page(0, &first), expected);
        assert_eq!(page(3, &second), expected);
        // The other part is that of another kind of page.
        assert_eq!(page(3, &first), Some(None));
        assert_eq!(page(0, &second), Some(None));
        // 2^31 and -1 texts.
        let claimed = |number: &[u8]| [&[field(1, 12), field(0, 5)], number, &[0]].concat();
        assert_eq!(page(0, &claimed(&[0x80, 0x80, 0x80, 0x80, 0x10])), None);
        assert_eq!(page(0, &claimed(&[1])), None);
        // The decoder would take a number of 64 bits for one of 32.
        assert_eq!(page(0, &[field(1, 12), field(0, 6), 10, 0]), None);
        assert_eq!(page(0, &[field(1, 5), 10]), None);
    }

    #[test]
    fn texts_that_are_repeated_count_as_often() {
        let mut pages = Pages::default();
        let page = |values, encoding: Encoding| DataPage {
            values,
            encoding: encoding as i64,
        };
        for (values, encoding, unpacked) in [
            (3, Encoding::RLE_DICTIONARY, 10),
            (4, Encoding::PLAIN_DICTIONARY, 10),
            (5, Encoding::PLAIN, 100),
            (6, Encoding::DELTA_LENGTH_BYTE_ARRAY, 100),
        ] {
            pages.add(&page(values, encoding), unpacked, 50);
        }
        let mut expected = Pages {
            rows: 18,
            bytes: 0,
            references: 3 + 4,
        };
        assert_eq!(pages, expected);
        // The whole page or the whole dictionary for each text.
        pages.add(&page(7, Encoding::DELTA_BYTE_ARRAY), 100, 50);
        pages.add(&page(8, Encoding::RLE_DICTIONARY), 10, 50);
        (expected.rows, expected.bytes) = (33, 7 * 100 + 8 * 50);
        assert_eq!(pages, expected);
    }

    #[test]
    fn other_fields_are_skipped() {
        let header = [
            // A boolean, a byte, a double, a text, a list of two numbers, a list of booleans, a map.
            &[field(8, 1)][..],
            &[field(0, 3), 9],
            &[field(0, 7), 1, 2, 3, 4, 5, 6, 7, 8],
            &[field(0, 8), 3, b'a', b'b', b'c'],
            &[field(0, 9), 2 << 4 | 5, 2, 0x80, 1],
            &[field(0, 10), 3 << 4 | 1, 1, 2, 1],
            &[field(0, 11), 1, 8 << 4 | 5, 1, b'x', 6],
            // A structure in a structure.
            &[field(0, 12), field(0, 12), field(0, 5), 2, 0, 0],
            // A field with its id in full: 3.
            &[5, 6, 84],
            &[0],
        ]
        .concat();
        let found = parse_header(&header).expect("valid");
        assert_eq!((found.packed, found.length), (42, header.len() as u64));
        let deep = [field(0, 12); 1000];
        assert_eq!(parse_header(&deep), None);
    }
}
