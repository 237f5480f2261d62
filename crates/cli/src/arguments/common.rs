//! The options of all commands.

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use inference::{EngineOptions, Format};
use learned_dropout::device::DeviceName;
use learned_dropout::ops::Precision;
use model::TransformerConfig;
use training::precision::PrecisionChoice;

use crate::failure::Failure;

/// The options of all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Precision of matrix products [default: train.precision in training; auto in `generate` and in `bench decode`, `prefill` and `kernels`; else f32]
    #[arg(long, global = true, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Threads to compute with [default: one per processor]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// The device to compute on: cpu, cuda:N, vulkan or metal
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
    /// Print one JSON object (or one per line) instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress, only results, errors and notes
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Precisions of matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    /// 32-bit floating point
    F32,
    /// Operands rounded to bfloat16, sums in 32 bits; on the CPU only
    Bf16,
    /// Weights rounded to 16-bit floating point; for running a model, not for training
    F16,
    /// The fastest: for training, bf16 if the processor has instructions for it, else f32; for running a model, 16 bits unless the model fits into the cache
    Auto,
}

impl PrecisionName {
    /// The precision for a command that does not run the inference engine.
    pub fn choice(self) -> Result<PrecisionChoice, Failure> {
        Ok(match self {
            Self::F32 => PrecisionChoice::F32,
            Self::Bf16 => PrecisionChoice::Bf16,
            Self::Auto => PrecisionChoice::Auto,
            Self::F16 => {
                return Err(Failure::Usage(
                    "--precision f16: expected f32, bf16 or auto here; f16 is for `generate`, \
                     `inspect`, `bench decode` and `bench prefill`"
                        .into(),
                ));
            }
        })
    }
}

impl Common {
    /// The device, without autodiff.
    pub fn device(&self) -> Result<Device, Failure> {
        self.device
            .device()
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The precision for a command that does not train.
    pub fn precision(&self, default: PrecisionName) -> Result<Precision, Failure> {
        self.precision
            .unwrap_or(default)
            .choice()?
            .on(&self.device()?)
            .map_err(|error| Failure::Usage(format!("--precision: {error}")))
    }

    /// The options of the inference engine.
    pub fn engine_options(
        &self,
        default: PrecisionName,
        model: &TransformerConfig,
        dense: bool,
    ) -> EngineOptions {
        EngineOptions {
            threads: self.threads(),
            format: match self.precision.unwrap_or(default) {
                PrecisionName::F32 => Format::F32,
                PrecisionName::Bf16 => Format::Bf16,
                PrecisionName::F16 => Format::F16,
                PrecisionName::Auto => inference::fastest_format(model),
            },
            dense,
        }
    }

    /// The override of the configuration's key `train.precision`, if --precision is given.
    pub fn precision_override(&self) -> Option<String> {
        let name = self.precision?.to_possible_value()?;
        Some(format!("train.precision={}", name.get_name()))
    }

    /// Refuses other devices for a command that always runs on the CPU.
    pub fn on_cpu(&self, command: &str) -> Result<(), Failure> {
        match self.device {
            DeviceName::Cpu => Ok(()),
            device => Err(Failure::Usage(format!(
                "--device {device}: `{command}` runs on the CPU only; leave the option out"
            ))),
        }
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }

    /// Starts the threads that all kernels use.
    pub fn start_threads(&self) -> Result<(), Failure> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads())
            .build_global()?;
        Ok(())
    }
}
