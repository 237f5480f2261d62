//! Reading files that should be small.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a file; none if it has more than `most` bytes. Memory stays bounded whatever the path leads to,
/// even a device that never ends.
pub(crate) fn read_at_most(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(most.saturating_add(1));
    file.read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap().unwrap(), b"12345");
        assert_eq!(read_at_most(&path, 4).unwrap(), None);
        assert!(read_at_most(&folder.path().join("none"), 4).is_err());
    }
}
