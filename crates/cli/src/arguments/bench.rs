//! What can be typed after `bench`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand};

use super::{ThresholdArguments, share};

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
    /// Time how fast a model writes, token by token, with and without what its masks drop
    Decode(BenchDecodeArguments),
    /// Time how fast a model reads a prompt, with and without what its masks drop
    Prefill(BenchPrefillArguments),
    /// Time each CPU kernel beside what this processor can do
    Kernels(BenchKernelsArguments),
}

/// Arguments of `bench train`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench train
  ldrop bench train --config configs/seed/shift-0.toml --batch 10 --threads 2
  ldrop bench train --config configs/gpt2-124m.toml --set model.context=256 --json

A step is forward, backward, clipping where it is configured, and AdamW, on one micro-batch: \
train.accumulate is not looked at. Where training leaves out what masks drop (model.learned_dropout.\
gradient = \"kept-only\"), the same model without masks is measured in alternation.")]
pub struct BenchTrainArguments {
    /// The configuration, a TOML file [default: the quick start's]
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
    /// A run folder or a model folder; its model is trained as in the quick start, from its weights on (new ones, if --set changes the model)
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Let the masks begin with this share kept, whatever the text: for weights that were never trained
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub kept: Option<f64>,
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

/// What the measurements of inference take.
#[derive(Debug, Args)]
pub struct BenchInferenceArguments {
    /// The configuration, a TOML file, of a model with random weights [default: the quick start's]
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
    /// A run folder (its best checkpoint) or a model folder
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// A data folder whose validation part is read [default: that of --model's run, if it is still there; else random tokens]
    #[arg(long, value_name = "DIR", requires = "model")]
    pub data: Option<PathBuf>,
    /// Let chance keep this share of each mask's values, whatever the masks say: for weights that were never trained
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub kept: Option<f64>,
    /// Small inputs that are left out.
    #[command(flatten)]
    pub threshold: ThresholdArguments,
    /// Rounds to measure, each once dense and once sparse
    #[arg(long, value_name = "N", default_value = "5")]
    pub rounds: NonZeroU32,
    /// Overrides one key of the configuration; may be given again
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
  ldrop bench decode --config configs/gpt2-124m.toml --tokens 128 --threads 2
  ldrop bench decode --config masked.toml --kept 0.25 --batch 4 --json

A round reads --tokens tokens, one after the other, from an empty context on. Dense computes what \
the masks drop, sparse leaves out what is known to be dropped before it is computed, or the small \
inputs of --threshold-sparsity. Speeds are \
those of the median round; the ideal speed-up is the ratio of the bytes that each has to read.")]
pub struct BenchDecodeArguments {
    /// What to measure.
    #[command(flatten)]
    pub inference: BenchInferenceArguments,
    /// Sequences that are extended together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub batch: u16,
    /// Tokens of each sequence in a round [default: 64, or the context where that is less]
    #[arg(long, value_name = "N")]
    pub tokens: Option<NonZeroU32>,
}

/// Arguments of `bench prefill`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench prefill --model runs/quickstart
  ldrop bench prefill --config configs/gpt2-124m.toml --tokens 512 --threads 2
  ldrop bench prefill --config masked.toml --kept 0.25 --json

A round reads a prompt of --tokens tokens and predicts the one that follows. Dense computes what the \
masks drop, sparse leaves out what is known to be dropped before it is computed. Speeds are those of \
the median round; the ideal speed-up is the ratio of the operations that each has to do.")]
pub struct BenchPrefillArguments {
    /// What to measure.
    #[command(flatten)]
    pub inference: BenchInferenceArguments,
    /// Tokens of the prompt [default: 512, or the context where that is less]
    #[arg(long, value_name = "N")]
    pub tokens: Option<NonZeroU32>,
}

/// The largest number that a size may be.
const MOST: i64 = 1 << 28;

/// Arguments of `bench kernels`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop bench kernels
  ldrop bench kernels --precision f32 --threads 1 --json
  ldrop bench kernels --width 768 --heads 12 --time 256 --tokens 1024 --parameters 124000000

Seconds are the median of 7 runs after one that is not measured.

GFLOP/s count the multiplications and additions of the matrix products that an algorithm needs, \
2 · m · n · k of each: of attention only those at and below the diagonal, of a backward pass not \
those of values that it computes once more, and nothing of exponentials, norms and sums. They \
stand beside the best of several products of matrices that fit into the cache, in the precision.

GB/s count the bytes of each input and each output once. They stand beside the best of several \
passes that read and write values in place, 8 bytes a value, four times as many as --parameters \
says. What stays in the cache can be faster than that; results that are written to new memory, and \
arithmetic, make it slower.

Lines with a kept share leave out the work of dropped groups of 32 hidden units, and count what is \
left: the rate beside that of the dense kernel is the part of the ideal speed-up that is realised. \
\"prefill\" has its weights packed beforehand. \"decode\" is one token; its GB/s count the weights \
of kept groups, of as many layers as have four times as many weights as --parameters says, but no \
more than 67 million. They stand beside the best of several passes that only read.")]
pub struct BenchKernelsArguments {
    /// Channels of a token
    #[arg(long, value_name = "C", default_value_t = 144, value_parser = size())]
    pub width: u32,
    /// Heads of the attention; they divide the width
    #[arg(long, value_name = "H", default_value_t = 9, value_parser = size())]
    pub heads: u32,
    /// Tokens of all sequences together
    #[arg(long, value_name = "T", default_value_t = 2000, value_parser = size())]
    pub tokens: u32,
    /// Tokens of a sequence; they divide the tokens
    #[arg(long, value_name = "T", default_value_t = 200, value_parser = size())]
    pub time: u32,
    /// Rows of the output layer and the embedding
    #[arg(long, value_name = "V", default_value_t = 50_257, value_parser = size())]
    pub vocabulary: u32,
    /// Values that the optimizer goes over
    #[arg(long, value_name = "N", default_value_t = 15_000_000, value_parser = size())]
    pub parameters: u32,
}

fn size() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MOST)
}
