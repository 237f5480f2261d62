//! Experiments: several variants of one configuration, each trained with several seeds.
//!
//! A TOML file names the base configuration, the arms with their changes to it, the seeds, the data,
//! and the content of the report. Every run of an experiment is an ordinary run folder,
//! `runs/ARM/seed-N` in the experiment's folder, so it is resumed like any other. A file with a table
//! `sweep` has shorter runs before them, `search/ARM/NNN-seed-N`, which try settings of the arms.

mod data_choice;
mod fitting;
mod measurements;
mod measuring;
mod outline;
mod outline_check;
mod plan;
mod prepare;
mod read;
mod search;
mod search_record;
mod sweep;

use crate::config::RunConfig;

pub use data_choice::{DataChoice, Preparation};
pub use measurements::{
    MEASUREMENTS_FILE, MaskPlan, Measurement, Measurements, MeasurementsError, PlannedMeasurement,
    Plans, SpeedPlan, ThresholdPlan, ThresholdedInputs, Trained, planned_measurements,
};
pub use measuring::Measuring;
pub use outline::{
    ArmOutline, Chart, ChartKind, Column, OUTLINE_FILE, Outline, OutlineError, Published, Table,
};
pub(crate) use plan::run_folder;
pub use plan::{Changed, FAILURE_FILE, PlannedRun, Status, status};
pub use prepare::ExperimentError;
pub(crate) use search::search_folder;
pub use search::{Candidate, Search, SearchRun};
pub use search_record::{
    Edge, SEARCH_FILE, SearchError, SearchRecord, SearchedArm, TriedRun, TriedSetting,
};
pub use sweep::{Setting, in_words, short_names, shown};
pub(crate) use sweep::{distinct, in_words_of};

/// Name of the folder of runs in an experiment's folder.
pub const RUNS_FOLDER: &str = "runs";
/// Name of the folder of prepared data in an experiment's folder.
pub const DATA_FOLDER: &str = "data";
/// Name of the folder of the search's runs in an experiment's folder.
pub const SEARCH_FOLDER: &str = "search";

/// The content of an experiment file.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The subject and the layout of the report.
    pub outline: Outline,
    /// The data; none if every arm has its own `data.path`.
    pub data: Option<DataChoice>,
    /// The configuration of each arm of the outline, with the first seed. That of a searched arm has the
    /// first setting until one is [chosen](Self::use_choices).
    pub configs: Vec<RunConfig>,
    /// The search for settings before the runs; none if the file has no table `sweep`.
    pub search: Option<Search>,
}

/// The base configuration of experiments that name none.
#[derive(Clone, Copy, Debug)]
pub struct DefaultBase<'a> {
    /// Its text in TOML.
    pub text: &'a str,
    /// Its name in messages.
    pub name: &'a str,
}
