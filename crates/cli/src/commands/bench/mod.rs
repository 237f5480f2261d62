//! `ldrop bench`: how fast this machine computes. One file for each measurement.

mod alternation;
mod comparison;
mod decode;
mod engines;
mod head_timing;
mod inference;
mod inference_report;
mod kernel_timing;
mod kernels;
mod prefill;
mod sparse_timing;
mod speed_up;
mod train;

use crate::arguments::{BenchArguments, BenchCommand, Common};
use crate::failure::Failure;

/// Runs `bench`.
pub fn run(arguments: BenchArguments, common: &Common) -> Result<(), Failure> {
    match arguments.command {
        BenchCommand::Train(train) => train::run(train, common),
        BenchCommand::Decode(decode) => inference::run(&decode, common),
        BenchCommand::Prefill(prefill) => inference::run(&prefill, common),
        BenchCommand::Kernels(kernels) => kernels::run(kernels, common),
    }
}
