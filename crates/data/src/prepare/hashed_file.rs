//! A file whose hash is known once it is written.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3;

use crate::error::DataError;
use crate::folder::hexadecimal;

/// A file that is being written and hashed.
pub(crate) struct HashedFile {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Xxh3,
}

impl HashedFile {
    /// Creates the file.
    pub fn create(path: PathBuf) -> Result<Self, DataError> {
        let file = File::create(&path).map_err(DataError::write(&path))?;
        Ok(Self {
            file: BufWriter::new(file),
            path,
            hasher: Xxh3::new(),
        })
    }

    /// Appends these bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(DataError::write(&self.path))
    }

    /// Flushes to the disk and gives the XXH3-128 of all bytes in hexadecimal.
    pub fn finish(self) -> Result<String, DataError> {
        let failed = DataError::write(&self.path);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok(hexadecimal(self.hasher.digest128()))
    }
}
