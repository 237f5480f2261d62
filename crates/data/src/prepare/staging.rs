//! A folder that is built beside its final place and moved there when it is complete.
//!
//! While `NAME` is being built, there is a folder `.NAME.preparing` beside it. The building process
//! holds a lock on a file in that folder. The system releases the lock when the process ends, for
//! whatever reason. So a folder whose lock is free is a leftover, which the next process removes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::DataError;
use crate::folder::{META_FILE, TOKENIZER_FILE, TRAIN_FILE, VALIDATION_FILE};
use crate::shards::{DOCUMENTS_FILE, SHARD_FILE, TOKENS_FILE};

const LOCK_FILE: &str = "lock";
const NEW_FOLDER: &str = "new";

/// Number of attempts to lock a file that may be removed between opening and locking it.
const ATTEMPTS: usize = 16;

/// Number of attempts to remove a folder in which other threads still make files.
const REMOVALS: usize = 16;

/// What this process builds and has built.
#[derive(Default)]
struct Building {
    /// The hidden folders of what is under construction.
    folders: Vec<PathBuf>,
    /// Whether a folder has been put in place.
    finished: bool,
}

/// Whoever makes, moves or removes a folder holds this, so that a signal cannot come between two steps.
static BUILDING: Mutex<Building> = Mutex::new(Building {
    folders: Vec::new(),
    finished: false,
});

fn building() -> MutexGuard<'static, Building> {
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes all that this process has under construction and calls `end`, which is to end the process:
/// the threads that build may wait until it does. It is for a program that a signal stops.
///
/// Does nothing if a folder has been put in place already: the work is then done but for its report, and
/// for removing an older folder.
pub fn give_up_folders(end: impl FnOnce()) {
    let building = building();
    if building.finished {
        return;
    }
    for folder in &building.folders {
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
    }
    end();
}

/// A folder under construction. Its temporary files are removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The final place of the new folder; itself, if it is temporary.
    out: PathBuf,
    /// The folder beside it with the lock and all temporary files.
    folder: PathBuf,
    /// Whether the new folder is in its place.
    finished: bool,
    /// None in a folder that no other process knows.
    _lock: Option<File>,
}

