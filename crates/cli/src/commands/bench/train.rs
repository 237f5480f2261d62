//! `ldrop bench train`.

use std::path::{Path, PathBuf};

use learned_dropout::model_folder;
use serde::Serialize;
use training::config::RunConfig;
use training::flops;
use training::trainer::time_steps;

use crate::arguments::{BenchTrainArguments, Common};
use crate::failure::Failure;
use crate::terminal::{bar, grouped, print, print_json};
use crate::{machine, model, quickstart};

#[derive(Serialize)]
struct Report {
    tokens_per_second: f64,
    step_seconds: f64,
    step_seconds_all: Vec<f64>,
    peak_memory_bytes: Option<u64>,
    precision: &'static str,
    cpu: String,
    threads: usize,
    batch: usize,
    context: usize,
    model_flops_utilization: Option<f64>,
    loss: f64,
}

/// Runs `bench train`.
pub fn run(arguments: BenchTrainArguments, common: &Common) -> Result<(), Failure> {
    let device = common.device()?;
    let (config, name) = configuration(&arguments, common)?;
    let model = model::of_run(&config, &name)?;
    let all = arguments.warmup.saturating_add(arguments.steps.get());
    let bar = bar(
        Some(all.into()),
        "{wide_bar} {pos}/{len} steps, {eta} left",
        common.quiet,
    );
    let timing = time_steps(
        &config,
        &model,
        &device,
        (arguments.warmup, arguments.steps),
        &mut |made| bar.set_position(made.into()),
    );
    bar.finish_and_clear();
    let timing = timing?;
    let tokens_per_second = timing.tokens_per_second();
    let peak_flops = machine::peak_flops(common, timing.precision);
    let report = Report {
        tokens_per_second,
        step_seconds: timing.median_seconds(),
        peak_memory_bytes: machine::peak_memory_bytes(),
        precision: timing.precision.name(),
        cpu: machine::processor(),
        threads: common.threads(),
        batch: config.train.batch,
        context: model.context,
        model_flops_utilization: flops::utilization(&model, tokens_per_second, peak_flops),
        loss: timing.loss,
        step_seconds_all: timing.seconds,
    };
    if common.json {
        print_json(&report)
    } else {
        print_report(&report)
    }
}

/// The configuration, and what messages call it.
fn configuration(
    arguments: &BenchTrainArguments,
    common: &Common,
) -> Result<(RunConfig, PathBuf), Failure> {
    let mut overrides = arguments.overrides.clone();
    if let Some(batch) = arguments.batch {
        overrides.push(format!("train.batch={batch}"));
    }
    if let Some(seed) = arguments.seed {
        overrides.push(format!("seed={seed}"));
    }
    overrides.extend(common.precision_override());
    if let Some(file) = &arguments.config {
        return Ok((RunConfig::read(file, &overrides)?, file.clone()));
    }
    let name = Path::new(quickstart::CONFIG_NAME);
    let Some(folder) = &arguments.model else {
        // The data that would tell the vocabulary need not be there.
        overrides.insert(0, format!("model.vocabulary={}", quickstart::VOCABULARY));
        let config = RunConfig::parse(quickstart::CONFIG, name, &overrides)?;
        return Ok((config, name.into()));
    };
    let mut config = RunConfig::parse(quickstart::CONFIG, name, &[])?;
    config.model = model_folder::read_config(&model::locate(folder)?)?.into();
    // Once more as text, so that overrides hold for the model too.
    let text = config.to_toml().map_err(Failure::work)?;
    let config = RunConfig::parse(&text, folder, &overrides)?;
    Ok((config, folder.clone()))
}

fn print_report(report: &Report) -> Result<(), Failure> {
    let seconds = report.step_seconds_all.iter().copied();
    print(&format!(
        "speed         {} tokens/s\n\
         step          {:.4} s, median of {} from {:.4} to {:.4}\n\
         batch         {} × {} tokens",
        grouped(report.tokens_per_second as u64),
        report.step_seconds,
        report.step_seconds_all.len(),
        seconds.clone().fold(f64::INFINITY, f64::min),
        seconds.fold(0.0, f64::max),
        report.batch,
        report.context,
    ))?;
    if let Some(share) = report.model_flops_utilization {
        let share = share * 100.0;
        print(&format!(
            "utilization   {share:.1}% of the measured peak of matrix products"
        ))?;
    }
    if let Some(bytes) = report.peak_memory_bytes {
        let mebibytes = grouped(bytes.div_ceil(1 << 20));
        print(&format!("peak memory   {mebibytes} MiB"))?;
    }
    print(&format!(
        "arithmetic    {}, threads: {}\n\
         processor     {}\n\
         loss          {:.4}",
        report.precision, report.threads, report.cpu, report.loss
    ))
}
