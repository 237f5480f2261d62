//! Reports of runs and experiments: tables and charts as a web page of one file, tables as Markdown
//! or CSV, single charts as SVG. Every number comes from the runs' `config.toml`, `metrics.jsonl` and
//! `measurements.json`.

mod arm;
mod charts;
mod columns;
mod course;
mod error;
mod evaluation_sets;
mod headline;
mod html;
mod markdown;
mod mask_page;
mod mask_tables;
mod measured_on;
mod page;
mod picture;
mod run_notes;
mod run_record;
mod search;
mod speed_table;
mod speeds;
mod spread;
mod table;
mod thresholds;
mod write;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use data::error::in_shell;

use crate::experiments::{ArmOutline, Chart, ChartKind, Outline, SearchRecord, Table, run_folder};
use crate::run_folder::CONFIG_FILE;

pub use arm::{Arm, Family};
pub use charts::{Axis, Plot, Series};
pub use error::ReportError;
pub use mask_page::mask_page;
pub use picture::Theme;
pub use picture::token_strips::token_strips;
pub use run_record::{Environment, EvaluationPoint, RunRecord, StepPoint};
pub use spread::Spread;
pub use table::{Cell, DataTable, Unit};

/// File name of a report in the folder that it is about.
pub const REPORT_FILE: &str = "report.html";

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A web page of one file.
    Html,
    /// Markdown: the tables, with all their columns or without those that few want to see.
    Markdown {
        /// Whether with all columns.
        all_columns: bool,
    },
    /// Comma-separated values: the first table of each section, with the losses on further sets.
    Csv,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// An experiment each, or all runs that belong to none.
    pub sections: Vec<Section>,
}

/// A part of a report, whose arms are compared with each other.
#[derive(Clone, Debug)]
pub struct Section {
    /// What it is about, and how it is shown.
    pub outline: Outline,
    /// The folder of the experiment; none for single runs.
    pub folder: Option<PathBuf>,
    /// Its arms.
    pub arms: Vec<Arm>,
    /// The search for settings before its runs.
    pub search: Option<SearchRecord>,
}

impl Report {
    /// Reads the runs and experiments in folders.
    ///
    /// # Errors
    /// A folder is missing or neither, or a file in it cannot be read.
    pub fn read(folders: &[PathBuf]) -> Result<Self, ReportError> {
        let mut sections = Vec::new();
        let mut runs = Vec::new();
        for folder in folders {
            ReportError::check_folder(folder)?;
            match Outline::read(folder)? {
                Some(outline) => sections.push(Section::of_experiment(folder, outline)?),
                None => runs.push(RunRecord::read(folder)?),
            }
        }
        if !runs.is_empty() {
            sections.push(Section::of_runs(runs));
        }
        let title = match sections.as_slice() {
            [section] => section.outline.title.clone(),
            _ => "Report".into(),
        };
        Ok(Self { title, sections })
    }
}

impl Section {
    fn of_experiment(folder: &Path, outline: Outline) -> Result<Self, ReportError> {
        let runs = |arm: &ArmOutline| -> Result<Vec<RunRecord>, ReportError> {
            let folders = outline
                .seeds
                .iter()
                .map(|&seed| run_folder(folder, &arm.name, seed));
            let begun = folders.filter(|folder| folder.join(CONFIG_FILE).is_file());
            let read = |run: PathBuf| {
                let mut run = RunRecord::read(&run)?;
                run.prepared_in = outline.prepares_text().then(|| folder.to_path_buf());
                Ok(run)
            };
            begun.map(read).collect()
        };
        let arms: Result<Vec<Arm>, ReportError> = outline
            .arms
            .iter()
            .map(|arm| Ok(Arm::new(arm, runs(arm)?, outline.seeds.len())))
            .collect();
        let search = match outline.search {
            true => SearchRecord::read(folder)?,
            false => None,
        };
        Ok(Self {
            arms: arms?,
            search,
            folder: Some(folder.into()),
            outline,
        })
    }

