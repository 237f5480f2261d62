//! A folder for the files of one input.

use std::path::{Path, PathBuf};

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::Builder::new()
        .prefix("fuzz-")
        .tempdir()
        .expect("a temporary folder can be made");
}

/// A folder of this thread. Files stay until they are replaced or [`clear`]ed.
pub(crate) fn folder() -> PathBuf {
    FOLDER.with(|folder| folder.path().to_owned())
}

/// Writes a file, and the folders above it, in the folder of this thread.
pub(crate) fn file(name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("a folder can be made");
    }
    std::fs::write(&path, bytes).expect("a temporary file can be written");
    path
}

/// Removes everything in the folder of this thread.
pub(crate) fn clear() {
    for entry in std::fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.expect("a temporary file can be removed");
    }
}
