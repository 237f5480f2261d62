//! The settings for generating text in a model folder, which Hugging Face programs read.

use std::path::{Path, PathBuf};

use model::TransformerConfig;
use model::files::write_atomically;
use serde::Serialize;

/// File name of the settings for generating text in a checkpoint folder.
const GENERATION_FILE: &str = "generation_config.json";

/// Settings for generating text, in the file that Hugging Face programs read.
#[derive(Serialize)]
struct GenerationConfig {
    do_sample: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    eos_token_id: Option<u32>,
    max_length: usize,
    temperature: f32,
}

/// Writes the settings for generating text; a failure comes with the file's path.
pub(crate) fn write_generation_config(
    folder: &Path,
    config: &TransformerConfig,
    end_of_text: Option<u32>,
) -> Result<(), (PathBuf, std::io::Error)> {
    let generation = GenerationConfig {
        do_sample: true,
        eos_token_id: end_of_text,
        max_length: config.context,
        temperature: 1.0,
    };
    let mut text = serde_json::to_string_pretty(&generation).expect("numbers serialize");
    text.push('\n');
    let path = folder.join(GENERATION_FILE);
    write_atomically(&path, text.as_bytes()).map_err(|error| (path, error))
}
