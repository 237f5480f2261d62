//! Experiments: several variants of one configuration, each trained with several seeds.
//!
//! A TOML file names the base configuration, the arms with their changes to it, the seeds, the data,
//! and the content of the report. Every run of an experiment is an ordinary run folder,
//! `runs/ARM/seed-N` in the experiment's folder, so it is resumed like any other.

mod data_choice;
mod measurements;
mod outline;
mod outline_check;
mod plan;
mod prepare;
mod read;

use crate::config::RunConfig;

pub use data_choice::{DataChoice, Preparation};
pub use measurements::{
    MEASUREMENTS_FILE, MaskPlan, Measurement, Measurements, MeasurementsError, PlannedMeasurement,
    Plans, SpeedPlan, ThresholdPlan, ThresholdedInputs, Trained, planned_measurements,
};
pub use outline::{
    ArmOutline, Chart, ChartKind, Column, OUTLINE_FILE, Outline, OutlineError, Published, Table,
};
pub(crate) use plan::run_folder;
pub use plan::{Changed, FAILURE_FILE, PlannedRun, Status, status};
pub use prepare::ExperimentError;

/// Name of the folder of runs in an experiment's folder.
pub const RUNS_FOLDER: &str = "runs";
/// Name of the folder of prepared data in an experiment's folder.
pub const DATA_FOLDER: &str = "data";

/// The content of an experiment file.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The subject and the layout of the report.
    pub outline: Outline,
    /// The data; none if every arm has its own `data.path`.
    pub data: Option<DataChoice>,
    /// The configuration of each arm of the outline, with the first seed.
    pub configs: Vec<RunConfig>,
}

/// The base configuration of experiments that name none.
#[derive(Clone, Copy, Debug)]
pub struct DefaultBase<'a> {
    /// Its text in TOML.
    pub text: &'a str,
    /// Its name in messages.
    pub name: &'a str,
}
