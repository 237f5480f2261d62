//! `ldrop export`.

use model::{pytorch, weights};
use serde::Serialize;
use training::stored_model::StoredModel;

use crate::arguments::{Common, ExportArguments, ExportFormat};
use crate::failure::Failure;
use crate::terminal::{print, print_json, print_message};

#[derive(Serialize)]
struct Report<'a> {
    out: &'a std::path::Path,
}

/// Runs `export`.
pub fn run(arguments: ExportArguments, common: &Common) -> Result<(), Failure> {
    let (config, tensors) = StoredModel::find(&arguments.model)?.read()?;
    match arguments.format {
        ExportFormat::Safetensors => weights::write(&arguments.out, &tensors)?,
        ExportFormat::PtNames => {
            for note in pytorch::export(&arguments.out, &config, &tensors)? {
                print_message(&format!("note: {note}"));
            }
        }
    }
    if common.json {
        return print_json(&Report {
            out: &arguments.out,
        });
    }
    print(&arguments.out.display().to_string())
}
