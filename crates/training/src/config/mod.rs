//! The configuration of a run: a TOML file, overrides of it, and what they resolve to.
//!
//! Every problem is reported, not just the first, with the line that it stands on; an unknown
//! key is a problem that names the nearest known one. The resolved configuration has a value for
//! every key; it is written to the run folder as `config.toml` and reads back as itself.
//!
//! # How to add a setting
//!
//! Each table of the file is one struct, which is read with serde, checked, run and written. To add a
//! setting to one:
//!
//! 1. Add the field, with a sentence that says what it is. The tables `[train]` and below are in
//!    `train.rs`, `[model]` and below in the crate `model`. serde gives the default: a field of a
//!    struct with `#[serde(default)]` has that of the struct's `Default`; another one has its own
//!    `#[serde(default)]`. An `Option` may be left out. Any other field is required.
//! 2. Add a line to `check` of the same struct if not every value is possible:
//!    `checks.range("epsilon", self.epsilon, above(0.0))`. See [`model::Checks`].
//! 3. Add a line to `docs/configuration.md`. A test compares the keys of that file with those of the
//!    structs.
//!
//! Unknown keys, missing keys, the file's lines, `--set` and suggestions need nothing: they come from
//! serde. A setting whose default follows from other settings also needs a line in
//! `TrainConfig::fill_in`. Keep new settings out of `config.toml` where they are left out
//! (`skip_serializing_if`) if folders of older versions should stay equal to new ones.
//!
//! # How it works
//!
//! - `document` holds a file as a tree of values that know where they were written. Overrides, and the
//!   arms of an experiment, change the tree.
//! - `deserialize` reads a tree into any serde type, up to the first problem. `keys` asks a type for its
//!   keys with it, and `reading` gathers all problems.
//! - `run` and `train` are the tables.

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