    /// Runs that belong to no experiment: an arm each.
    fn of_runs(runs: Vec<RunRecord>) -> Self {
        let arm = |run: RunRecord| {
            let name = run_name(&run.folder);
            let outline = ArmOutline {
                label: name.clone(),
                name,
                ..ArmOutline::default()
            };
            Arm::new(&outline, vec![run], 1)
        };
        let arms: Vec<Arm> = runs.into_iter().map(arm).collect();
        let title = match arms.as_slice() {
            [arm] => format!("Run {}", arm.label),
            _ => "Runs".into(),
        };
        Self {
            outline: Outline {
                title,
                ..Outline::default()
            },
            folder: None,
            arms,
            search: None,
        }
    }

    /// The tables that the outline asks for, or one of everything and one of the speeds.
    pub fn tables(&self) -> Vec<DataTable> {
        let usual = [Table::default()];
        let asked = match self.outline.tables.as_slice() {
            [] => &usual,
            asked => asked,
        };
        let table = |table: &Table| columns::of_arms(&self.arms, table);
        let threshold = self.outline.threshold.as_ref();
        let thresholds = threshold.and_then(|plan| thresholds::table(&self.arms, plan));
        let masks = self.outline.masks.as_ref();
        let masks = masks.map_or(Vec::new(), |_| mask_tables::tables(&self.arms));
        let mut asked: Vec<DataTable> = asked.iter().map(table).collect();
        let mut said = HashSet::new();
        for table in &mut asked {
            // Tables of the same arms come to the same.
            table.headline = table.headline.take().filter(|of| said.insert(of.clone()));
        }
        let sets = evaluation_sets::table(&self.arms);
        // An author who names tables has chosen among the speeds.
        let is_usual = self.outline.tables.is_empty();
        let speeds = is_usual.then(|| speed_table::table(&self.arms)).flatten();
        let asked = asked.into_iter().chain(sets).chain(speeds);
        asked.chain(thresholds).chain(masks).collect()
    }

    /// What the ± of the tables means.
    pub fn spread_notes(&self) -> String {
        let measured = self.runs().flat_map(|(_, run)| &run.measurements.0);
        let speeds = measured.filter(|of| matches!(of.kind(), "decode" | "prefill"));
        let together: Vec<bool> = speeds.map(|of| !of.together.is_empty()).collect();
        let mut arms = self.arms.iter();
        let has_seeds = self.arms.len() > 1 && arms.any(|arm| arm.finished().count() > 1);
        let mut notes = vec![SPREAD_NOTE];
        notes.extend(has_seeds.then_some(POOLED_NOTE));
        notes.extend((!together.is_empty()).then_some(ROUNDS_NOTE));
        notes.extend(together.contains(&true).then_some(TOGETHER_NOTE));
        notes.join(" ")
    }

    /// The charts that the outline asks for, or the usual ones, and those of further sets; without those
    /// that would be empty.
    pub fn plots(&self) -> Vec<Plot> {
        let usual = charts::defaults(&self.arms);
        let asked = match self.outline.charts.as_slice() {
            [] => usual.as_slice(),
            asked => asked,
        };
        let plot = |chart| charts::plot(&self.arms, chart);
        let sets = evaluation_sets::plots(&self.arms);
        asked.iter().filter_map(plot).chain(sets).collect()
    }

    /// The charts of learning rate, gradient and speed that the outline does not ask for.
    pub fn course_plots(&self) -> Vec<Plot> {
        let charts = charts::course(&self.outline.charts);
        let plots = charts.iter();
        plots
            .filter_map(|chart| charts::plot(&self.arms, chart))
            .collect()
    }

    /// The first chart of a kind, as the outline wants it or else with all arms; without a kind the
    /// first chart of all. None if it would be empty.
    pub fn plot(&self, kind: Option<ChartKind>) -> Option<Plot> {
        let Some(kind) = kind else {
            return self.plots().into_iter().next();
        };
        let asked = self.outline.charts.iter().find(|chart| chart.kind == kind);
        let chart = asked.cloned().unwrap_or(Chart {
            kind,
            ..Chart::default()
        });
        charts::plot(&self.arms, &chart)
    }