impl Staging {
    /// Begins to build `out`, and removes leftovers of killed processes beside it.
    ///
    /// # Errors
    /// `out` contains anything else than prepared data, or another process is preparing it.
    pub fn begin(out: &Path) -> Result<Self, DataError> {
        // If `out` is a link to a folder, that folder is replaced and the link stays.
        let out = match fs::canonicalize(out) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => out.to_path_buf(),
            Err(error) => return Err(DataError::read(out)(error)),
        };
        check_replaceable(&out)?;
        let Some(name) = out.file_name() else {
            return Err(DataError::Value {
                name: "out",
                found: out.display().to_string(),
                expected: "the path of a folder, with a name at its end",
            });
        };
        let parent = parent_of(&out);
        fs::create_dir_all(parent).map_err(DataError::write(parent))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".preparing");
        let folder = parent.join(hidden);
        let mut building = building();
        let lock = lock(&folder, &out)?;
        building.folders.push(folder.clone());
        // An error from here on drops the new value, which takes the mutex again.
        drop(building);
        let staging = Self {
            folder,
            out,
            finished: false,
            _lock: Some(lock),
        };
        staging.clear()?;
        let new = staging.new_folder();
        fs::create_dir(&new).map_err(DataError::write(&new))?;
        Ok(staging)
    }

    /// Begins to build a folder among the system's temporary files. It is never put in place, and exists
    /// until this is dropped.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn temporary_folder() -> Result<Self, DataError> {
        let place = std::env::temp_dir();
        let mut building = building();
        // Its name cannot be guessed, and only its owner may enter it.
        let folder = tempfile::Builder::new()
            .prefix("ldrop-")
            .tempdir_in(&place)
            .map_err(DataError::write(&place))?
            .keep();
        building.folders.push(folder.clone());
        drop(building);
        let staging = Self {
            out: folder.join(NEW_FOLDER),
            folder,
            finished: false,
            _lock: None,
        };
        let new = staging.new_folder();
        fs::create_dir(&new).map_err(DataError::write(&new))?;
        Ok(staging)
    }

    /// The folder that will become `out`.
    pub fn new_folder(&self) -> PathBuf {
        self.folder.join(NEW_FOLDER)
    }

    /// A file beside the new folder that is removed at the end.
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Moves the new folder to its place, in one step if the system can do that. Its files must have
    /// been flushed.
    ///
    /// # Errors
    /// The folder cannot be moved; `out` is then unchanged.
    pub fn finish(mut self) -> Result<(), DataError> {
        let new = self.new_folder();
        sync_folder(&new)?;
        check_replaceable(&self.out)?;
        let written = DataError::write(&self.out);
        let mut building = building();
        if self.out.exists() {
            replace(&new, &self.out, &self.temporary("old")).map_err(written)?;
        } else {
            fs::rename(&new, &self.out).map_err(written)?;
        }
        building.finished = true;
        self.finished = true;
        drop(building);
        sync_folder(parent_of(&self.out))
    }

    /// Removes everything but the lock.
    fn clear(&self) -> Result<(), DataError> {
        for entry in fs::read_dir(&self.folder).map_err(DataError::read(&self.folder))? {
            let entry = entry.map_err(DataError::read(&self.folder))?;
            if entry.file_name() != LOCK_FILE {
                remove(&entry.path()).map_err(DataError::write(&entry.path()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // An older folder can take long to remove. Meanwhile a signal is told that all is done.
        let steps = (!self.finished).then(building);
        // A failure here has no consequence: the next process tries again.
        let _ = fs::remove_dir_all(&self.folder);
        drop(steps);
        building().folders.retain(|folder| *folder != self.folder);
    }
}

/// Checks that `out` may be replaced: it does not exist, is empty, or has only prepared data.
fn check_replaceable(out: &Path) -> Result<(), DataError> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(DataError::Occupied {
                path: out.into(),
                foreign: "a file".into(),
            });
        }
        Err(error) => return Err(DataError::read(out)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(DataError::read(out))?.file_name());
    }
    names.sort();
    let holds = |file: &str| names.iter().any(|name| name == file);
    // Each kind of folder is known by its description; the names of its other files are common ones.
    let ours: &[&str] = if holds(META_FILE) {
        &[META_FILE, TRAIN_FILE, VALIDATION_FILE, TOKENIZER_FILE]
    } else if holds(SHARD_FILE) {
        &[SHARD_FILE, TOKENS_FILE, DOCUMENTS_FILE, TOKENIZER_FILE]
    } else {
        &[]
    };
    let foreign = names
        .iter()
        .find(|&name| ours.iter().all(|our| name != our));
    match foreign {
        None => Ok(()),
        Some(name) => Err(DataError::Occupied {
            path: out.into(),
            foreign: name.to_string_lossy().into_owned(),
        }),
    }
}

/// Makes the folder if necessary and locks the file in it.
fn lock(folder: &Path, out: &Path) -> Result<File, DataError> {
    let path = folder.join(LOCK_FILE);
    for _ in 0..ATTEMPTS {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(DataError::write(folder)(error));
            }
            _ => {}
        }
        let file = match File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
        {
            Ok(file) => file,
            // Another process has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(DataError::write(&path)(error)),
        };
        match file.try_lock() {
            Ok(()) if is_still(&file, &path) => return Ok(file),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::Busy { path: out.into() }),
            Err(TryLockError::Error(error)) => return Err(DataError::write(&path)(error)),
        }
    }
    Err(DataError::Busy { path: out.into() })
}

/// Whether an open file is still the one at its path.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_still(_file: &File, _path: &Path) -> bool {
    true
}

