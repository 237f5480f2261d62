//! Models by the folder that a user names.

use std::path::{Path, PathBuf};

use data::{DataFolder, Tokenizer};
use inference::Engine;
use model::TransformerConfig;
use model::model_folder::{self, TOKENIZER_FILE};
use model::weights::Weights;
use serde::Serialize;
use training::checkpoints::{FOLDER, model_folder_of};
use training::config::RunConfig;
use training::run_folder::CONFIG_FILE;

use crate::arguments::{Common, PrecisionName};
use crate::failure::Failure;

/// The file of settings for generation that Hugging Face programs read.
const GENERATION_FILE: &str = training::checkpoints::GENERATION_FILE;

/// The model folder that a path stands for: itself, or the best (else the latest) checkpoint of
/// a run folder.
pub fn locate(path: &Path) -> Result<PathBuf, Failure> {
    if let Some(folder) = model_folder_of(path) {
        return Ok(folder);
    }
    let problem = if !path.exists() {
        "there is no such folder"
    } else if path.join(FOLDER).exists() {
        "a run folder without any checkpoint yet; train on with --resume"
    } else {
        "neither a model folder (config.json) nor a run folder (best, latest)"
    };
    Err(Failure::work(format!("{}: {problem}", path.display())))
}

/// The model of a run's configuration, which errors call `name`; its data is asked for the
/// vocabulary only if need be.
pub fn config_of_run(config: &RunConfig, name: &Path) -> Result<TransformerConfig, Failure> {
    let vocabulary = match config.model.vocabulary {
        Some(_) => None,
        None if config.data.path.join("meta.json").exists() => {
            Some(DataFolder::open(&config.data.path)?.meta().vocabulary as usize)
        }
        None => None,
    };
    config.model.transformer(vocabulary).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::work(format!("{}: {}", name.display(), problems.join("; ")))
    })
}

/// The configuration and the weights of a model.
pub fn read(path: &Path) -> Result<(TransformerConfig, Weights), Failure> {
    Ok(model_folder::read(&locate(path)?)?)
}

/// The data that a model was trained on, where the folder is part of a run.
pub fn data_of(path: &Path) -> Result<Option<DataFolder>, Failure> {
    let folders = path.ancestors().take(3);
    let file = folders
        .map(|folder| folder.join(CONFIG_FILE))
        .find(|file| file.is_file());
    file.map(|file| Ok(DataFolder::open(RunConfig::read(&file, &[])?.data.path)?))
        .transpose()
}

/// The tokenizer of a model, where its folder has one.
pub fn tokenizer(path: &Path) -> Result<Option<Tokenizer>, Failure> {
    let file = locate(path)?.join(TOKENIZER_FILE);
    if file.exists() {
        Ok(Some(Tokenizer::from_file(&file)?))
    } else {
        Ok(None)
    }
}

/// The tokenizer of a model that cannot do without.
pub fn tokenizer_of(path: &Path) -> Result<Tokenizer, Failure> {
    tokenizer(path)?.ok_or_else(|| {
        Failure::work(format!(
            "{}: the model has no {TOKENIZER_FILE}; copy the one of its data folder there",
            path.display()
        ))
    })
}

/// The tokenizer of data that a model is to read.
///
/// # Errors
/// The data has more tokens than the model knows, or was made with another tokenizer.
pub fn tokenizer_of_data(
    path: &Path,
    config: &TransformerConfig,
    folder: &DataFolder,
) -> Result<Tokenizer, Failure> {
    let vocabulary = folder.meta().vocabulary;
    if vocabulary > config.vocabulary as u64 {
        return Err(Failure::work(format!(
            "{}: the data has {vocabulary} tokens, the model knows {}; prepare the text with the \
             model's tokenizer",
            folder.path().display(),
            config.vocabulary
        )));
    }
    let tokenizer = folder.tokenizer()?;
    let own = self::tokenizer(path)?;
    if own.is_some_and(|own| own.to_json() != tokenizer.to_json()) {
        return Err(Failure::work(format!(
            "{}: the data was prepared with another tokenizer than the model's; its tokens mean \
             other text to this model",
            folder.path().display()
        )));
    }
    Ok(tokenizer)
}

/// An engine that runs the model on the CPU.
pub fn engine(
    path: &Path,
    common: &Common,
    default: PrecisionName,
    dense: bool,
) -> Result<Engine, Failure> {
    let (config, weights) = read(path)?;
    let options = common.engine_options(default, &config, dense);
    Ok(Engine::with_options(config, weights, options)?)
}

#[derive(Serialize)]
struct GenerationConfig {
    do_sample: bool,
    temperature: f32,
    max_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    eos_token_id: Option<u32>,
}

/// Writes a model folder with everything that generation needs. The folder must exist.
pub fn write(
    folder: &Path,
    config: &TransformerConfig,
    weights: &Weights,
    tokenizer: Option<&Tokenizer>,
) -> Result<(), Failure> {
    model_folder::write(folder, config, weights)?;
    let generation = GenerationConfig {
        do_sample: true,
        temperature: 1.0,
        max_length: config.context,
        eos_token_id: tokenizer.and_then(Tokenizer::end_of_text),
    };
    let text = serde_json::to_string_pretty(&generation)? + "\n";
    model::files::write_atomically(&folder.join(GENERATION_FILE), text.as_bytes())?;
    let path = folder.join(TOKENIZER_FILE);
    match tokenizer {
        Some(tokenizer) => tokenizer.save(path)?,
        // One that is left of another model would give its texts to this one's tokens.
        None if path.exists() => std::fs::remove_file(path)?,
        None => {}
    }
    Ok(())
}
