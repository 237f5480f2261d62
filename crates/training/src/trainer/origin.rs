//! The weights of `train.from`: a run that begins with those of another model.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use data::folder::DataFolder;
use model::TransformerConfig;
use model::initialization::continued_weights;
use model::layout::layout;
use model::model_folder::{self, TOKENIZER_FILE};
use model::weights::Weights;

use super::error::TrainError;
use crate::checkpoints;
use crate::config::RunConfig;
use crate::fitting_data;

/// The weights of `train.from`; none without it.
pub(super) fn weights(
    config: &RunConfig,
    model: &TransformerConfig,
    data: &DataFolder,
) -> Result<Option<Weights>, TrainError> {
    let (Some(path), Some(folder)) = (&config.train.from, check(config, model, data)?) else {
        return Ok(None);
    };
    let fails = |reason: String| TrainError::Origin {
        path: path.clone(),
        reason,
    };
    let (_, weights) = model_folder::read(&folder).map_err(|error| fails(error.to_string()))?;
    let continued = continued_weights(model, config.seed, weights)
        .map_err(|reason| fails(format!("{reason}; {MASKS_ONLY}")))?;
    Ok(Some(continued))
}

/// What may differ between a run and the model that it begins with.
const MASKS_ONLY: &str = "only learned masks may be added to a model, and none taken away";

/// The model folder of `train.from`, whose description fits the run; none without it. The weights are not read.
pub(crate) fn check(
    config: &RunConfig,
    model: &TransformerConfig,
    data: &DataFolder,
) -> Result<Option<PathBuf>, TrainError> {
    let Some(path) = &config.train.from else {
        return Ok(None);
    };
    let fails = |reason: String| TrainError::Origin {
        path: path.clone(),
        reason,
    };
    let folder = checkpoints::model_folder_of(path).ok_or_else(|| {
        let reason = match path.exists() {
            true => "neither a model folder (config.json) nor a run folder with a checkpoint",
            false => "there is no such folder; expected a model folder, or a run folder with a checkpoint",
        };
        fails(reason.into())
    })?;
    let theirs = model_folder::read_config(&folder).map_err(|error| fails(error.to_string()))?;
    // Another tokenizer has another vocabulary, too, and this is what is to be done about it.
    check_tokenizer(&folder, path, data).map_err(fails)?;
    check_sizes(&theirs, model).map_err(fails)?;
    check_masks(&theirs, model).map_err(fails)?;
    let ours: HashSet<String> = layout(model).map(|tensor| tensor.name).collect();
    let mut theirs = layout(&theirs);
    if let Some(tensor) = theirs.find(|tensor| !ours.contains(&tensor.name)) {
        let name = tensor.name;
        return Err(fails(format!(
            "tensor `{name}` has no place in this configuration; {MASKS_ONLY}"
        )));
    }
    Ok(Some(folder))
}

fn check_sizes(theirs: &TransformerConfig, ours: &TransformerConfig) -> Result<(), String> {
    let sizes = |config: &TransformerConfig| {
        [
            ("vocabulary", config.vocabulary),
            ("context", config.context),
            ("width", config.width),
            ("heads", config.heads),
            ("layers", config.layers),
            (
                "feed_forward.hidden",
                config.feed_forward.hidden(config.width),
            ),
        ]
    };
    for ((key, theirs), (_, ours)) in sizes(theirs).into_iter().zip(sizes(ours)) {
        if theirs != ours {
            return Err(format!(
                "the model's {key} is {theirs}, but model.{key} is {ours}; they must be equal"
            ));
        }
    }
    Ok(())
}

/// Checks that masks which both models have are computed in the same way.
fn check_masks(theirs: &TransformerConfig, ours: &TransformerConfig) -> Result<(), String> {
    for shape in theirs.mask_shapes() {
        let Some(ours) = ours.mask_shape(shape.site) else {
            continue;
        };
        if shape != ours {
            return Err(format!(
                "its mask at {} has {} values from {} heads over {} channels, this run's has {} \
                 from {} over {}; group, rank, heads and input must agree",
                shape.site,
                shape.values,
                shape.heads,
                shape.input,
                ours.values,
                ours.heads,
                ours.input
            ));
        }
    }
    let (Some(theirs), Some(ours)) = (&theirs.learned_dropout, &ours.learned_dropout) else {
        return Ok(());
    };
    if !theirs.function.computes_same_as(&ours.function) {
        return Err(format!(
            "its mask function is {}, but model.learned_dropout.function is {}; they must agree",
            theirs.function, ours.function
        ));
    }
    if theirs.input != ours.input {
        return Err(format!(
            "its masks are computed from \"{}\", but model.learned_dropout.input is \"{}\"; they \
             must agree",
            theirs.input.name(),
            ours.input.name()
        ));
    }
    Ok(())
}

/// Checks the tokenizer of a model folder, if it has one. The user named it by `path`.
fn check_tokenizer(folder: &Path, path: &Path, data: &DataFolder) -> Result<(), String> {
    let file = folder.join(TOKENIZER_FILE);
    let Ok(theirs) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let ours = data.tokenizer().map_err(|error| error.to_string())?;
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    if parsed(&theirs) == parsed(&ours.to_json()) {
        return Ok(());
    }
    Err(format!(
        "its tokenizer is not that of {}; prepare the text with the model's tokenizer: `{}`",
        data.path().display(),
        fitting_data::command(data, path)
    ))
}
