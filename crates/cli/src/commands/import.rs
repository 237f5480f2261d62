//! `ldrop import`.

use data::Tokenizer;
use model::model_folder::{CONFIG_FILE, WEIGHTS_FILE};
use model::pytorch;
use serde::Serialize;
use training::run_folder::CONFIG_FILE as RUN_CONFIG_FILE;
use training::stored_model::write_model;

use crate::arguments::{Common, ImportArguments};
use crate::failure::Failure;
use crate::terminal::{print, print_json, print_message, thousands};

/// Tokens of GPT-2's byte-pair encoding.
const GPT2_VOCABULARY: usize = 50_257;

#[derive(Serialize)]
struct Report<'a> {
    out: &'a std::path::Path,
    parameters: usize,
    notes: &'a [String],
}

/// Runs `import`.
pub fn run(arguments: ImportArguments, common: &Common) -> Result<(), Failure> {
    let out = &arguments.out;
    if out.join(RUN_CONFIG_FILE).exists() {
        return Err(Failure::Usage(format!(
            "{}: this is the folder of a run; choose another one",
            out.display()
        )));
    }
    let occupied = [WEIGHTS_FILE, CONFIG_FILE];
    if occupied.iter().any(|file| out.join(file).exists()) && !arguments.force {
        return Err(Failure::Usage(format!(
            "{}: there is a model already; choose another folder, or add --force to replace it",
            out.display()
        )));
    }
    let mut imported = pytorch::import(&arguments.file)?;
    let tokenizer = (imported.config.vocabulary == GPT2_VOCABULARY).then(Tokenizer::gpt2);
    imported.notes.push(match &tokenizer {
        Some(_) => "the vocabulary has the size of GPT-2's, so its tokenizer was added".into(),
        None => "no tokenizer is known for this vocabulary; put the data's tokenizer.json into \
                 the folder to generate text"
            .into(),
    });
    std::fs::create_dir_all(out)
        .map_err(|error| Failure::work(format!("{}: {error}", out.display())))?;
    write_model(out, &imported.config, &imported.weights, tokenizer.as_ref())?;
    let parameters = imported.config.parameters();
    if common.json {
        return print_json(&Report {
            out,
            parameters,
            notes: &imported.notes,
        });
    }
    for note in &imported.notes {
        print_message(&format!("note: {note}"));
    }
    print(&format!(
        "{}: {} parameters",
        out.display(),
        thousands(parameters as u64)
    ))
}
