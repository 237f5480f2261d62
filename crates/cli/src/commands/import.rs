//! `ldrop import`.

use data::{Tokenizer, TokenizerChoice, TokenizerOrigin};
use model::model_folder::{CONFIG_FILE, WEIGHTS_FILE};
use model::pytorch;
use serde::Serialize;
use training::run_folder::CONFIG_FILE as RUN_CONFIG_FILE;
use training::stored_model::write_model;

use crate::arguments::{Common, ImportArguments};
use crate::commands::export::tokenizer_beside;
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
    let (tokenizer, note) = tokenizer(&arguments, imported.config.vocabulary)?;
    imported.notes.extend(note);
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

/// The tokenizer of a model with this vocabulary, and a note on where it comes from.
fn tokenizer(
    arguments: &ImportArguments,
    vocabulary: usize,
) -> Result<(Option<Tokenizer>, Option<String>), Failure> {
    let beside = tokenizer_beside(&arguments.file);
    let (origin, note) = match &arguments.tokenizer {
        Some(origin) => (origin.clone(), None),
        None if beside.exists() => {
            let note = format!("the tokenizer is that of {}", beside.display());
            (TokenizerOrigin::File(beside), Some(note))
        }
        None if vocabulary == GPT2_VOCABULARY => {
            let note = "the vocabulary has the size of GPT-2's, so its tokenizer was added";
            (TokenizerChoice::Gpt2.into(), Some(note.into()))
        }
        None => {
            let note = format!(
                "no tokenizer is known for this vocabulary: name it with --tokenizer, or put it beside \
                 the checkpoint as {}",
                beside.display()
            );
            return Ok((None, Some(note)));
        }
    };
    let Some(tokenizer) = origin.existing()? else {
        return Err(Failure::Usage(format!(
            "--tokenizer {origin}: expected a tokenizer that exists: gpt2, byte, or the path of a \
             `tokenizer.json` or of a folder that holds one"
        )));
    };
    // There may be rows that no token uses, for speed.
    if tokenizer.vocabulary() > vocabulary {
        return Err(Failure::Usage(format!(
            "the tokenizer {origin} has {} tokens, but the model knows {vocabulary}; name the model's own \
             with --tokenizer",
            tokenizer.vocabulary()
        )));
    }
    Ok((Some(tokenizer), note))
}
