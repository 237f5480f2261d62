//! `ldrop`: prepares text, trains, compares, inspects and runs transformers that learn, for each
//! token, which of their own activations to drop.

mod arguments;
mod commands;
mod engine;
mod evaluation_data;
mod exit_status;
mod failure;
mod machine;
mod quickstart;
mod stop;
mod terminal;
mod terminal_table;
mod text_generation;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::Failure;
use terminal::{print_message, printable};

#[global_allocator]
static ALLOCATOR: kernels::memory::Aligned = kernels::memory::Aligned;

fn main() -> ExitCode {
    kernels::memory::pool_freed_memory();
    let arguments = Arguments::parse();
    terminal::start_logging(arguments.common.verbose, arguments.common.quiet);
    let Err(failure) = run(arguments) else {
        return ExitCode::from(exit_status::DONE);
    };
    if !matches!(failure, Failure::OutputClosed | Failure::Stopped(_)) {
        print_message(&printable(&format!("error: {failure}")));
    }
    ExitCode::from(failure.exit_status())
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    machine::check_level()?;
    common.start_threads()?;
    match arguments.command {
        Command::Data(data) => commands::data::run(data, common),
        Command::Train(train) => commands::train::run(train, common),
        Command::Experiment(experiment) => commands::experiment::run(experiment, common),
        Command::Report(report) => commands::report::run(report, common),
        Command::Eval(eval) => commands::eval::run(eval, common),
        Command::Generate(generate) => commands::generate::run(generate, common),
        Command::Inspect(inspect) => commands::inspect::run(inspect, common),
        Command::Info(info) => commands::info::run(info, common),
        Command::Import(import) => commands::import::run(import, common),
        Command::Export(export) => commands::export::run(export, common),
        Command::Bench(bench) => commands::bench::run(bench, common),
    }
}
