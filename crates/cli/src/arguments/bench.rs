//! The arguments of `bench`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand};

use super::{ThresholdArguments, share};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// The command.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// The commands of `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time training steps on random tokens; needs no data and writes nothing
    Train(BenchTrainArguments),
    /// Time generating token by token, with and without the values that masks drop
    Decode(BenchDecodeArguments),
    /// Time reading a prompt, with and without the values that masks drop
    Prefill(BenchPrefillArguments),
    /// Time each CPU kernel and compare it with the peak of this processor
    Kernels(BenchKernelsArguments),
}

/// Arguments of `bench train`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench train
  ldrop bench train --config configs/seed/shift-0.toml --batch 10 --threads 2
  ldrop bench train --config configs/gpt2-124m.toml --set model.context=256 --json

A step is the forward and backward pass, clipping if it is configured, and AdamW, on one \
micro-batch; train.accumulate is ignored. If training leaves out dropped values at some site \
(model.learned_dropout.gradient = \"kept-only\" or rounding = \"carried\"), the same model without \
masks is timed in alternation.")]
pub struct BenchTrainArguments {
    /// The configuration, a TOML file [default: the quick start's]
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
    /// A run folder or a model folder; its model is trained with the settings of the quick start, from its weights (from new ones, if --set changes the model)
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Let the masks keep this share at first, whatever the text; for weights that were never trained
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub kept: Option<f64>,
    /// Windows per step; overrides train.batch
    #[arg(long, value_name = "N")]
    pub batch: Option<NonZeroU32>,
    /// Steps to time
    #[arg(long, value_name = "N", default_value = "5")]
    pub steps: NonZeroU32,
    /// Steps before those, which are not timed
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warmup: u32,
    /// Override a key of the configuration; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Seed of the weights, the tokens and all noise; overrides seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Arguments of `bench decode` and `bench prefill`.
#[derive(Debug, Args)]
pub struct BenchInferenceArguments {
    /// The configuration, a TOML file, of a model with random weights [default: the quick start's]
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
    /// A run folder (its best checkpoint) or a model folder; given several times, the models are timed in alternation and compared with the first one
    #[arg(long, value_name = "DIR")]
    pub model: Vec<PathBuf>,
    /// A data folder whose validation part is read, for all models or given once for each [default: that of the model's run, if it still exists; else random tokens]
    #[arg(long, value_name = "DIR", requires = "model")]
    pub data: Vec<PathBuf>,
    /// Keep this share of each mask's values at random, whatever the masks are; for weights that were never trained
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub kept: Option<f64>,
    /// Small inputs that are taken as 0.
    #[command(flatten)]
    pub threshold: ThresholdArguments,
    /// Rounds to time, each once dense and once sparse
    #[arg(long, value_name = "N", default_value = "5")]
    pub rounds: NonZeroU32,
    /// Override a key of the configuration; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "model")]
    pub overrides: Vec<String>,
    /// Seed of the weights, the tokens and the masks of --kept
    #[arg(long, value_name = "N", default_value_t = 1337)]
    pub seed: u64,
}

/// Arguments of `bench decode`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench decode --model runs/quickstart
  ldrop bench decode --model runs/baseline --model runs/masked --rounds 15
  ldrop bench decode --config configs/gpt2-124m.toml --tokens 128 --threads 2
  ldrop bench decode --config masked.toml --kept 0.25 --batch 4 --json

A round reads --tokens tokens, one after the other, beginning with an empty context. Dense computes \
dropped values too; sparse leaves out those that are known to be dropped before they are computed, \
or the small inputs of --threshold-sparsity. Speeds are those of the median round, ± 1.48 times the \
median distance of the rounds from it, which is the standard deviation of undisturbed rounds; the \
ideal speed-up is the ratio of the bytes that each has to read.")]
pub struct BenchDecodeArguments {
    /// The model, the text and the rounds.
    #[command(flatten)]
    pub inference: BenchInferenceArguments,
    /// Sequences that are decoded together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub batch: u16,
    /// Tokens of each sequence in a round [default: 64, or the context if that is less]
    #[arg(long, value_name = "N")]
    pub tokens: Option<NonZeroU32>,
}

/// Arguments of `bench prefill`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench prefill --model runs/quickstart
  ldrop bench prefill --model runs/baseline --model runs/masked --rounds 15
  ldrop bench prefill --config configs/gpt2-124m.toml --tokens 512 --threads 2
  ldrop bench prefill --config masked.toml --kept 0.25 --json

A round reads a prompt of --tokens tokens and predicts the one that follows. Dense computes dropped \
values too; sparse leaves out those that are known to be dropped before they are computed. Speeds \
are those of the median round, ± 1.48 times the median distance of the rounds from it, which is the \
standard deviation of undisturbed rounds; the ideal speed-up is the ratio of the operations of \
each.")]
pub struct BenchPrefillArguments {
    /// The model, the text and the rounds.
    #[command(flatten)]
    pub inference: BenchInferenceArguments,
    /// Tokens of the prompt [default: 512, or the context if that is less]
    #[arg(long, value_name = "N")]
    pub tokens: Option<NonZeroU32>,
}

/// The largest size.
const MAX_SIZE: i64 = 1 << 28;

/// Arguments of `bench kernels`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench kernels
  ldrop bench kernels --precision f32 --threads 1 --json
  ldrop bench kernels --width 768 --heads 12 --time 256 --tokens 1024 --parameters 124000000

Seconds are the median of 7 runs after one that is not timed.

GFLOP/s count the multiplications and additions of the matrix products that an algorithm needs, \
2 · m · n · k for each: for attention only those at and below the diagonal, for a backward pass not \
those of values that it recomputes, and none of exponentials, norms and sums. The peak that they are \
compared with is the best of several products, in the same precision, of matrices that fit into the \
cache.

GB/s count the bytes of each input and each output once. The peak that they are compared with is the \
best of several passes that read and write values in place, 8 bytes per value, four times as many \
values as --parameters. Values that stay in the cache can be faster than that peak; results that are \
written to new memory, and arithmetic, are slower.

Lines with a kept share leave out dropped groups of 32 hidden units, and count the work that is left: \
their rate divided by that of the dense kernel is the share of the ideal speed-up that is reached. \
\"prefill\" has its weights packed beforehand. \"decode\" is one token; its GB/s count the weights of \
kept groups, in layers that together have four times as many weights as --parameters, at most 67 \
million. The peak that they are compared with is the best of several passes that only read.")]
pub struct BenchKernelsArguments {
    /// Channels of a token
    #[arg(long, value_name = "C", default_value_t = 144, value_parser = size())]
    pub width: u32,
    /// Heads of the attention; a divisor of the width
    #[arg(long, value_name = "H", default_value_t = 9, value_parser = size())]
    pub heads: u32,
    /// Tokens of all sequences together
    #[arg(long, value_name = "T", default_value_t = 2000, value_parser = size())]
    pub tokens: u32,
    /// Tokens of a sequence; a divisor of the tokens
    #[arg(long, value_name = "T", default_value_t = 200, value_parser = size())]
    pub time: u32,
    /// Rows of the output layer and the embedding
    #[arg(long, value_name = "V", default_value_t = 50_257, value_parser = size())]
    pub vocabulary: u32,
    /// Parameters that the optimizer updates
    #[arg(long, value_name = "N", default_value_t = 15_000_000, value_parser = size())]
    pub parameters: u32,
}

fn size() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MAX_SIZE)
}
