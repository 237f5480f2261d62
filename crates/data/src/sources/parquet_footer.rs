//! What the end of a Parquet file says about it, before its decoder reads it.
//!
//! A file ends with a description in Thrift's compact protocol, the length of the description in four
//! little-endian bytes, and a mark of four letters.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::parquet_thrift::Thrift;

/// Bytes of the length and the mark.
const END: u64 = 8;

/// The deepest nesting of groups in a schema, which its decoder follows by recursion.
const DEEPEST_SCHEMA: usize = 100;

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

/// Checks that the description holds as many elements as it claims, before its decoder reserves memory for
/// them. The error is the problem.
pub(super) fn check(file: &File) -> Result<(), String> {
    let bytes = description(file).map_err(|error| error.to_string())?;
    match is_sound(&bytes) {
        Some(()) => Ok(()),
        None => Err("the file is damaged: its description claims what it does not hold".to_owned()),
    }
}

/// The description, which is no longer than the file.
fn description(mut file: &File) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    file.seek(SeekFrom::End(-(END as i64)))?;
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    file.seek(SeekFrom::End(-(END as i64) - i64::from(length)))?;
    let mut bytes = Vec::new();
    file.take(length.into()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_sound(description: &[u8]) -> Option<()> {
    const SCHEMA: i16 = 2;
    let mut thrift = Thrift::new(description);
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        if (id, kind) == (SCHEMA, Thrift::LIST) {
            check_schema(&mut thrift)?;
        } else {
            thrift.skip(kind, 0)?;
        }
    }
    Some(())
}

/// Reads the elements of a schema: a tree in which each group is followed by its children.
fn check_schema(thrift: &mut Thrift<'_>) -> Option<()> {
    const CHILDREN: i16 = 5;
    let (kind, count) = thrift.list()?;
    if kind != Thrift::STRUCT {
        return None;
    }
    // How many children of each open group are still to come.
    let mut open: Vec<u64> = Vec::new();
    for number in 0..count {
        let mut children = 0;
        let mut id = 0;
        while let Some(kind) = thrift.field(&mut id)? {
            if (id, kind) == (CHILDREN, Thrift::I32) {
                children = u64::try_from(thrift.integer()?).ok()?;
            } else {
                thrift.skip(kind, 1)?;
            }
        }
        if number > 0 {
            *open.last_mut()? -= 1;
        }
        if children > 0 {
            open.push(children);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > DEEPEST_SCHEMA {
            return None;
        }
    }
    open.is_empty().then_some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A description with this schema; an element has a name and a number of children.
    fn with_schema(children: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, 2, 0x19, (children.len() as u8) << 4 | 12];
        for &children in children {
            // Field 4, one letter, and field 5.
            bytes.extend([0x48, 1, b'a', 0x15, children * 2, 0]);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn groups_hold_as_many_children_as_they_claim() {
        for (children, sound) in [
            (&[1, 0][..], true),
            (&[2, 1, 0, 0], true),
            (&[0], true),
            (&[2, 0], false),
            (&[1, 0, 0], false),
            (&[60, 0], false),
            (&[1, 1], false),
        ] {
            let found = is_sound(&with_schema(children)).is_some();
            assert_eq!(found, sound, "{children:?}");
        }
        let mut cut = with_schema(&[1, 0]);
        cut.truncate(cut.len() - 3);
        assert_eq!(is_sound(&cut), None);
    }
}
