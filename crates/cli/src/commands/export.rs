//! `ldrop export`.

use std::io;
use std::path::{Path, PathBuf};

use data::Tokenizer;
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
    let beside = tokenizer_beside(&arguments.out);
    refuse_other(&beside, tokenizer.as_ref())?;
    match arguments.format {
        ExportFormat::Safetensors => weights::write(&arguments.out, &tensors)?,
        ExportFormat::PtNames => {
            for note in pytorch::export(&arguments.out, &config, &tensors)? {
                print_message(&format!("note: {note}"));
            }
        }
    }
    if let Some(tokenizer) = &tokenizer {
        tokenizer.save(&beside)?;
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

/// Refuses a file in the place of the tokenizer that is not the model's own: it may be the only copy of another
/// model's, and beside these weights it would be taken for theirs.
fn refuse_other(beside: &Path, tokenizer: Option<&Tokenizer>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::work(format!("{}: {error}", beside.display()));
    let found = match std::fs::read(beside) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let problem = match tokenizer {
        Some(tokenizer) if tokenizer.to_json().as_bytes() == found => return Ok(()),
        Some(_) => "the model's tokenizer would replace this file, which differs from it",
        None => {
            "the model has no tokenizer, and this file would be taken for the one of the exported weights"
        }
    };
    Err(Failure::Usage(format!(
        "{}: {problem}; move the file away, or choose another --out",
        beside.display()
    )))
}
