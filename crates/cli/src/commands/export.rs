//! `ldrop export`.

use learned_dropout::{pytorch, weights};

use crate::arguments::{ExportArguments, ExportFormat};
use crate::failure::Failure;
use crate::model;
use crate::terminal::print;

/// Runs `export`.
pub fn run(arguments: ExportArguments) -> Result<(), Failure> {
    let (config, tensors) = model::read(&arguments.model)?;
    match arguments.format {
        ExportFormat::Safetensors => weights::write(&arguments.out, &tensors)?,
        ExportFormat::PtNames => {
            for note in pytorch::export(&arguments.out, &config, &tensors)? {
                eprintln!("note: {note}");
            }
        }
    }
    print(&arguments.out.display().to_string())
}
