//! `ldrop data prepare` and `ldrop data merge`.

use std::path::Path;

use data::sources::{LeftOut, Reason, Tally};
use data::{
    DataError, MergeOptions, Meta, PrepareOptions, Prepared, merge, prepare, prepare_shard,
};
use serde::Serialize;

use crate::arguments::{Common, DataArguments, DataCommand, MergeArguments, PrepareArguments};
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{Stages, print, print_json, printable, thousands};

/// Unknown templates that the report names.
const TEMPLATES_NAMED: usize = 20;

/// Runs a command of `data`.
pub fn run(arguments: DataArguments, common: &Common) -> Result<(), Failure> {
    stop::give_up_on_signals()?;
    match arguments.command {
        DataCommand::Prepare(arguments) => run_prepare(arguments, common),
        DataCommand::Merge(arguments) => run_merge(arguments, common),
    }
}

fn run_prepare(arguments: PrepareArguments, common: &Common) -> Result<(), Failure> {
    let out = arguments.out.clone();
    let options = PrepareOptions {
        tokenizer: arguments.tokenizer,
        validation: arguments.validation,
        end_of_text: !arguments.no_end_of_text,
        text_column: arguments.text_column,
        language_variant: arguments.language_variant,
        format: arguments.format.into(),
        on_error: arguments.on_error.into(),
        max_text_bytes: arguments.max_text,
        threads: common.threads(),
        ..PrepareOptions::new(arguments.sources, arguments.out)
    };
    let stages = Stages::new(common.quiet);
    let Some(shard) = arguments.shard else {
        return show(&out, &prepare(&options, &stages).map_err(failure)?, common);
    };
    let description = prepare_shard(&options, shard, &stages).map_err(failure)?;
    if common.json {
        return print_json(&description);
    }
    print(&format!(
        "{}: shard {shard}, {} documents, {} tokens, vocabulary {} ({})",
        out.display(),
        thousands(description.documents),
        thousands(description.tokens.tokens),
        thousands(description.vocabulary),
        description.tokenizer,
    ))?;
    print_left_out(&description.left_out)
}

fn run_merge(arguments: MergeArguments, common: &Common) -> Result<(), Failure> {
    let out = arguments.out.clone();
    let options = MergeOptions {
        parts: arguments.parts,
        out: arguments.out,
        validation: arguments.validation,
        tokenizer: arguments.tokenizer,
        threads: common.threads(),
    };
    let merged = merge(&options, &Stages::new(common.quiet)).map_err(failure)?;
    show(&out, &merged, common)
}

/// A value that cannot work is one of the arguments.
fn failure(error: DataError) -> Failure {
    match error {
        DataError::Value { .. } => Failure::Usage(error.to_string()),
        error => error.into(),
    }
}

/// Says what a new data folder holds.
fn show(
    out: &Path,
    Prepared { meta, left_out }: &Prepared,
    common: &Common,
) -> Result<(), Failure> {
    if common.json {
        return print_json(&JsonReport {
            meta,
            report: left_out,
        });
    }
    print(&format!(
        "{}: {} documents, {} training tokens, {} validation tokens, vocabulary {} ({})",
        out.display(),
        thousands(meta.documents),
        thousands(meta.train.tokens),
        thousands(meta.validation.tokens),
        thousands(meta.vocabulary),
        meta.tokenizer,
    ))?;
    print_left_out(left_out)
}

/// What `--json` prints.
#[derive(Serialize)]
struct JsonReport<'a> {
    #[serde(flatten)]
    meta: &'a Meta,
    report: &'a LeftOut,
}

/// One reason and its count, with examples where the user should look at them.
fn left_out_line(reason: Reason, tally: &Tally) -> String {
    let mut line = match reason {
        Reason::LoneSurrogate => String::from("changed: "),
        _ => String::from("left out: "),
    };
    line.push_str(&format!(
        "{} {}",
        thousands(tally.count),
        reason.description()
    ));
    let is_shown = matches!(
        reason,
        Reason::UnreadableRecord
            | Reason::LoneSurrogate
            | Reason::FileWithoutText
            | Reason::OtherFormat
            | Reason::BrokenLink
            | Reason::NotFetched
            | Reason::TrailingBytes
            | Reason::OwnFolder
            | Reason::OtherSplit
            | Reason::Unconvertible
    );
    if is_shown {
        for example in &tally.examples {
            line.push_str("\n  ");
            line.push_str(example);
        }
        let more = tally.count.saturating_sub(tally.examples.len() as u64);
        if more > 0 && !tally.examples.is_empty() {
            line.push_str(&format!("\n  and {} more", thousands(more)));
        }
    }
    line
}

/// Says what of the sources did not become text.
fn print_left_out(left_out: &LeftOut) -> Result<(), Failure> {
    for (reason, tally) in &left_out.reasons {
        print(&printable(&left_out_line(*reason, tally)))?;
    }
    let templates = left_out.most_frequent_templates();
    if templates.is_empty() {
        return Ok(());
    }
    let times: u64 = templates.iter().map(|(_, count)| count).sum();
    let named: Vec<String> = templates
        .iter()
        .take(TEMPLATES_NAMED)
        .map(|(name, count)| format!("{name} ({})", thousands(*count)))
        .collect();
    print(&format!(
        "templates without a known text within sentences: {} uses of {}; most frequent: {}",
        thousands(times),
        thousands(templates.len() as u64),
        named.join(", "),
    ))
}
