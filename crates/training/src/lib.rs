//! Training: the run configuration, the loop, checkpoints and metrics.
//!
//! A run is decided by its [`config::RunConfig`] alone: it can be stopped at any moment and
//! resumed, and it ends with the same bits as if it had never stopped.

pub mod checkpoints;
pub mod config;
pub mod early_stop;
pub mod evaluation;
pub mod experiments;
mod fitting_data;
pub mod flops;
mod generation_config;
pub mod masks;
pub mod median;
pub mod metrics;
pub mod optimizer;
pub mod precision;
pub mod report;
pub mod rounds;
pub mod run_data;
pub mod run_folder;
pub mod schedule;
pub mod stored_model;
mod token_batch;
pub mod trainer;

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;
