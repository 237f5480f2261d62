//! The configuration of a run: a TOML file, overrides of it, and what they resolve to.
//!
//! Every problem is reported, not just the first, with the line that it stands on; an unknown
//! key is a problem that names the nearest known one. The resolved configuration has a value for
//! every key; it is written to the run folder as `config.toml` and reads back as itself.
//!
//! # How to add a setting
//!
//! Each table of the file is one struct. serde reads it, `check` checks it, the run uses it, and serde
//! writes it. To add a setting to a table:
//!
//! 1. Add a field, with a comment that says what it is. `[train]` and the tables in it are in
//!    `train.rs`; `[model]` and the tables in it are in the crate `model`. Where the struct has
//!    `#[serde(default)]`, the default of the field stands in its `Default`. In other structs the field
//!    has its own `#[serde(default)]`, or is an `Option`, or is required.
//! 2. If not every value is possible, add a line to the struct's `check`, such as
//!    `checks.range("epsilon", self.epsilon, above(0.0))`; see [`model::Checks`]. The checks of
//!    `TransformerConfig` and `MaskConfig` are in `model`'s `validation.rs`.
//! 3. Add a line to `docs/configuration.md`. A test compares the keys in that file with the fields.
//!
//! Messages about unknown and missing keys, suggestions, `--set` and experiment files then know the
//! setting. A default that follows from other settings is a line in `TrainConfig::fill_in`.
//!
//! A checkpoint holds a hash of all settings that are written to `config.toml`. If the default of a new
//! setting means what older versions did, leave the default out of the file with
//! `skip_serializing_if`; otherwise older runs cannot be resumed.
//!
//! # How it works
//!
//! - `document` holds a file as a tree of values that know where they were written. Overrides, and the
//!   arms of an experiment, change the tree.
//! - `deserialize` reads a tree into any serde type, up to the first problem. `keys` asks a type for its
//!   keys with it, and `reading` gathers all problems.
//! - `run` and `train` hold the tables.

mod deserialize;
pub(crate) mod document;
pub(crate) mod keys;
pub(crate) mod nearest;
pub(crate) mod problem;
pub(crate) mod reading;
mod run;
mod train;

pub use model::ModelConfig;
pub use problem::{ConfigError, Origin, Problem};
pub(crate) use run::DEFAULT_SEED;
pub use run::{DataConfig, RunConfig};
pub use train::{
    CheckpointConfig, EvaluateConfig, OptimizerConfig, SampleConfig, ScheduleConfig, TrainConfig,
};
