//! What the end of a Parquet file says about it, before its decoder reads it.
//!
//! A file ends with a description in Thrift's compact protocol, the length of the description in four
//! little-endian bytes, and a mark of four letters.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::parquet_pages::Thrift;

/// Bytes of the length and the mark.
const END: u64 = 8;

/// The longest description that is searched for encryption.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The mark of an encrypted description, which also begins such a file.
pub(super) const ENCRYPTED_MARK: &[u8] = b"PARE";

/// The end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Footer {
    /// It has the mark of Parquet.
    Plain,
    /// It has the mark of an encrypted description.
    Encrypted,
    /// It has neither.
    CutOff,
}

/// Which mark a file ends with.
pub(super) fn kind(mut file: &File) -> io::Result<Footer> {
    let length = file.metadata()?.len();
    let mut mark = [0; 4];
    if length >= END + mark.len() as u64 {
        file.seek(SeekFrom::End(-(mark.len() as i64)))?;
        file.read_exact(&mut mark)?;
    }
    Ok(match mark.as_slice() {
        b"PAR1" => Footer::Plain,
        ENCRYPTED_MARK => Footer::Encrypted,
        _ => Footer::CutOff,
    })
}

/// Whether the description, which is not encrypted, names an algorithm of encryption. False if it cannot be
/// read.
pub(super) fn has_encrypted_columns(file: &File) -> bool {
    description(file).is_ok_and(|bytes| names_encryption(&bytes).is_some())
}

fn description(mut file: &File) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    file.seek(SeekFrom::End(-(END as i64)))?;
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    let mut bytes = Vec::new();
    if u64::from(length) <= LONGEST {
        file.seek(SeekFrom::End(-(END as i64) - i64::from(length)))?;
        file.take(length.into()).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn names_encryption(description: &[u8]) -> Option<()> {
    const ALGORITHM: i16 = 8;
    let mut thrift = Thrift::new(description);
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        if id == ALGORITHM {
            return Some(());
        }
        thrift.skip(kind, 0)?;
    }
    None
}