    /// The configuration keys in which the arms differ.
    pub fn differences(&self) -> DataTable {
        columns::differences(&self.arms)
    }

    /// Where the runs were computed: each place once.
    pub fn environments(&self) -> Vec<&Environment> {
        let mut seen = HashSet::new();
        let all = self.runs().flat_map(|(_, run)| &run.environments);
        all.filter(|&environment| seen.insert(environment))
            .collect()
    }

    /// The precisions of the runs: each once.
    pub fn precisions(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        for (_, run) in self.runs() {
            let precision = run.config.train.precision.name();
            if !found.contains(&precision) {
                found.push(precision);
            }
        }
        found
    }

    /// All runs that have begun, with their arms.
    pub fn runs(&self) -> impl Iterator<Item = (&Arm, &RunRecord)> {
        let of_arm = |arm| move |run| (arm, run);
        self.arms
            .iter()
            .flat_map(move |arm: &Arm| arm.runs.iter().map(of_arm(arm)))
    }

    /// What the commands cannot do again, in a sentence; none where they do all.
    pub(super) fn unrepeatable(&self) -> Option<String> {
        let changed = self.runs().filter(|(_, run)| !run.changes.is_empty());
        let name =
            |(arm, run): (&Arm, &RunRecord)| format!("{}, seed {}", arm.label, run.config.seed);
        let names: Vec<String> = changed.map(name).collect();
        (!names.is_empty()).then(|| {
            format!(
                "No single command does these again, because their configurations were changed on the way: {}.",
                names.join("; ")
            )
        })
    }

    /// Commands that do the same again. None for a run whose configuration was changed on the way: it would
    /// be trained with the last values from its first step on.
    pub fn commands(&self) -> Vec<String> {
        match &self.folder {
            Some(folder) => {
                // Speeds are known by the number of threads, and measured anew with another one.
                let speed = self.outline.speed.as_ref();
                let threads = speed.and_then(|speed| speed.threads);
                let threads = threads.map_or(String::new(), |of| format!(" --threads {of}"));
                vec![format!(
                    "ldrop experiment {} --out {}{threads}",
                    in_shell(&self.outline.file),
                    in_shell(folder)
                )]
            }
            None => {
                let command = |run: &RunRecord| {
                    format!(
                        "ldrop train --config {} --out {}",
                        in_shell(&run.folder.join(CONFIG_FILE)),
                        in_shell(&run.folder.with_extension("again"))
                    )
                };
                let runs = self.runs().map(|(_, run)| run);
                runs.filter(|run| run.changes.is_empty())
                    .map(command)
                    .collect()
            }
        }
    }
}

/// What a run is called that belongs to no experiment of the report.
fn run_name(folder: &Path) -> String {
    let of = |folder: &Path| {
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        name.to_string_lossy().into_owned()
    };
    let name = of(folder);
    match folder.parent() {
        // A run of an experiment: its seed alone would say little.
        Some(arm) if name.starts_with("seed-") => format!("{}/{name}", of(arm)),
        _ => name,
    }
}

/// What the ± of the tables means.
const SPREAD_NOTE: &str = "Mean ± sample standard deviation over the seeds (n − 1 in the \
                           denominator). A single run has none, nor have FLOPs that are the same for all \
                           seeds. Losses are in nats per token.";

/// What the spread of a headline is.
const POOLED_NOTE: &str = "The spread by which arms are compared is the standard deviation over their seeds, \
                           pooled over both; arms that are nearer than that are called tied.";

/// What the ± of measured speeds means.
const ROUNDS_NOTE: &str = "Dense is the same model with everything computed. Measured speeds are those of the median round, ± 1.48 times the median distance \
                           of the rounds from it: their standard deviation, without the few that other \
                           work on the machine made slow.";

/// What a speed-up over the first arm is.
const TOGETHER_NOTE: &str =
    "A speed-up over the first arm is that of models with the same seed, timed in alternation.";
