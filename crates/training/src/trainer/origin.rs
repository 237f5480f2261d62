//! The weights of `train.from`: a run that begins with those of another model.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use data::folder::DataFolder;
use model::function::Shift;
use model::initialization::continued_weights;
use model::layout::layout;
use model::model_folder::{self, TOKENIZER_FILE};
use model::weights::Weights;
use model::{MaskShape, TransformerConfig};

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
        ]
    };
    let unequal = |key: &str, theirs: usize, ours: usize| {
        Err(format!(
            "the model's {key} is {theirs}, but model.{key} is {ours}; they must be equal"
        ))
    };
    for ((key, theirs), (_, ours)) in sizes(theirs).into_iter().zip(sizes(ours)) {
        if theirs != ours {
            return unequal(key, theirs, ours);
        }
    }
    for layer in 0..ours.layers {
        let hidden = |config: &TransformerConfig| config.feed_forward.hidden(config.width, layer);
        if hidden(theirs) != hidden(ours) {
            let key = match theirs.feed_forward.differs_by_layer()
                || ours.feed_forward.differs_by_layer()
            {
                true => format!("feed_forward.hidden of layer {layer}"),
                false => "feed_forward.hidden".into(),
            };
            return unequal(&key, hidden(theirs), hidden(ours));
        }
    }
    Ok(())
}

/// Checks that masks which both models have are computed in the same way.
fn check_masks(theirs: &TransformerConfig, ours: &TransformerConfig) -> Result<(), String> {
    for shape in ours.mask_shapes(0) {
        let is_new = theirs.masks_at(shape.site).is_none();
        let masks = ours.masks_at(shape.site).filter(|_| is_new);
        if masks.is_some_and(|masks| masks.function.shift() == Shift::Fixed) {
            return Err(format!(
                "masks that are added to a model begin by keeping everything, which a fixed shift at {} \
                 prevents; set the shift of its function to \"learned\"",
                shape.site
            ));
        }
    }
    for shape in theirs.mask_shapes(0) {
        let Some(our_shape) = ours.mask_shape(shape.site, 0) else {
            continue;
        };
        if shape != our_shape {
            return Err(format!(
                "its mask at {} has {}, this run's has {}; generator, group, rank, heads and input \
                 must agree",
                shape.site,
                described(&shape),
                described(&our_shape)
            ));
        }
        let masks = (theirs.masks_at(shape.site), ours.masks_at(shape.site));
        if let (Some(theirs), Some(ours)) = masks
            && !theirs.function.computes_same_as(&ours.function)
        {
            return Err(format!(
                "its mask function at {} is {}, but that of model.learned_dropout is {}; they must \
                 agree",
                shape.site, theirs.function, ours.function
            ));
        }
    }
    let (Some(theirs), Some(ours)) = (&theirs.learned_dropout, &ours.learned_dropout) else {
        return Ok(());
    };
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

/// The sizes of a mask in words.
fn described(shape: &MaskShape) -> String {
    let MaskShape { values, input, .. } = shape;
    match shape.attention {
        Some(attention) => {
            let heads = attention.heads;
            format!("{values} values from {heads} heads over {input} channels")
        }
        None => format!("{values} values from a linear layer over {input} channels"),
    }
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
