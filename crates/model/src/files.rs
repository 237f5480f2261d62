//! Writing files atomically, so that a file is either complete or absent, and reading small ones.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
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
    write_in_parts(path, |file| file.write_all(bytes))
}

/// [`write_atomically`] of what `write` writes part by part, so that it need not fit into memory.
///
/// # Errors
/// What `write` or the operating system reports. `path` never holds a partly written file, and keeps
/// what it had before.
pub fn write_in_parts<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<T, E>,
) -> Result<T, E> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = readable_by_others().tempfile_in(folder)?;
    let mut writer = BufWriter::new(file.as_file_mut());
    let result = write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)?;
    Ok(result)
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
    fn what_fails_half_way_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let number = write_in_parts(&path, |file| -> io::Result<u8> {
            file.write_all(b"12")?;
            file.write_all(b"345")?;
            Ok(7)
        });
        assert_eq!(number.unwrap(), 7);
        let failed = write_in_parts(&path, |file| -> io::Result<()> {
            file.write_all(b"6")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(std::fs::read(&path).unwrap(), b"12345");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

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
