//! `metrics.jsonl`: one JSON object a line, in the order of the steps.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{EnvironmentMetrics, Metrics, MetricsError};

/// A file of metrics that lines are added to.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
    environment: Option<EnvironmentMetrics>,
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
        let open = || -> std::io::Result<(File, Kept)> {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let kept = kept(&file, step)?;
            file.set_len(kept.length)?;
            file.seek(SeekFrom::Start(kept.length))?;
            Ok((file, kept))
        };
        let (file, kept) = open().map_err(MetricsError::at(path))?;
        Ok(Self {
            path: path.into(),
            file,
            environment: kept.environment,
        })
    }

    /// The last line about where the run is computed.
    pub fn environment(&self) -> Option<&EnvironmentMetrics> {
        self.environment.as_ref()
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
            .map_err(MetricsError::at(&self.path))?;
        if let Metrics::Environment(environment) = metrics {
            self.environment = Some(environment.clone());
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

/// What stays of a file.
#[derive(Default)]
struct Kept {
    length: u64,
    environment: Option<EnvironmentMetrics>,
}

/// The whole lines about steps up to `step`.
fn kept(file: &File, step: u64) -> std::io::Result<Kept> {
    let mut reader = BufReader::new(file);
    let mut kept = Kept::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let metrics = serde_json::from_slice::<Metrics>(&line).ok();
        let metrics = metrics.filter(|of| line.ends_with(b"\n") && of.step() <= step);
        match metrics {
            None => return Ok(kept),
            Some(Metrics::Environment(environment)) => kept.environment = Some(environment),
            Some(_) => {}
        }
        kept.length += length as u64;
    }
}
