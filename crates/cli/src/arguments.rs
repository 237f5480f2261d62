//! The arguments of the program.

mod bench;
mod common;
mod data;
mod experiment;

use std::path::PathBuf;

use ::data::TokenizerOrigin;
use clap::{Args, Parser, Subcommand, ValueEnum};
use model::CutInputs;
use training::report::Theme;

pub use bench::{
    BenchArguments, BenchCommand, BenchDecodeArguments, BenchInferenceArguments,
    BenchKernelsArguments, BenchPrefillArguments, BenchTrainArguments,
};
pub use common::{Common, PrecisionName};
pub use data::{DataArguments, DataCommand, MergeArguments, PrepareArguments};
pub use experiment::{ExperimentArguments, FormatName, ReportArguments};

/// Transformers that learn, for each token, which of their own activations to drop.
#[derive(Debug, Parser)]
#[command(name = "ldrop", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  ldrop train                                   a first model, in a few minutes, from text that is already on this machine
  ldrop data prepare dump.xml.bz2 --out data/wikipedia
  ldrop train --config configs/seed/shift-0.toml
  ldrop generate --model runs/shift-0 --prompt \"The history of\"")]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Options of all commands.
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn text into token files
    Data(DataArguments),
    /// Train a model; without arguments, a small one on text that is already on this machine
    Train(TrainArguments),
    /// Train several variants of a configuration and compare them
    Experiment(ExperimentArguments),
    /// Show runs and experiments as a web page, Markdown, CSV or a picture
    Report(ReportArguments),
    /// Measure how well a model predicts text
    Eval(EvalArguments),
    /// Generate text with a model
    Generate(GenerateArguments),
    /// Show what a model predicts and drops for a text
    Inspect(InspectArguments),
    /// Count a model's parameters and operations
    Info(InfoArguments),
    /// Turn a PyTorch checkpoint in the layout of the original write-up into a model folder
    Import(ImportArguments),
    /// Write a model's weights as one file
    Export(ExportArguments),
    /// Measure how fast this machine computes
    Bench(BenchArguments),
}

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop train
  ldrop train --config configs/seed/shift-0.toml --data data/wikipedia --out runs/shift-0
  ldrop train --config configs/seed/shift-0.toml --set train.batch=10 --set train.accumulate=80
  ldrop train --config configs/sparse/hidden-groups.toml --from runs/dense
  ldrop train --out runs/shift-0 --resume
  ldrop train --out runs/shift-0 --resume --allow-changes --set train.optimizer.learning_rate=3e-4

Ctrl-C saves a checkpoint and ends; --resume continues the run from it, to the same result.")]
pub struct TrainArguments {
    /// The configuration, a TOML file; see docs/configuration.md
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a key of the configuration; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The data folder; overrides data.path
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The run folder [default: a new one under runs/]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Begin with the weights of a model folder or of a run folder (its best checkpoint); masks that
    /// the model lacks are added and keep everything at first; overrides train.from
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub from: Option<PathBuf>,
    /// Continue the run in the run folder
    #[arg(long)]
    pub resume: bool,
    /// With --resume: let --set and --config change the optimizer, the schedule, clipping, dropout,
    /// the penalty and noise_steps of the run from here on; the optimizer's state is kept
    #[arg(long, requires = "resume")]
    pub allow_changes: bool,
    /// Seed of the weights, the batches and all noise, up to 9223372036854775807; overrides seed
    #[arg(long, value_name = "N", value_parser = training_seed)]
    pub seed: Option<u64>,
    /// Save and end when standard input ends; for processes that start runs
    #[arg(long, hide = true)]
    pub stop_at_end_of_input: bool,
}

/// Reads the seed of a run, which TOML has to hold.
fn training_seed(text: &str) -> Result<u64, String> {
    seed(text, i64::MAX as u64)
}

/// Reads the seed of a sampling.
fn sampling_seed(text: &str) -> Result<u64, String> {
    seed(text, u64::MAX)
}

fn seed(text: &str, largest: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&number| number <= largest);
    number.ok_or_else(|| format!("expected a whole number from 0 to {largest}"))
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop eval --model runs/quickstart --data data/quickstart
  ldrop eval --model runs/quickstart --data src/main.rs
  ldrop eval --model runs/shift-0/checkpoints/step-00000500 --split train --json
  ldrop eval --model runs/baseline --threshold-sparsity 0.5 --threshold-inputs all")]
pub struct EvalArguments {
    /// A run folder (its best checkpoint) or a model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A data folder, or a text that `data prepare` reads (a file, a folder, `hf:OWNER/NAME`): all of it is evaluated with the model's tokenizer [default: the data folder that the run was trained on]
    #[arg(long, value_name = "DIR|TEXT")]
    pub data: Option<PathBuf>,
    /// The part of the data folder to evaluate on [default: validation]
    #[arg(long, value_enum)]
    pub split: Option<SplitName>,
    /// Windows that are computed together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub batch: u16,
    /// Stop after about this many tokens
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// Write a line of JSON for each predicted token to this file: position, token, text, loss in nats, and
    /// the kept share where the model has masks
    #[arg(long, value_name = "FILE")]
    pub per_token: Option<PathBuf>,
    /// Small inputs that are taken as 0.
    #[command(flatten)]
    pub threshold: ThresholdArguments,
}

/// Options for taking small inputs of a trained model as 0.
#[derive(Debug, Args)]
pub struct ThresholdArguments {
    /// Take the inputs of the smallest magnitude as 0, this share of them; calibrated on training text
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub threshold_sparsity: Option<f64>,
    /// The inputs that --threshold-sparsity applies to
    #[arg(
        long,
        value_enum,
        value_name = "INPUTS",
        default_value = "hidden",
        requires = "threshold_sparsity"
    )]
    threshold_inputs: ThresholdInputs,
}

