//! The configuration of a run: a TOML file and overrides of it.
//!
//! All problems are reported, each with its line. The message about an unknown key suggests the nearest
//! known one. The resolved configuration has a value for every key. It is written to the run folder as
//! `config.toml`, and reading that file gives the same configuration.
//!
//! # How to add a setting
//!
//! Each table of the file is one struct. serde reads it, `check` checks it, the run uses it, and serde
//! writes it. To add a setting to a table:
//!
//! 1. Add a field with a doc comment. `[train]` and the tables in it are in
//!    `train.rs`, `schedule.rs` and `stop.rs`; `[model]` and the tables in it are in the crate `model`. If the struct has
//!    `#[serde(default)]`, the default of the field is in its `Default`. In other structs the field has
//!    its own `#[serde(default)]`, is an `Option`, or is required.
//! 2. If not every value is possible, add a line to the struct's `check`, such as
//!    `checks.range("epsilon", self.epsilon, above(0.0))`; see [`model::Checks`]. The checks of
//!    `TransformerConfig` and `MaskConfig` are in `model`'s `validation.rs`.
//! 3. Add a line to `docs/configuration.md`. A test compares the keys in that file with the fields.
//!
//! Messages about unknown and missing keys, suggestions, `--set` and experiment files then include the
//! setting. Defaults that depend on other settings are set in `TrainConfig::fill_in`.
//!
//! A checkpoint holds a hash of all settings that are written to `config.toml`. If the default of a new
//! setting gives the behaviour of older versions, leave the default out of the file with
//! `skip_serializing_if`; otherwise older runs cannot be resumed.
//!
//! # How it works
//!
//! - `document` holds a file as a tree of values that store where they were written. Overrides and the arms
//!   of an experiment change the tree.
//! - `deserialize` reads a tree into any serde type, up to the first problem. `reading` uses it to collect
//!   all problems, and `keys` to determine the keys of a type.
//! - `run`, `train`, `evaluate`, `schedule` and `stop` hold the tables; `changes` what was changed when a
//!   run was resumed.

pub(crate) mod changes;
mod deserialize;
pub(crate) mod document;
mod evaluate;
pub(crate) mod keys;
pub(crate) mod nearest;
pub(crate) mod problem;
pub(crate) mod reading;
mod run;
mod schedule;
mod stop;
mod train;

pub use changes::Change;
pub use evaluate::{EvaluateConfig, EvaluationBatches, EvaluationWindows, SampleConfig};
pub(crate) use evaluate::{EvaluatedPart, whole_windows};
pub use model::ModelConfig;
pub use problem::{ConfigError, Origin, Problem};
pub(crate) use run::{DEFAULT_SEED, WINDOWS};
pub use run::{DataConfig, RunConfig};
pub use schedule::{DecayShape, ScheduleConfig, ScheduleKind};
pub use stop::StopConfig;
pub use train::{CheckpointConfig, OptimizerConfig, TrainConfig};
