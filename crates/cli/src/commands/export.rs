//! `ldrop export`.

use model::{pytorch, weights};
use serde::Serialize;

use crate::arguments::{Common, ExportArguments, ExportFormat};
use crate::failure::Failure;
use crate::named_model;
use crate::terminal::{print, print_json, tell};

#[derive(Serialize)]
struct Report<'a> {
    out: &'a std::path::Path,
}

/// Runs `export`.
pub fn run(arguments: ExportArguments, common: &Common) -> Result<(), Failure> {
    let (config, tensors) = named_model::read(&arguments.model)?;
    match arguments.format {
        ExportFormat::Safetensors => weights::write(&arguments.out, &tensors)?,
        ExportFormat::PtNames => {
            for note in pytorch::export(&arguments.out, &config, &tensors)? {
                tell(&format!("note: {note}"));
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
