//! Experiments: several variants of one configuration, each trained with several seeds.
//!
//! A TOML file names the base configuration, the arms (what is changed in each), the seeds, the
//! data, and what the report shows. Every run of an experiment is an ordinary run folder,
//! `runs/ARM/seed-N` under the experiment's folder, so it is resumed like any other.

mod data_choice;
mod measurements;
mod outline;
mod plan;
mod read;

use crate::config::RunConfig;

pub use data_choice::{DataChoice, Preparation};
pub use measurements::{
    MEASUREMENTS_FILE, MaskPlan, Measurement, Measurements, Plans, SpeedPlan, ThresholdPlan,
    ThresholdedInputs, Trained, planned as planned_measurements,
};
pub use outline::{
    ArmOutline, Chart, ChartKind, Column, OUTLINE_FILE, Outline, OutlineError, Published, Table,
};
pub(crate) use plan::run_folder;
pub use plan::{Changed, FAILURE_FILE, PlannedRun, Status, status};

/// Name of the folder of runs in an experiment's folder.
pub const RUNS_FOLDER: &str = "runs";
/// Name of the folder of prepared data in an experiment's folder.
pub const DATA_FOLDER: &str = "data";

/// An experiment as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// What the report is about, and how it shows it.
    pub outline: Outline,
    /// Where the tokens come from; none if every arm's own `data.path` says it.
    pub data: Option<DataChoice>,
    /// The configuration of each arm of the outline, with the first seed.
    pub configs: Vec<RunConfig>,
}

/// A base configuration for experiments that name none: its text and what messages call it.
#[derive(Clone, Copy, Debug)]
pub struct DefaultBase<'a> {
    /// TOML.
    pub text: &'a str,
    /// The name.
    pub name: &'a str,
}
