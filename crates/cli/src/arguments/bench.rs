//! What can be typed after `bench`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// The commands of `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time training steps on random tokens; needs no data and writes nothing
    Train(BenchTrainArguments),
}

/// Arguments of `bench train`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench train
  ldrop bench train --config configs/seed/shift-0.toml --batch 10 --threads 2
  ldrop bench train --config configs/gpt2-124m.toml --set model.context=256 --json

A step is forward, backward, clipping where it is configured, and AdamW, on one micro-batch: \
train.accumulate is not looked at.")]
pub struct BenchTrainArguments {
    /// The configuration, a TOML file [default: the quick start's]
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
    /// A run folder or a model folder; its model's shape, with new weights, is trained as in the quick start
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Windows of a step; overrides train.batch
    #[arg(long, value_name = "N")]
    pub batch: Option<NonZeroU32>,
    /// Steps to measure
    #[arg(long, value_name = "N", default_value = "5")]
    pub steps: NonZeroU32,
    /// Steps before those, which are not measured
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warmup: u32,
    /// Overrides one key of the configuration; may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Seed of the weights, the tokens and all noise; overrides seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}
