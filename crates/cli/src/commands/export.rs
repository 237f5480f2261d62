//! `ldrop export`.

use std::path::{Path, PathBuf};

use model::{pytorch, weights};
use serde::Serialize;
use training::stored_model::StoredModel;

use crate::arguments::{Common, ExportArguments, ExportFormat};
use crate::failure::Failure;
use crate::terminal::{print, print_json, print_message};

#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    /// The tokenizer's file, if the model has one.
    tokenizer: Option<&'a Path>,
}

/// The file of a tokenizer beside a file of weights: `model.tokenizer.json` for `model.pt`.
pub fn tokenizer_beside(weights: &Path) -> PathBuf {
    weights.with_extension("tokenizer.json")
}

/// Runs `export`.
pub fn run(arguments: ExportArguments, common: &Common) -> Result<(), Failure> {
    let stored = StoredModel::find(&arguments.model)?;
    let (config, tensors) = stored.read()?;
    let tokenizer = stored.tokenizer()?;
    match arguments.format {
        ExportFormat::Safetensors => weights::write(&arguments.out, &tensors)?,
        ExportFormat::PtNames => {
            for note in pytorch::export(&arguments.out, &config, &tensors)? {
                print_message(&format!("note: {note}"));
            }
        }
    }
    let beside = tokenizer_beside(&arguments.out);
    match &tokenizer {
        Some(tokenizer) => tokenizer.save(&beside)?,
        // One of another model would give its texts to these weights.
        None if beside.exists() => std::fs::remove_file(&beside)
            .map_err(|error| Failure::work(format!("{}: {error}", beside.display())))?,
        None => {}
    }
    let tokenizer = tokenizer.is_some().then_some(beside.as_path());
    if common.json {
        return print_json(&Report {
            out: &arguments.out,
            tokenizer,
        });
    }
    print(&arguments.out.display().to_string())?;
    tokenizer.map_or(Ok(()), |path| print(&path.display().to_string()))
}
