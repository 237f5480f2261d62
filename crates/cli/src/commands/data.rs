//! `ldrop data prepare`.

use data::{PrepareOptions, prepare};

use crate::arguments::{Common, DataArguments, DataCommand, PrepareArguments};
use crate::failure::Failure;
use crate::terminal::{Stages, print, print_json, thousands};

/// Runs a command of `data`.
pub fn run(arguments: DataArguments, common: &Common) -> Result<(), Failure> {
    match arguments.command {
        DataCommand::Prepare(arguments) => run_prepare(arguments, common),
    }
}

fn run_prepare(arguments: PrepareArguments, common: &Common) -> Result<(), Failure> {
    let out = arguments.out.clone();
    let options = PrepareOptions {
        tokenizer: arguments.tokenizer,
        validation: arguments.validation,
        end_of_text: !arguments.no_end_of_text,
        text_column: arguments.text_column,
        max_text_bytes: arguments.max_text,
        threads: common.threads(),
        ..PrepareOptions::new(arguments.sources, arguments.out)
    };
    let meta = prepare(&options, &Stages::new(common.quiet))?;
    if common.json {
        return print_json(&meta);
    }
    print(&format!(
        "{}: {} documents, {} training tokens, {} validation tokens, vocabulary {} ({})",
        out.display(),
        thousands(meta.documents),
        thousands(meta.train.tokens),
        thousands(meta.validation.tokens),
        thousands(meta.vocabulary),
        meta.tokenizer,
    ))
}
