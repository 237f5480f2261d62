//! `ldrop data prepare` and `ldrop data merge`.

use std::path::Path;

use data::sources::{LeftOut, Reason, Tally};
use data::{MergeOptions, Meta, PrepareOptions, Prepared, merge, prepare, prepare_shard};
use serde::Serialize;

use crate::arguments::{Common, DataArguments, DataCommand, MergeArguments, PrepareArguments};
use crate::failure::Failure;
use crate::stop;
use crate::terminal::{Stages, print, print_json, print_message, printable, thousands};

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
        validation_sources: arguments.validation_sources,
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
        return show(&out, &prepare(&options, &stages)?, common);
    };
    let description = prepare_shard(&options, shard, &stages)?;
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
    let merged = merge(&options, &Stages::new(common.quiet))?;
    show(&out, &merged, common)
}

/// Says what a new data folder holds.
fn show(out: &Path, prepared: &Prepared, common: &Common) -> Result<(), Failure> {
    warn_of_unknown(prepared);
    let Prepared { meta, left_out, .. } = prepared;
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

/// The share of a part's tokens from which on unknown ones are worth a warning.
const MANY_UNKNOWN: f64 = 0.01;

/// Warns of a part with many characters that the tokenizer does not know.
pub fn warn_of_unknown(prepared: &Prepared) {
    let meta = &prepared.meta;
    for (name, part, unknown) in [
        ("training", &meta.train, prepared.unknown_characters[0]),
        (
            "validation",
            &meta.validation,
            prepared.unknown_characters[1],
        ),
    ] {
        // Each character is one token.
        let share = unknown as f64 / part.tokens.max(1) as f64;
        if share >= MANY_UNKNOWN {
            let examples = prepared.left_out.reasons.get(&Reason::UnknownCharacter);
            let examples = examples.map_or(String::new(), |tally| {
                let most: Vec<&str> = tally.examples.iter().take(3).map(String::as_str).collect();
                most.join(", ")
            });
            print_message(&printable(&format!(
                "warning: the tokenizer does not know {:.0}% of the characters of the {name} part: a model \
                 reads all of them as the same token, <unk>. Most frequent: {examples}",
                share * 100.0
            )));
        }
    }
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
        Reason::LoneSurrogate | Reason::UnknownCharacter => String::from("changed: "),
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
            | Reason::UnknownCharacter
    );
    if is_shown {
        for example in &tally.examples {
            line.push_str("\n  ");
            line.push_str(example);
        }
        // An example of a character stands for all its cases.
        let named = match reason {
            Reason::UnknownCharacter => tally.count,
            _ => tally.examples.len() as u64,
        };
        let more = tally.count.saturating_sub(named);
        if more > 0 && !tally.examples.is_empty() {
            line.push_str(&format!("\n  and {} more", thousands(more)));
        }
    }
    line
}

/// Says what of the sources did not become text.
fn print_left_out(left_out: &LeftOut) -> Result<(), Failure> {
    left_out_lines(left_out)
        .iter()
        .try_for_each(|line| print(line))
}

/// What of the sources did not become text, in printable lines.
pub fn left_out_lines(left_out: &LeftOut) -> Vec<String> {
    let reasons = left_out.reasons.iter();
    let mut lines: Vec<String> = reasons
        .map(|(reason, tally)| printable(&left_out_line(*reason, tally)))
        .collect();
    let templates = left_out.most_frequent_templates();
    if templates.is_empty() {
        return lines;
    }
    let times: u64 = templates.iter().map(|(_, count)| count).sum();
    let named: Vec<String> = templates
        .iter()
        .take(TEMPLATES_NAMED)
        .map(|(name, count)| format!("{name} ({})", thousands(*count)))
        .collect();
    lines.push(printable(&format!(
        "templates without a known text within sentences: {} uses of {}; most frequent: {}",
        thousands(times),
        thousands(templates.len() as u64),
        named.join(", "),
    )));
    lines
}
