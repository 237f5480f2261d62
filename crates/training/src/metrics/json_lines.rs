//! `metrics.jsonl`: one JSON object a line, in the order of the steps.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{EnvironmentMetrics, Metrics, MetricsError};

/// A file of metrics that is open for appending.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
    environment: Option<EnvironmentMetrics>,
    changes: usize,
}

impl MetricsFile {
    /// Opens or creates the file of a run that continues after `step` completed steps.
    ///
    /// The file is cut off before the first line about a later step, and before an incomplete line,
    /// which a killed process may leave.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self, MetricsError> {
        let open = || -> std::io::Result<(File, ValidLines)> {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let valid = valid_lines(&file, step)?;
            file.set_len(valid.length)?;
            file.seek(SeekFrom::Start(valid.length))?;
            Ok((file, valid))
        };
        let (file, valid) = open().map_err(MetricsError::at(path))?;
        Ok(Self {
            path: path.into(),
            file,
            environment: valid.environment,
            changes: valid.changes,
        })
    }

    /// The last line about the machine that computes the run.
    pub fn environment(&self) -> Option<&EnvironmentMetrics> {
        self.environment.as_ref()
    }

    /// Number of lines about changes of the configuration.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// Adds a line, with the present time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, metrics: &Metrics) -> Result<(), MetricsError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = now.unwrap_or_default().as_secs_f64();
        let line = Line { metrics, time };
        let mut line = serde_json::to_vec(&line).expect("numbers and strings serialize");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(MetricsError::at(&self.path))?;
        match metrics {
            Metrics::Environment(environment) => self.environment = Some(environment.clone()),
            Metrics::Changes(_) => self.changes += 1,
            _ => {}
        }
        Ok(())
    }

    /// Flushes to the disk.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn sync(&self) -> Result<(), MetricsError> {
        self.file.sync_data().map_err(MetricsError::at(&self.path))
    }
}

/// A line as it is written. The metrics themselves have no time yet.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    time: f64,
}

/// The beginning of a file that stays.
#[derive(Default)]
struct ValidLines {
    /// In bytes.
    length: u64,
    environment: Option<EnvironmentMetrics>,
    changes: usize,
}

/// Finds the complete lines about steps up to `step`.
fn valid_lines(file: &File, step: u64) -> std::io::Result<ValidLines> {
    let mut reader = BufReader::new(file);
    let mut valid = ValidLines::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let metrics = serde_json::from_slice::<Metrics>(&line).ok();
        let metrics = metrics.filter(|metrics| line.ends_with(b"\n") && metrics.step() <= step);
        match metrics {
            None => return Ok(valid),
            Some(Metrics::Environment(environment)) => valid.environment = Some(environment),
            Some(Metrics::Changes(_)) => valid.changes += 1,
            Some(_) => {}
        }
        valid.length += length as u64;
    }
}
