//! The folder of a run: the places of its files, and a lock for the process that writes them.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process writes to the folder.
    #[error("{path}: another process is writing this run; wait for it or choose another folder")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A new run was to begin in the folder of another one.
    #[error("{path}: there is a run here already; resume it, or choose another folder")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// There is no run to resume.
    #[error("{path}: there is no run here to resume (no {CONFIG_FILE}); start a new one")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// File name of the resolved configuration in a run folder.
pub const CONFIG_FILE: &str = "config.toml";
/// File name of the metrics in a run folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// A run folder that only this process may write.
///
/// The operating system releases the lock when the value is dropped or the process ends, for
/// whatever reason.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes and locks a folder for a new run.
    ///
    /// # Errors
    /// The folder cannot be made, has a run already, or another process uses it.
    pub fn create(path: &Path) -> Result<Self, RunFolderError> {
        std::fs::create_dir_all(path).map_err(file_error(path))?;
        let folder = Self::lock(path)?;
        Self::check_free(path)?;
        Ok(folder)
    }

    /// Checks that a folder has no run yet.
    ///
    /// # Errors
    /// It has one.
    pub fn check_free(path: &Path) -> Result<(), RunFolderError> {
        if path.join(CONFIG_FILE).exists() || path.join(crate::checkpoints::FOLDER).exists() {
            return Err(RunFolderError::Occupied { path: path.into() });
        }
        Ok(())
    }

    /// Locks the folder of a run that has begun.
    ///
    /// # Errors
    /// There is no run, or another process uses it.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        if !path.join(CONFIG_FILE).exists() {
            return Err(RunFolderError::Empty { path: path.into() });
        }
        Self::lock(path)
    }

    /// Locks a folder, whatever its content.
    ///
    /// # Errors
    /// Another process uses it, or it cannot be written.
    pub fn lock(path: &Path) -> Result<Self, RunFolderError> {
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(file_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.into(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(RunFolderError::Busy { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(RunFolderError::File {
                path: lock_path,
                source,
            }),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// The metrics, one JSON object a line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS_FILE)
    }

    /// The folder of TensorBoard event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(crate::checkpoints::FOLDER)
    }
}

/// Adds the path to an error of the operating system.
fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> RunFolderError {
    move |source| RunFolderError::File {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let first = RunFolder::create(place.path()).unwrap();
        assert!(matches!(
            RunFolder::create(place.path()),
            Err(RunFolderError::Busy { .. })
        ));
        drop(first);
        RunFolder::create(place.path()).unwrap();
    }

    #[test]
    fn runs_are_neither_overwritten_nor_resumed_without_a_configuration() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(
            RunFolder::open(place.path()),
            Err(RunFolderError::Empty { .. })
        ));
        std::fs::write(place.path().join(CONFIG_FILE), "").unwrap();
        assert!(matches!(
            RunFolder::create(place.path()),
            Err(RunFolderError::Occupied { .. })
        ));
        RunFolder::open(place.path()).unwrap();
    }
}
