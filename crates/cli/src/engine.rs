//! Inference engines that run stored models on the CPU.

use std::path::Path;

use inference::Engine;
use training::stored_model::StoredModel;

use crate::arguments::{Common, PrecisionName};
use crate::failure::Failure;

/// Reads the model at `path` and makes an engine of it.
pub fn engine_of(
    path: &Path,
    common: &Common,
    default: PrecisionName,
    dense: bool,
) -> Result<Engine, Failure> {
    let (config, weights) = StoredModel::find(path)?.read()?;
    let options = common.engine_options(default, &config, dense);
    Ok(Engine::with_options(config, weights, options)?)
}
