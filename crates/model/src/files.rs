//! Writing files atomically, so that a file is either complete or absent, and reading small ones.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Reads a file that has at most `most` bytes. Memory stays bounded whatever the path leads to, even a
/// device that never ends.
///
/// # Errors
/// What the operating system reports, or [`io::ErrorKind::FileTooLarge`].
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(most.saturating_add(1));
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it has more than the {most} bytes that such a file may have");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Writes a temporary file in the same folder, flushes it to the disk and renames it to `path`.
///
/// # Errors
/// What the operating system reports. `path` never holds a partly written file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = readable_by_others().tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// By default only their owner can read temporary files. The renamed file should have the permissions of
/// any other new file.
#[cfg(unix)]
fn readable_by_others() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn readable_by_others() -> tempfile::Builder<'static, 'static> {
    tempfile::Builder::new()
}

/// Flushes a folder's entries to the disk, so that a rename in it survives a power failure.
///
/// # Errors
/// What the operating system reports.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let error = read_at_most(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(read_at_most(&folder.path().join("none"), 4).is_err());
    }
}
