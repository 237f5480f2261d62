//! Checks the sizes that the pages of a Parquet column claim, before its decoder reserves memory for
//! them.
//!
//! A page begins with a header in Thrift's compact protocol. Of its fields only the sizes and the
//! number of dictionary entries are looked at; everything else is skipped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::file::metadata::ColumnChunkMetaData;

use super::parquet_thrift::Thrift;

/// The largest page that is read, in bytes after decompression. Writers end a page at about 1 MiB,
/// but a single long text makes a page as large as itself.
pub(super) const LARGEST_PAGE: u64 = 256 * 1024 * 1024;

/// The largest header of a page. It holds two values for statistics besides numbers.
const LARGEST_HEADER: u64 = 16 * 1024 * 1024;

/// Bytes that are read at first: nearly every header is shorter.
const FIRST_READ: u64 = 512;

/// The bytes that the shortest text takes in a dictionary page: its length.
const SHORTEST_ENTRY: u64 = 4;

/// Checks all pages of a column of a row group. The error is the problem.
pub(super) fn check(mut file: &File, column: &ColumnChunkMetaData) -> Result<(), String> {
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
    }
    Ok(())
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

/// Parses a header; none if it is invalid or goes on beyond `bytes`.
fn parse_header(bytes: &[u8]) -> Option<Header> {
    const UNPACKED: i16 = 2;
    const PACKED: i16 = 3;
    const DICTIONARY: i16 = 7;
    let mut thrift = Thrift::new(bytes);
    let mut header = Header::default();
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (UNPACKED, Thrift::I32) => header.unpacked = thrift.integer()?,
            (PACKED, Thrift::I32) => header.packed = thrift.integer()?,
            (DICTIONARY, Thrift::STRUCT) => {
                let mut inner = 0;
                while let Some(kind) = thrift.field(&mut inner)? {
                    if (inner, kind) == (1, Thrift::I32) {
                        header.entries = Some(thrift.integer()?);
                    } else {
                        thrift.skip(kind, 1)?;
                    }
                }
            }
            _ => thrift.skip(kind, 0)?,
        }
    }
    header.length = thrift.position() as u64;
    Some(header)
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