/// Moves `new` to `out`. The folder that was there goes into the staging folder, as `new` or `old`, and
/// is removed with it.
fn replace(new: &Path, out: &Path, old: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        // Some file systems cannot exchange two folders; the two steps below replace that.
        if renameat_with(CWD, new, CWD, out, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
    }
    fs::rename(out, old)?;
    fs::rename(new, out).inspect_err(|_| {
        // Restores the old folder. The first error is the one to report.
        let _ = fs::rename(old, out);
    })
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Flushes a folder's entries to the disk, so that a rename in it survives a power failure.
fn sync_folder(folder: &Path) -> Result<(), DataError> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(DataError::write(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(folder: &Path, contents: &str) {
        fs::create_dir_all(folder).unwrap();
        for file in [TRAIN_FILE, VALIDATION_FILE, META_FILE, TOKENIZER_FILE] {
            fs::write(folder.join(file), contents).unwrap();
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_prepared_folder_is_replaced_only_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("data");
        prepared(&out, "old");
        let staging = Staging::begin(&out).unwrap();
        prepared(&staging.new_folder(), "new");
        assert_eq!(fs::read_to_string(out.join(META_FILE)).unwrap(), "old");
        staging.finish().unwrap();
        assert_eq!(fs::read_to_string(out.join(META_FILE)).unwrap(), "new");
        assert_eq!(names(root.path()), ["data"]);
    }

    #[test]
    fn what_is_given_up_leaves_no_trace() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("deep/data");
        let staging = Staging::begin(&out).unwrap();
        prepared(&staging.new_folder(), "new");
        drop(staging);
        assert_eq!(names(&root.path().join("deep")), [""; 0]);
    }

    #[test]
    fn a_temporary_folder_is_gone_when_it_is_dropped() {
        let staging = Staging::temporary_folder().unwrap();
        let folder = staging.folder.clone();
        prepared(&staging.new_folder(), "new");
        assert!(building().folders.contains(&folder));
        let other = Staging::temporary_folder().unwrap();
        assert_ne!(other.folder, folder);
        drop(staging);
        assert!(!folder.exists() && other.folder.exists());
        assert!(!building().folders.contains(&folder));
    }

    #[test]
    fn leavings_of_a_killed_process_are_cleared() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("data");
        let left = root.path().join(".data.preparing");
        prepared(&left.join(NEW_FOLDER), "half");
        fs::write(left.join("text"), "spool").unwrap();
        fs::write(left.join(LOCK_FILE), "").unwrap();
        let staging = Staging::begin(&out).unwrap();
        assert_eq!(names(&left), [LOCK_FILE, NEW_FOLDER]);
        assert_eq!(names(&staging.new_folder()), [""; 0]);
        staging.finish().unwrap();
        assert_eq!(names(root.path()), ["data"]);
    }

    #[test]
    fn two_at_once_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("data");
        let first = Staging::begin(&out).unwrap();
        fs::write(first.temporary("text"), "spool").unwrap();
        assert!(matches!(Staging::begin(&out), Err(DataError::Busy { .. })));
        assert!(first.temporary("text").exists());
        // Another folder beside it is prepared independently.
        Staging::begin(&root.path().join("other")).unwrap();
        drop(first);
        Staging::begin(&out).unwrap();
    }

    #[test]
    fn a_folder_with_anything_else_in_it_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("data");
        prepared(&out, "old");
        fs::write(out.join("notes.txt"), "mine").unwrap();
        let error = Staging::begin(&out).unwrap_err().to_string();
        assert!(error.contains("notes.txt"), "{error}");
        // Token files without a description are those of another program.
        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(TRAIN_FILE), "x").unwrap();
        assert!(matches!(
            Staging::begin(&other),
            Err(DataError::Occupied { .. })
        ));
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(
            Staging::begin(&file),
            Err(DataError::Occupied { .. })
        ));
        assert_eq!(names(root.path()), ["data", "file", "other"]);
    }

    #[test]
    fn files_of_the_other_kind_of_folder_are_foreign() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("data");
        let data = [META_FILE, TRAIN_FILE, VALIDATION_FILE, TOKENIZER_FILE];
        let shard = [SHARD_FILE, TOKENS_FILE, DOCUMENTS_FILE, TOKENIZER_FILE];
        for (kind, others, foreign) in [(data, shard, &shard[..3]), (shard, data, &data[..3])] {
            for other in others {
                fs::create_dir(&out).unwrap();
                for file in kind {
                    fs::write(out.join(file), "old").unwrap();
                }
                fs::write(out.join(other), "of another program").unwrap();
                let begun = Staging::begin(&out);
                if foreign.contains(&other) {
                    assert!(matches!(begun, Err(DataError::Occupied { .. })), "{other}");
                } else {
                    begun.unwrap();
                }
                assert!(out.join(other).exists());
                fs::remove_dir_all(&out).unwrap();
            }
        }
        // Two files are enough to look like one of ours.
        fs::create_dir(&out).unwrap();
        for file in [META_FILE, TOKENS_FILE] {
            fs::write(out.join(file), "of another program").unwrap();
        }
        let error = Staging::begin(&out).unwrap_err().to_string();
        assert!(error.contains(TOKENS_FILE), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_folder_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("real");
        prepared(&real, "old");
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let staging = Staging::begin(&link).unwrap();
        prepared(&staging.new_folder(), "new");
        staging.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(real.join(META_FILE)).unwrap(), "new");
    }
}
