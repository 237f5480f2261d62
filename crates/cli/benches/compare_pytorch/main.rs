//! Training steps of `ldrop` and of PyTorch, in alternation on this machine.
//!
//! ```text
//! python3 -m venv venv && venv/bin/pip install torch numpy
//! cargo bench -p learned-dropout-cli --bench compare-pytorch -- --python $PWD/venv/bin/python
//! ```
//!
//! The PyTorch program is `reference.py` in this folder. Another one can take its place with
//! `--reference`: `PYTHON REFERENCE bench --preset NAME --batch N --dtype f32|bf16 [--compile]
//! --threads N --warmup N --steps N` must print a JSON object with `tokens_per_second` as its last
//! line, measured over full training steps (forward, backward, AdamW; no dropout, no clipping) on
//! random tokens. Memory is the most that the process itself held.

mod comparison;
mod timed_run;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::str::FromStr;

use clap::Parser;

use comparison::{Comparison, Report};

/// The PyTorch program of this repository.
const REFERENCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/compare_pytorch/reference.py"
);

/// The variants of PyTorch.
const PYTORCH: [&str; 4] = ["f32", "f32-compiled", "bf16", "bf16-compiled"];

#[derive(Parser)]
#[command(
    name = "compare-pytorch",
    about = "Compares training steps with those of PyTorch"
)]
struct Arguments {
    /// The PyTorch program; an absolute path, as cargo starts this in the folder of the package
    #[arg(long, value_name = "FILE", default_value = REFERENCE)]
    reference: PathBuf,
    /// The Python that has PyTorch; an absolute path, or a name to be looked up
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// What to train; may be given again
    #[arg(long, value_name = "PRESET:BATCH", default_values = ["seed-ld:10", "seed-ld:50", "seed-base:10", "gpt2-base:4"])]
    work: Vec<Work>,
    /// Arithmetic of ldrop
    #[arg(long, value_delimiter = ',', value_parser = ["f32", "bf16"], default_values = ["f32", "bf16"])]
    precisions: Vec<String>,
    /// Variants of PyTorch
    #[arg(long, value_delimiter = ',', value_parser = PYTORCH, default_values = PYTORCH)]
    variants: Vec<String>,
    /// Runs of each variant; the median counts
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: NonZeroU32,
    /// Threads of each run
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: u16,
    /// Measured steps of each run
    #[arg(long, value_name = "N", default_value = "5")]
    steps: NonZeroU32,
    /// Steps before those
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: u32,
    /// A run that takes longer is ended, and its variant left out from then on
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    limit: u64,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// A model and the number of windows of a step.
#[derive(Clone)]
struct Work {
    preset: &'static Preset,
    batch: NonZeroU32,
}

/// A model by the name that the PyTorch program has for it.
struct Preset {
    name: &'static str,
    /// Under `configs/`.
    config: &'static str,
    overrides: &'static [&'static str],
}

static PRESETS: [Preset; 4] = [
    Preset {
        name: "seed-ld",
        config: "seed/shift-0.toml",
        overrides: &[],
    },
    Preset {
        name: "seed-embed",
        config: "seed/precomputed.toml",
        overrides: &[],
    },
    Preset {
        name: "seed-base",
        config: "seed/baseline.toml",
        overrides: &[],
    },
    Preset {
        name: "gpt2-base",
        config: "gpt2-124m.toml",
        overrides: &["model.context=256"],
    },
];

impl Work {
    fn name(&self) -> String {
        format!("{}:{}", self.preset.name, self.batch)
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        let expected = || format!("expected PRESET:BATCH with one of {}", names.join(", "));
        let (name, batch) = text.split_once(':').ok_or_else(expected)?;
        let preset = PRESETS.iter().find(|preset| preset.name == name);
        Ok(Self {
            preset: preset.ok_or_else(expected)?,
            batch: batch.parse().map_err(|_| expected())?,
        })
    }
}

/// A program with its settings.
struct Variant {
    own: bool,
    /// As the command line has it.
    key: String,
}

impl Variant {
    /// The wanted ones; those of ldrop first.
    fn wanted(arguments: &Arguments) -> Vec<Self> {
        let variants = |own, keys: &[String]| -> Vec<Self> {
            let variant = |key: &String| Self {
                own,
                key: key.clone(),
            };
            keys.iter().map(variant).collect()
        };
        let mut all = variants(true, &arguments.precisions);
        all.extend(variants(false, &arguments.variants));
        all
    }

    fn name(&self) -> String {
        let program = if self.own { "ldrop" } else { "PyTorch" };
        format!("{program} {}", self.key.replace('-', " "))
    }

    fn command(&self, work: &Work, arguments: &Arguments) -> Command {
        let precision = self.key.trim_end_matches("-compiled");
        let mut command = if self.own {
            own_command(work, precision)
        } else {
            let mut command = Command::new(&arguments.python);
            command.arg(&arguments.reference).arg("bench");
            command.args(["--preset", work.preset.name, "--dtype", precision]);
            if precision != self.key {
                command.arg("--compile");
            }
            command
        };
        for (name, value) in [
            ("--batch", work.batch.to_string()),
            ("--threads", arguments.threads.to_string()),
            ("--warmup", arguments.warmup.to_string()),
            ("--steps", arguments.steps.to_string()),
        ] {
            command.args([name, &value]);
        }
        command
    }
}

fn own_command(work: &Work, precision: &str) -> Command {
    let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ldrop"));
    command.args(["bench", "train", "--json", "--quiet"]);
    command.args(["--precision", precision, "--config"]);
    command.arg(format!("{configs}{}", work.preset.config));
    // The PyTorch program neither clips nor drops at random.
    for setting in ["train.clip=", "model.dropout=0"]
        .iter()
        .chain(work.preset.overrides)
    {
        command.args(["--set", setting]);
    }
    command
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("nothing to test here; start it with `cargo bench`");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    if !arguments.reference.is_file() {
        eprintln!(
            "error: --reference {}: there is no such file; give an absolute path",
            arguments.reference.display()
        );
        return ExitCode::from(2);
    }
    let mut cpu = None;
    let work = arguments.work.iter();
    let work = work
        .map(|work| Comparison::run(work, &arguments, &mut cpu))
        .collect();
    let report = Report {
        cpu,
        threads: arguments.threads,
        rounds: arguments.rounds,
        work,
    };
    if arguments.json {
        let text = serde_json::to_string(&report).expect("numbers and strings only");
        println!("{text}");
    } else {
        report.print();
    }
    ExitCode::SUCCESS
}
