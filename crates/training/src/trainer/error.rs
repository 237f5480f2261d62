//! Why a run cannot begin or go on.

use std::path::{Path, PathBuf};

use model::ConfigProblem;

use crate::checkpoints::CheckpointError;
use crate::config::ConfigError;
use crate::metrics::MetricsError;
use crate::precision::PrecisionError;
use crate::run_folder::RunFolderError;

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration cannot be read or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model does not fit the data, or is impossible.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Model(Vec<ConfigProblem>),
    /// The model that a run was to begin from does not fit it.
    #[error("train.from: {}: {reason}", path.display())]
    Origin {
        /// What was configured.
        path: PathBuf,
        /// What does not fit, and what would.
        reason: String,
    },
    /// The device does not have the precision.
    #[error("train.precision: {0}")]
    Precision(#[from] PrecisionError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] data::error::DataError),
    /// The run folder cannot be used.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The metrics cannot be written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A run was to be resumed with another configuration.
    #[error(
        "{}: the configuration differs from the run's own in {}; resume with the run's values, or \
         start a new run in another folder",
        path.display(),
        keys.join(", ")
    )]
    ConfigChanged {
        /// The run folder.
        path: PathBuf,
        /// The keys whose values differ.
        keys: Vec<String>,
    },
    /// `config.toml` is not the one that a checkpoint was trained with.
    #[error(
        "{}: config.toml was changed since this checkpoint was written, in a key that decides the \
         weights; put it back as it was, or start a new run in another folder",
        checkpoint.display()
    )]
    ConfigEdited {
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// The data is not that which a checkpoint was trained on.
    #[error(
        "{}: this is not the data that the run was trained on so far (checkpoint {}); point \
         data.path to that data, or start a new run in another folder",
        path.display(),
        checkpoint.display()
    )]
    DataChanged {
        /// The data folder.
        path: PathBuf,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// A run was to be resumed with fewer steps than it has done.
    #[error(
        "the run has done {done} steps, train.steps is {steps}; it may be raised, but not below \
         what is done"
    )]
    StepsDone {
        /// Completed steps.
        done: u64,
        /// The configured number of steps.
        steps: u64,
    },
    /// A run has checkpoints, but all are damaged.
    #[error(
        "no checkpoint of the run is intact; the newest: {newest}. Start a new run in another folder"
    )]
    AllDamaged {
        /// What is wrong with the newest one.
        newest: CheckpointError,
    },
    /// A device other than the processor failed.
    #[error("the device failed: {0}; try again, or compute on another device")]
    Device(String),
    /// The training diverged.
    #[error(
        "step {step}: the {what} is {value}, not a finite number; {}. Try a lower \
         train.optimizer.learning_rate, a longer train.schedule.warmup, or train.clip = 1.0",
        kept(checkpoint.as_ref())
    )]
    Diverged {
        /// The step that could not be done, from 1.
        step: u64,
        /// What is not finite.
        what: &'static str,
        /// What it is.
        value: f64,
        /// The last checkpoint.
        checkpoint: Option<PathBuf>,
    },
}

/// Fails if a value of the step with this number, from 1, is not a finite number.
pub(super) fn finite(
    step: u64,
    what: &'static str,
    value: f64,
    last_checkpoint: Option<&Path>,
) -> Result<(), TrainError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(TrainError::Diverged {
        step,
        what,
        value,
        checkpoint: last_checkpoint.map(Into::into),
    })
}

fn kept(checkpoint: Option<&PathBuf>) -> String {
    match checkpoint {
        Some(folder) => format!("the last checkpoint is {}", folder.display()),
        None => "there is no checkpoint yet".into(),
    }
}
