//! `ldrop bench`: how fast this machine computes. One file for each measurement.

mod kernel_timing;
mod kernels;
mod sparse_timing;
mod train;

use crate::arguments::{BenchArguments, BenchCommand, Common};
use crate::failure::Failure;

/// Runs `bench`.
pub fn run(arguments: BenchArguments, common: &Common) -> Result<(), Failure> {
    match arguments.command {
        BenchCommand::Train(train) => train::run(train, common),
        BenchCommand::Kernels(kernels) => kernels::run(kernels, common),
    }
}
