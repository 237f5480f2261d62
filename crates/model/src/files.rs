//! Writing files atomically: a file is either complete or absent.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

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
