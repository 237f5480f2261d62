//! A report as Markdown: its tables, what they were computed with, and how to repeat them.

use super::run_notes::run_notes;
use super::{Report, Section, search};

/// The whole report.
pub(super) fn document(report: &Report, all_columns: bool) -> String {
    let mut text = String::new();
    if report.sections.len() != 1 {
        text += &format!("# {}\n\n", report.title);
    }
    let level = if report.sections.len() == 1 {
        "#"
    } else {
        "##"
    };
    let sections: Vec<String> = report
        .sections
        .iter()
        .map(|of| section(of, level, all_columns))
        .collect();
    text + &sections.join("\n")
}

fn section(section: &Section, level: &str, all_columns: bool) -> String {
    let mut text = format!("{level} {}\n", section.outline.title);
    let description = section.outline.description.trim();
    if !description.is_empty() {
        text += &format!("\n{description}\n");
    }
    for table in section.tables() {
        text += &format!("\n{level}# {}\n\n", table.title);
        if let Some(headline) = &table.headline {
            text += &format!("{}\n\n", headline.replace('\n', " "));
        }
        if all_columns {
            text += &table.markdown();
            continue;
        }
        text += &table.narrow().markdown();
        let further = table.further_headings();
        if !further.is_empty() {
            // Headings have commas.
            let further = further.join("; ");
            text += &format!("\nFurther columns (`--all-columns`): {further}.\n");
        }
    }
    text += &format!("\n{}\n", section.spread_notes());
    for (arm, run) in section.runs() {
        if let Some(error) = &run.failure {
            let seed = run.config.seed;
            text += &format!(
                "\nFailed: {}, seed {seed}: {}\n",
                arm.label,
                error.replace('\n', " ")
            );
        }
    }
    for note in run_notes(section) {
        text += &format!("\n{note}\n");
    }
    text += &search::markdown(section, level);
    let differences = section.differences();
    if !differences.rows.is_empty() {
        text += &format!("\n{level}# Configuration\n\n{}", differences.markdown());
    }
    text += &format!("\n{level}# Computed with\n\n");
    for environment in section.environments() {
        text += &format!("- {environment}\n");
    }
    text += &format!("- precision {}\n", section.precisions().join(", "));
    if !section.outline.preparation.is_empty() {
        text += &format!("- data: {}\n", section.outline.preparation);
    }
    let commands = section.commands();
    if !commands.is_empty() {
        text += &format!("\n```console\n$ {}\n```\n", commands.join("\n$ "));
    }
    if let Some(note) = section.unrepeatable() {
        text += &format!("\n{note}\n");
    }
    text
}
