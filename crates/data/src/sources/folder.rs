//! The files of a folder, in a fixed order.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{SourceError, own_folders};

/// What a folder holds.
#[derive(Default)]
pub(super) struct Files {
    /// Its files, sorted by name within each folder.
    pub(super) files: Vec<PathBuf>,
    /// The folders in it that this program wrote, which are not looked into.
    pub(super) own: Vec<PathBuf>,
    /// Its links that lead to nothing that can be opened, and why.
    pub(super) broken_links: Vec<(PathBuf, std::io::Error)>,
}

/// All files below `folder`. Hidden files and folders are skipped, and so are folders that this program
/// wrote, the folder `out` that it is about to write, and symbolic links that lead back to a folder above
/// them.
pub(super) fn files(folder: &Path, out: Option<&Path>) -> Result<Files, SourceError> {
    let out = out.and_then(|out| std::fs::canonicalize(out).ok());
    let is_out = |path: &Path| {
        out.is_some() && std::fs::canonicalize(path).ok().as_deref() == out.as_deref()
    };
    let kind = match own_folders::kind(folder) {
        None if is_out(folder) => Some("the data folder to be made"),
        kind => kind,
    };
    if let Some(kind) = kind {
        return Err(SourceError::OwnFolder {
            path: folder.to_owned(),
            kind,
        });
    }
    let mut found = Files::default();
    let mut walk = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = walk.next() {
        match entry {
            Ok(entry) if entry.depth() > 0 && is_hidden(&entry) => {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
            }
            Ok(entry) if entry.file_type().is_file() => found.files.push(entry.into_path()),
            Ok(entry) if entry.depth() > 0 && entry.file_type().is_dir() => {
                let path = entry.path();
                // What `out` held before has no influence on what it will hold, the counts included.
                if is_out(path) {
                    walk.skip_current_dir();
                } else if own_folders::kind(path).is_some() {
                    walk.skip_current_dir();
                    found.own.push(entry.into_path());
                }
            }
            Ok(_) => {}
            Err(error) if error.path().is_some_and(is_hidden_path) => {}
            Err(error) if error.loop_ancestor().is_some() => tracing::warn!("skipped: {error}"),
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let reason = error
                    .into_io_error()
                    .unwrap_or_else(|| std::io::Error::other("cannot be walked"));
                // A link may lead to a disk that is not there.
                if path.is_symlink() && std::fs::metadata(&path).is_err() {
                    found.broken_links.push((path, reason));
                    continue;
                }
                return Err(SourceError::Read { path, reason });
            }
        }
    }
    Ok(found)
}

fn is_hidden(entry: &DirEntry) -> bool {
    is_hidden_path(Path::new(entry.file_name()))
}

fn is_hidden_path(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
