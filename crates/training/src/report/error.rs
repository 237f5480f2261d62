//! Why there is no report.

use std::path::{Path, PathBuf};

use data::error::in_shell;

use crate::config::ConfigError;
use crate::experiments::{OUTLINE_FILE, OutlineError, SearchError};
use crate::run_folder::CONFIG_FILE;

/// The most folders that a message names.
const MOST_NAMED: usize = 4;

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
    /// There is no such folder.
    #[error("{path}: {found}; expected the folder of a run or an experiment")]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// A folder holds nothing to report about.
    #[error(
        "{path}: neither the folder of a run (no {CONFIG_FILE}) nor that of an experiment (no {OUTLINE_FILE}){}",
        advice(within)
    )]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// Folders of runs and experiments in it.
        within: Vec<PathBuf>,
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

impl ReportError {
    /// Fails if there is no such folder.
    pub(super) fn check_folder(path: &Path) -> Result<(), Self> {
        let found = match (path.is_dir(), path.exists()) {
            (true, _) => return Ok(()),
            (false, true) => "this is a file",
            (false, false) => "there is no such folder",
        };
        let path = path.into();
        Err(Self::NoFolder { path, found })
    }

    /// That a folder is not that of a run or an experiment.
    pub(super) fn no_run(path: &Path) -> Self {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        let mut within: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join(CONFIG_FILE).is_file() || path.join(OUTLINE_FILE).is_file())
            .collect();
        within.sort();
        Self::NoRun {
            path: path.into(),
            within,
        }
    }
}

/// What to do if there are these folders in one that is none of a run.
fn advice(within: &[PathBuf]) -> String {
    if within.is_empty() {
        return String::new();
    }
    let names = within.iter().take(MOST_NAMED).map(|path| in_shell(path));
    let names: Vec<String> = names.collect();
    let more = if within.len() > MOST_NAMED {
        " ..."
    } else {
        ""
    };
    format!(
        "; name the folders in it: ldrop report {}{more}",
        names.join(" ")
    )
}
