//! `metrics.jsonl`: one JSON object a line, in the order of the steps.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Metrics, MetricsError};

/// A file of metrics that lines are added to.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens or creates the file of a run that continues after `step` completed steps.
    ///
    /// It is cut off before the first line about a later step, and before a line that is not
    /// whole: such a line is what a killed process leaves.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self, MetricsError> {
        let open = || -> std::io::Result<File> {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let good = good_length(&file, step)?;
            file.set_len(good)?;
            file.seek(SeekFrom::Start(good))?;
            Ok(file)
        };
        Ok(Self {
            path: path.into(),
            file: open().map_err(MetricsError::at(path))?,
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, metrics: &Metrics) -> Result<(), MetricsError> {
        let mut line = serde_json::to_vec(metrics).expect("numbers and strings serialize");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(MetricsError::at(&self.path))
    }

    /// Flushes to the disk.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn sync(&self) -> Result<(), MetricsError> {
        self.file.sync_data().map_err(MetricsError::at(&self.path))
    }
}

/// Length of the whole lines about steps up to `step`.
fn good_length(file: &File, step: u64) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut good = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let whole = line.ends_with(b"\n")
            && serde_json::from_slice::<Metrics>(&line).is_ok_and(|metrics| metrics.step() <= step);
        if !whole {
            return Ok(good);
        }
        good += length as u64;
    }
}
