//! `ldrop report`.

use std::path::Path;

use serde::Serialize;
use training::report::{Format, Report};

use crate::arguments::{Common, FormatName, ReportArguments};
use crate::failure::Failure;
use crate::terminal::{print, print_json};

#[derive(Serialize)]
struct Written<'a> {
    report: &'a Path,
    runs: usize,
}

/// Runs `report`.
pub fn run(arguments: ReportArguments, common: &Common) -> Result<(), Failure> {
    let format = format(&arguments)?;
    let report = Report::read(&arguments.folders)?;
    let Some(file) = &arguments.out else {
        return print(report.write(format).trim_end());
    };
    report.save(file, format)?;
    let runs = report.sections.iter().map(|of| of.runs().count()).sum();
    if common.json {
        return print_json(&Written { report: file, runs });
    }
    print(&format!("{}: {runs} runs", file.display()))
}

fn format(arguments: &ReportArguments) -> Result<Format, Failure> {
    if let Some(name) = arguments.format {
        return Ok(match name {
            FormatName::Html => Format::Html,
            FormatName::Markdown => Format::Markdown,
            FormatName::Csv => Format::Csv,
        });
    }
    let file = arguments.out.as_deref().unwrap_or(Path::new(""));
    let ending = file
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("html" | "htm") => Ok(Format::Html),
        Some("md" | "markdown") => Ok(Format::Markdown),
        Some("csv") => Ok(Format::Csv),
        _ => Err(Failure::Usage(format!(
            "{}: the ending tells no format: expected .html, .md or .csv; or give --format",
            file.display()
        ))),
    }
}
