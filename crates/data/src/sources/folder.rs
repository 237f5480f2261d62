//! The files of a folder, in a fixed order.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::SourceError;

/// All files below `folder`, sorted by name within each folder. Hidden files and folders are skipped,
/// and so are symbolic links that are broken or lead back to a folder above them.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    let walk = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(_) => {}
            Err(error) if error.loop_ancestor().is_some() => tracing::warn!("skipped: {error}"),
            Err(error) if error.path().is_some_and(Path::is_symlink) => {
                tracing::warn!("skipped: {error}")
            }
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let reason = error
                    .into_io_error()
                    .unwrap_or_else(|| std::io::Error::other("cannot be walked"));
                return Err(SourceError::Read { path, reason });
            }
        }
    }
    if files.is_empty() {
        Err(SourceError::NoFiles {
            path: folder.to_owned(),
        })
    } else {
        Ok(files)
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}
