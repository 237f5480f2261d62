//! Why a run cannot begin or go on.

use std::path::{Path, PathBuf};

use data::error::in_shell;
use model::ConfigProblem;

use super::changeable::{changeable_in_words, is_changeable};
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
    /// The model does not fit the data, or its configuration is impossible.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Model(Vec<ConfigProblem>),
    /// The model of `train.from` does not fit the run.
    #[error("train.from: {}: {reason}", path.display())]
    Origin {
        /// The configured path.
        path: PathBuf,
        /// The difference, and what is needed.
        reason: String,
    },
    /// The device does not have the precision.
    #[error("train.precision: {0}")]
    Precision(#[from] PrecisionError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] data::error::DataError),
    /// A set of `train.evaluate.sets` cannot be read, or is too short for a window.
    #[error("train.evaluate.sets.{name}: {error}")]
    EvaluationSet {
        /// The name of the set.
        name: String,
        /// What is wrong with its data.
        error: data::error::DataError,
    },
    /// A set of `train.evaluate.sets` is no data folder.
    #[error(
        "train.evaluate.sets.{name}: {what}; make one with `ldrop data prepare --validation-source {text} \
         --tokenizer {} --out {}`{}",
        in_shell(training),
        in_shell(out),
        if text == "FILE" { "" } else { ", and name that" }
    )]
    NoEvaluationSet {
        /// The name of the set.
        name: String,
        /// What its path is instead.
        what: String,
        /// The text to prepare, as it is typed.
        text: String,
        /// The data folder of the run.
        training: PathBuf,
        /// The data folder to make.
        out: PathBuf,
    },
    /// A set of `train.evaluate.sets` was made with another tokenizer than the run's data.
    #[error(
        "train.evaluate.sets.{name}: {} was prepared with another tokenizer than the run's data; its \
         tokens mean other text to the model. Prepare the text again with `ldrop data prepare \
         --tokenizer {}`",
        path.display(),
        training.display()
    )]
    OtherTokenizer {
        /// The name of the set.
        name: String,
        /// Its data folder.
        path: PathBuf,
        /// The data folder of the run.
        training: PathBuf,
    },
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
        "{}: the configuration differs from the run's own in {}; resume with the run's values, or {}",
        path.display(),
        keys.join(", "),
        instead_of_the_same_values(keys)
    )]
    ConfigChanged {
        /// The run folder.
        path: PathBuf,
        /// The keys whose values differ; if changes are allowed, those that may not change.
        keys: Vec<String>,
    },
    /// `config.toml` differs from the configuration that a checkpoint was trained with.
    #[error(
        "{}: config.toml has changed since this checkpoint was written, in a key that affects the \
         weights; undo the change, or start a new run in another folder",
        checkpoint.display()
    )]
    ConfigEdited {
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// The data differs from the data that a checkpoint was trained on.
    #[error(
        "{}: this is not the data that the run was trained on so far (checkpoint {}); set \
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
        "the run has done {done} steps, but train.steps is {steps}; it must be at least the number \
         of steps done"
    )]
    StepsDone {
        /// Completed steps.
        done: u64,
        /// The configured number of steps.
        steps: u64,
    },
    /// A finished run was to be resumed with changes that no step would follow.
    #[error(
        "{}: the run is finished: {end}. There is nothing left to train with the changed {}, so nothing was \
         changed; to go on, {advice}",
        path.display(),
        keys.join(", ")
    )]
    NothingLeft {
        /// The run folder.
        path: PathBuf,
        /// Why it is finished.
        end: String,
        /// The keys that were to change.
        keys: Vec<String>,
        /// How the run goes on.
        advice: &'static str,
    },
    /// A run has checkpoints, but all are damaged.
    #[error(
        "no checkpoint of the run is intact; the newest: {newest}. Start a new run in another folder"
    )]
    AllDamaged {
        /// Why the newest one cannot be used.
        newest: CheckpointError,
    },
    /// A device other than the CPU failed.
    #[error("the device failed: {0}; try again, or compute on another device")]
    Device(String),
    /// The training diverged.
    #[error(
        "step {step}: the {what} is {value}, not a finite number; {}. Try a lower \
         train.optimizer.learning_rate, a longer train.schedule.warmup, or train.clip = 1.0",
        last_checkpoint_in_words(checkpoint.as_ref())
    )]
    Diverged {
        /// The number of the failed step, from 1.
        step: u64,
        /// The quantity that is not finite.
        what: &'static str,
        /// Its value.
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

/// What to do if the values of these keys are to change when a run is resumed.
fn instead_of_the_same_values(keys: &[String]) -> String {
    if keys.iter().all(|key| is_changeable(key)) {
        return "allow the change with --allow-changes".into();
    }
    format!(
        "start a new run in another folder. What may change, with --allow-changes: {}",
        changeable_in_words()
    )
}

fn last_checkpoint_in_words(checkpoint: Option<&PathBuf>) -> String {
    match checkpoint {
        Some(folder) => format!("the last checkpoint is {}", folder.display()),
        None => "there is no checkpoint yet".into(),
    }
}
