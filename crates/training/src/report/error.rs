//! Why there is no report.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::experiments::{OutlineError, SearchError};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder holds nothing to report about.
    #[error(
        "{path}: neither the folder of a run (config.toml) nor of an experiment (experiment.json)"
    )]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A run's configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An experiment's outline cannot be read.
    #[error(transparent)]
    Outline(#[from] OutlineError),
    /// The record of an experiment's search cannot be read.
    #[error(transparent)]
    Search(#[from] SearchError),
}
