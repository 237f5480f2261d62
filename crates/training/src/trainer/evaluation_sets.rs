//! Further data folders that a run evaluates, `train.evaluate.sets`.

use std::path::Path;

use data::error::{DataError, in_shell, suggested_folder};
use data::{DataFolder, Split, batches};

use super::error::TrainError;
use crate::config::RunConfig;

/// A data folder whose validation split is evaluated.
pub(super) struct EvaluationSet {
    pub(super) name: String,
    pub(super) data: DataFolder,
}

/// Opens the sets of a configuration, in the order of their names. `training` is the run's data.
///
/// # Errors
/// A folder cannot be read, has too few tokens for a window, or was made with another tokenizer.
pub(super) fn open(
    config: &RunConfig,
    training: &DataFolder,
    context: usize,
) -> Result<Vec<EvaluationSet>, TrainError> {
    let sets = config.train.evaluate.sets.iter();
    let sets = sets.map(|(name, path)| {
        Ok(EvaluationSet {
            name: name.clone(),
            data: open_set((name, path), training, context)?,
        })
    });
    sets.collect()
}

/// Opens the set with this name in this folder. See [`open`].
pub(crate) fn open_set(
    (name, path): (&str, &Path),
    training: &DataFolder,
    context: usize,
) -> Result<DataFolder, TrainError> {
    let data = open_validation(path, context).map_err(|error| unusable(name, error, training))?;
    if have_one_tokenizer(&data, training)? {
        return Ok(data);
    }
    Err(TrainError::OtherTokenizer {
        name: name.into(),
        path: path.into(),
        training: training.path().into(),
    })
}

/// The error of a set that cannot be opened. A command that makes a set fits the run's data.
fn unusable(name: &str, error: DataError, training: &DataFolder) -> TrainError {
    let (what, text, out) = match error {
        DataError::NotFound { path } => (
            format!("{}: there is no such folder", path.display()),
            "FILE".into(),
            path,
        ),
        DataError::Missing { path, missing } => (
            format!(
                "{} is not a data folder: `{missing}` is missing",
                path.display()
            ),
            "FILE".into(),
            path,
        ),
        DataError::NotPrepared { path, what } => (
            format!("{} is {what}, not a data folder", path.display()),
            in_shell(&path),
            suggested_folder(&path),
        ),
        error => {
            return TrainError::EvaluationSet {
                name: name.into(),
                error,
            };
        }
    };
    TrainError::NoEvaluationSet {
        name: name.into(),
        what,
        text,
        training: training.path().into(),
        out,
    }
}

fn open_validation(path: &Path, context: usize) -> Result<DataFolder, DataError> {
    let data = DataFolder::open(path)?;
    batches::sample(data.split(Split::Validation), 1, context, &mut |_| 0)?;
    Ok(data)
}

fn have_one_tokenizer(one: &DataFolder, other: &DataFolder) -> Result<bool, DataError> {
    Ok(one.meta().vocabulary == other.meta().vocabulary
        && one.meta().end_of_text == other.meta().end_of_text
        && one.tokenizer()?.to_json() == other.tokenizer()?.to_json())
}
