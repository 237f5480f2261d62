//! A model on disk: `config.json` and `model.safetensors` in one folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::TransformerConfig;
use crate::files::read_at_most;
use crate::weights::{self, Weights, WeightsError};

/// File name of the configuration in a model folder.
pub const CONFIG_FILE: &str = "config.json";
/// File name of the weights in a model folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// File name of the tokenizer in a model folder.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// The largest `config.json` that is read, in bytes: a limit far above real files.
const LARGEST_CONFIG: u64 = 16 << 20;

const MODEL_TYPE: &str = "learned-dropout";

/// The content of `config.json`: the type of the model and its configuration.
#[derive(Serialize, Deserialize)]
struct ConfigFile {
    model_type: String,
    #[serde(flatten)]
    model: serde_json::Map<String, serde_json::Value>,
}

/// Writes `config.json`.
///
/// # Errors
/// The file cannot be written.
pub fn write_config(folder: &Path, config: &TransformerConfig) -> Result<(), WeightsError> {
    let path = folder.join(CONFIG_FILE);
    let Ok(serde_json::Value::Object(model)) = serde_json::to_value(config) else {
        unreachable!("a configuration is a table");
    };
    let file = ConfigFile {
        model_type: MODEL_TYPE.into(),
        model,
    };
    let mut text = serde_json::to_string_pretty(&file).expect("strings and numbers serialize");
    text.push('\n');
    crate::files::write_atomically(&path, text.as_bytes())
        .map_err(|source| WeightsError::File { path, source })
}

/// Reads and checks `config.json`.
///
/// # Errors
/// The file cannot be read, or its configuration is not valid.
pub fn read_config(folder: &Path) -> Result<TransformerConfig, WeightsError> {
    let path = folder.join(CONFIG_FILE);
    let text = read_at_most(&path, LARGEST_CONFIG).map_err(|source| WeightsError::File {
        path: path.clone(),
        source,
    })?;
    let broken = |reason: String| WeightsError::Config {
        path: path.clone(),
        reason,
    };
    let file: ConfigFile =
        serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    if file.model_type != MODEL_TYPE {
        return Err(broken(format!(
            "`model_type` is \"{}\", expected \"{MODEL_TYPE}\"; only models of this program can \
             be read",
            file.model_type
        )));
    }
    let config: TransformerConfig = serde_json::from_value(serde_json::Value::Object(file.model))
        .map_err(|error| broken(error.to_string()))?;
    config
        .validate()
        .map_err(|problems| WeightsError::Impossible {
            path: path.clone(),
            problems,
        })?;
    Ok(config)
}

/// Reads a model folder: its configuration and its weights, checked against each other.
///
/// # Errors
/// A file is missing or damaged, or the weights do not fit the configuration.
pub fn read(folder: &Path) -> Result<(TransformerConfig, Weights), WeightsError> {
    let config = read_config(folder)?;
    let weights = weights::read(&folder.join(WEIGHTS_FILE), &config)?;
    Ok((config, weights))
}

/// Writes a model folder's configuration and weights. The folder must exist.
///
/// # Errors
/// A file cannot be written.
pub fn write(
    folder: &Path,
    config: &TransformerConfig,
    weights: &Weights,
) -> Result<(), WeightsError> {
    write_config(folder, config)?;
    weights::write(&folder.join(WEIGHTS_FILE), weights)
}
