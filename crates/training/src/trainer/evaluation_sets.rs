//! Further data folders that a run evaluates, `train.evaluate.sets`.

use std::path::Path;

use data::error::DataError;
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
        let data = open_set(path, context).map_err(|error| TrainError::EvaluationSet {
            name: name.clone(),
            error,
        })?;
        if !have_one_tokenizer(&data, training)? {
            return Err(TrainError::OtherTokenizer {
                name: name.clone(),
                path: path.clone(),
                training: training.path().into(),
            });
        }
        Ok(EvaluationSet {
            name: name.clone(),
            data,
        })
    });
    sets.collect()
}

fn open_set(path: &Path, context: usize) -> Result<DataFolder, DataError> {
    let data = DataFolder::open(path)?;
    batches::sample(data.split(Split::Validation), 1, context, &mut |_| 0)?;
    Ok(data)
}

fn have_one_tokenizer(one: &DataFolder, other: &DataFolder) -> Result<bool, DataError> {
    Ok(one.meta().vocabulary == other.meta().vocabulary
        && one.meta().end_of_text == other.meta().end_of_text
        && one.tokenizer()?.to_json() == other.tokenizer()?.to_json())
}
