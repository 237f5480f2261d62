//! Arguments of `experiment` and `report`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use training::experiments::ChartKind;
use training::report::Theme;

/// Arguments of `experiment`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop experiment my.toml
  ldrop experiment experiments/seed-cpu.toml --out runs/seed-cpu
  ldrop experiment experiments/seed-cpu.toml --jobs 2 --threads 1

A file for a text of your own, with two variants and three seeds:
  data.sources = [\"my.txt\"]
  seeds = [1, 2, 3]
  [[arm]]
  name = \"learned-dropout\"
  [[arm]]
  name = \"baseline\"
  unset = [\"model.learned_dropout\"]

Ctrl-C saves and ends; the same command continues. Finished runs are not repeated. See docs/experiments.md.")]
pub struct ExperimentArguments {
    /// The experiment, a TOML file; see docs/experiments.md
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The experiment's folder [default: runs/NAME-OF-FILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Number of runs at a time; each has --threads threads [default: the processors divided by the number]
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop report runs/seed-cpu --out report.html
  ldrop report runs/shift-0 runs/baseline --out comparison.html
  ldrop report runs/seed-cpu --format markdown
  ldrop report runs/seed-cpu --out results.csv
  ldrop report runs/seed-cpu --chart validation-loss --theme dark --out chart.svg")]
pub struct ReportArguments {
    /// Folders of runs or of experiments
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE", required_unless_present = "format")]
    pub out: Option<PathBuf>,
    /// The format [default: that of the extension of FILE: .html, .md, .csv or .svg]
    #[arg(long, value_enum)]
    pub format: Option<FormatName>,
    /// Show all columns of the tables in Markdown, also those that few want to see; HTML has them behind a switch, CSV always
    #[arg(long)]
    pub all_columns: bool,
    /// The chart that an SVG file shows [default: the report's first one]
    #[arg(long, value_name = "KIND", value_parser = chart_kind())]
    pub chart: Option<ChartKind>,
    /// The background that an SVG file is for; auto follows the reader's system [default: auto]
    #[arg(long, value_name = "THEME", value_parser = theme())]
    pub theme: Option<Theme>,
}

/// The kinds of charts by their names in experiment files.
fn chart_kind() -> impl TypedValueParser<Value = ChartKind> {
    PossibleValuesParser::new(ChartKind::ALL.map(ChartKind::name)).map(|name| {
        let named = |kind: &ChartKind| kind.name() == name;
        ChartKind::ALL
            .into_iter()
            .find(named)
            .expect("a possible value")
    })
}

/// The themes by their names.
pub fn theme() -> impl TypedValueParser<Value = Theme> {
    PossibleValuesParser::new(Theme::ALL.map(Theme::name)).map(|name| {
        let named = |theme: &Theme| theme.name() == name;
        Theme::ALL
            .into_iter()
            .find(named)
            .expect("a possible value")
    })
}

/// Formats of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// A self-contained web page with charts
    Html,
    /// The tables in Markdown
    Markdown,
    /// The results with all digits, as comma-separated values
    Csv,
    /// A picture: one chart
    Svg,
}
