//! Checks the sizes that the pages of a Parquet column claim, before its decoder reserves memory for
//! them.
//!
//! A page begins with a header in Thrift's compact protocol. Of its fields only the sizes and the
//! number of dictionary entries are looked at; everything else is skipped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::file::metadata::ColumnChunkMetaData;

/// The largest page that is read, in bytes after decompression. Writers end a page at about 1 MiB,
/// but a single long text makes a page as large as itself.
pub(super) const LARGEST_PAGE: u64 = 256 * 1024 * 1024;

/// The largest header of a page. It holds two values for statistics besides numbers.
const LARGEST_HEADER: u64 = 16 * 1024 * 1024;

/// Bytes that are read at first: nearly every header is shorter.
const FIRST_READ: u64 = 512;

/// The bytes that the shortest text takes in a dictionary page: its length.
const SHORTEST_ENTRY: u64 = 4;

/// The deepest nesting of structures in a header. A real one has two levels.
const DEEPEST: u32 = 16;

/// Checks all pages of a column of a row group. The error is the problem.
pub(super) fn check(mut file: &File, column: &ColumnChunkMetaData) -> Result<(), String> {
    let claims = |what: &str| format!("the file is damaged: {what}");
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let start = column
        .dictionary_page_offset()
        .filter(|&offset| offset > 0)
        .unwrap_or(i64::MAX)
        .min(column.data_page_offset());
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
    header.length = thrift.at as u64;
    Some(header)
}

/// Thrift's compact protocol. Everything gives none where the bytes end or are invalid.
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Thrift<'a> {
    const I32: u8 = 5;
    const STRUCT: u8 = 12;

    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number whose lowest bit is its sign.
    fn integer(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Begins the next field of a structure: gives its kind and changes `id`. The inner value is none at
    /// the structure's end.
    pub(super) fn field(&mut self, id: &mut i16) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => i16::try_from(self.integer()?).ok()?,
            step => id.checked_add(i16::from(step))?,
        };
        Some(Some(byte & 0x0F))
    }

    /// Skips a value; `depth` is that of the structures around it.
    pub(super) fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            // The value of a boolean field is in its kind.
            1 | 2 => {}
            3 => self.at += 1,
            4..=6 => {
                self.number()?;
            }
            7 => self.at += 8,
            8 => {
                let length = usize::try_from(self.number()?).ok()?;
                self.at = self.at.checked_add(length)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = match byte >> 4 {
                    15 => self.number()?,
                    count => u64::from(count),
                };
                self.skip_elements(byte & 0x0F, count, depth)?;
            }
            11 => {
                let count = self.number()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_elements(kinds >> 4, 1, depth)?;
                    self.skip_elements(kinds & 0x0F, 1, depth)?;
                }
            }
            Self::STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        (self.at <= self.bytes.len()).then_some(())
    }

    fn skip_elements(&mut self, kind: u8, count: u64, depth: u32) -> Option<()> {
        for _ in 0..count {
            match kind {
                // Unlike as a field, a boolean takes a byte here.
                1 | 2 => self.at += 1,
                kind => self.skip(kind, depth + 1)?,
            }
            if self.at > self.bytes.len() {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
