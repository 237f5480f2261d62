//! Arguments of `experiment` and `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
  ldrop report runs/seed-cpu --out results.csv")]
pub struct ReportArguments {
    /// Folders of runs or of experiments
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE", required_unless_present = "format")]
    pub out: Option<PathBuf>,
    /// The format [default: that of the extension of FILE: .html, .md or .csv]
    #[arg(long, value_enum)]
    pub format: Option<FormatName>,
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
}
