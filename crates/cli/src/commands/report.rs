//! `ldrop report`.

use std::path::Path;

use model::files::write_atomically;
use serde::Serialize;
use training::experiments::ChartKind;
use training::report::{Format, Report, Theme};

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
    check_options(&arguments, format)?;
    let report = Report::read(&arguments.folders)?;
    let text = match format {
        FormatName::Html => report.write(Format::Html),
        FormatName::Markdown => {
            let all_columns = arguments.all_columns;
            report.write(Format::Markdown { all_columns })
        }
        FormatName::Csv => report.write(Format::Csv),
        FormatName::Svg => picture(&report, &arguments)?,
    };
    let Some(file) = &arguments.out else {
        return print(text.trim_end());
    };
    write_atomically(file, text.as_bytes())
        .map_err(|error| Failure::work(format!("{}: {error}", file.display())))?;
    let runs = report.sections.iter().map(|of| of.runs().count()).sum();
    if common.json {
        return print_json(&Written { report: file, runs });
    }
    print(&format!("{}: {runs} runs", file.display()))
}

/// A chart of the report as SVG.
fn picture(report: &Report, arguments: &ReportArguments) -> Result<String, Failure> {
    let theme = arguments.theme.unwrap_or(Theme::Auto);
    let picture = report.picture(arguments.chart, theme);
    picture.ok_or_else(|| {
        let chart = arguments.chart.map_or("chart", ChartKind::name);
        Failure::work(format!("these runs have no values for a {chart} picture"))
    })
}

/// Refuses options that the format has no use for.
fn check_options(arguments: &ReportArguments, format: FormatName) -> Result<(), Failure> {
    let found = match format {
        FormatName::Html => "a web page, which has all charts",
        FormatName::Markdown => "Markdown, which has only tables",
        FormatName::Csv => "CSV, which has only a table",
        FormatName::Svg if arguments.all_columns => {
            return Err(Failure::Usage(
                "--all-columns is for tables, and a picture has none: leave it out, or choose another format"
                    .into(),
            ));
        }
        FormatName::Svg => return Ok(()),
    };
    let given = [
        ("--chart", arguments.chart.is_some()),
        ("--theme", arguments.theme.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::Usage(format!(
            "{option} is for a picture: expected --out FILE.svg or --format svg, found {found}"
        ))),
    }
}

fn format(arguments: &ReportArguments) -> Result<FormatName, Failure> {
    if let Some(name) = arguments.format {
        return Ok(name);
    }
    let file = arguments.out.as_deref().unwrap_or(Path::new(""));
    let ending = file
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("html" | "htm") => Ok(FormatName::Html),
        Some("md" | "markdown") => Ok(FormatName::Markdown),
        Some("csv") => Ok(FormatName::Csv),
        Some("svg") => Ok(FormatName::Svg),
        _ => Err(Failure::Usage(format!(
            "{}: the ending tells no format: expected .html, .md, .csv or .svg; or give --format",
            file.display()
        ))),
    }
}