impl ThresholdArguments {
    /// The inputs, and the share of them that is taken as 0; none without --threshold-sparsity.
    pub fn cut(&self) -> Option<(CutInputs, f64)> {
        let inputs = match self.threshold_inputs {
            ThresholdInputs::Hidden => CutInputs::Hidden,
            ThresholdInputs::All => CutInputs::All,
        };
        self.threshold_sparsity.map(|sparsity| (inputs, sparsity))
    }
}

/// Inputs that can be taken as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThresholdInputs {
    /// The hidden units of the feed-forwards
    Hidden,
    /// The inputs of all linear layers of the blocks
    All,
}

/// The parts of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// The part that models are trained on.
    Train,
    /// The part that models are evaluated on.
    Validation,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop generate --model runs/quickstart --prompt \"/// Returns the\"
  ldrop generate --model runs/shift-0 --prompt \"The history of\" --temperature 0.8 --top-k 50 --max-tokens 400
  ldrop generate --model runs/shift-0 --prompt \"\" --temperature 0 --json")]
pub struct GenerateArguments {
    /// A run folder (its best checkpoint) or a model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Text to continue; `-` reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: String,
    /// The most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
    /// Divide the logits by this; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    pub temperature: f32,
    /// Sample from the K likeliest tokens only
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Sample from the likeliest tokens only, as many as together reach this probability
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Seed of the sampling, up to 18446744073709551615; the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 1337, value_parser = sampling_seed)]
    pub seed: u64,
    /// Round the learned masks at random: at 1 as in training, towards 0 more and more like the threshold [default: the threshold]
    #[arg(long, value_name = "T")]
    pub mask_temperature: Option<f32>,
    /// Continue after the end-of-text token
    #[arg(long)]
    pub ignore_end_of_text: bool,
    /// Compute dropped values too; only the speed differs
    #[arg(long)]
    pub dense: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop inspect --model runs/quickstart --prompt \"fn main() {\"
  ldrop inspect --model runs/quickstart --file src/main.rs --html masks.html
  ldrop inspect --model runs/quickstart --file src/main.rs --svg masks.svg --theme dark
  ldrop inspect --model runs/shift-0 --data data/wikipedia --max-tokens 10000 --json
  ldrop inspect --model runs/shift-0 --ids 464,2106,286 --json")]
pub struct InspectArguments {
    /// A run folder (its best checkpoint) or a model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        group = "text",
        required_unless_present_any = ["ids", "file", "data"]
    )]
    pub prompt: Option<String>,
    /// The tokens of the text
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', group = "text")]
    pub ids: Option<Vec<u32>>,
    /// A file with the text
    #[arg(long, value_name = "FILE", group = "text")]
    pub file: Option<PathBuf>,
    /// A data folder; analyses the masks for its validation part and predicts nothing
    #[arg(long, value_name = "DIR", group = "text")]
    pub data: Option<PathBuf>,
    /// Analyse the masks: shares kept by kind and position of tokens, always and never kept values, overlap of tokens
    #[arg(long)]
    pub masks: bool,
    /// Write the analysis of the masks as a web page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Draw the beginning of the text as an SVG file: how much of each mask each token keeps
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// The background that the SVG file is for; auto follows the reader's system
    #[arg(long, value_name = "THEME", default_value = "auto", value_parser = experiment::theme())]
    pub theme: Theme,
    /// The most tokens whose masks are analysed, in windows as long as the context
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_tokens: u64,
    /// Number of likeliest next tokens to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Compute dropped values too; only the speed differs
    #[arg(long)]
    pub dense: bool,
}

/// Arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop info --config configs/seed/shift-0.toml
  ldrop info --model runs/quickstart --json
  ldrop info --config configs/sparse/hidden-groups.toml --kept 0.25")]
pub struct InfoArguments {
    /// A configuration file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "model",
        conflicts_with = "model"
    )]
    pub config: Option<PathBuf>,
    /// A run folder (its best checkpoint) or a model folder
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Override a key of the configuration; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "model")]
    pub overrides: Vec<String>,
    /// Share of mask values that is kept, from 0 to 1 [default: the share in the run's last evaluation, else 1]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub kept: Option<f64>,
}

/// Reads a share from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a share from 0 to 1".into())
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop import ckpt.pt --out models/wikipedia
  ldrop generate --model models/wikipedia --prompt \"The\"")]
pub struct ImportArguments {
    /// The checkpoint: a dictionary with `model` and `model_config`
    #[arg(value_name = "FILE.pt")]
    pub file: PathBuf,
    /// The model folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The model's tokenizer: gpt2, byte, a `tokenizer.json`, or a data, run or model folder [default: FILE.tokenizer.json beside FILE.pt, which `export` writes; gpt2 for a vocabulary of its size]
    #[arg(long, value_name = "KIND|PATH")]
    pub tokenizer: Option<TokenizerOrigin>,
    /// Replace a model that exists already
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ldrop export --model runs/quickstart --format safetensors --out model.safetensors
  ldrop export --model runs/shift-0 --format pt-names --out ckpt.pt")]
pub struct ExportArguments {
    /// A run folder (its best checkpoint) or a model folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// The file to write; the model's tokenizer is written beside it, as NAME.tokenizer.json
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Formats of exported weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// This program's names, safetensors
    Safetensors,
    /// The names of the original write-up: a PyTorch file, or safetensors if FILE ends in .safetensors
    PtNames,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
