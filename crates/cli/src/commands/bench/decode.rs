//! `ldrop bench decode`.

use inference::Batch;
use kernels::peak::read_bytes_per_second;
use kernels::team::Team;
use serde::Serialize;

use super::inference::{Engines, Speed, fitting};
use crate::arguments::{BenchDecodeArguments, Common};
use crate::failure::Failure;
use crate::machine;
use crate::terminal::{print, print_json};

#[derive(Serialize)]
struct Report {
    dense: Arm,
    sparse: Arm,
    kept: Option<f64>,
    speed_up: f64,
    ideal_speed_up: f64,
    memory_gbytes_per_second: f64,
    precision: &'static str,
    cpu: String,
    threads: usize,
    batch: usize,
    tokens: usize,
    read: &'static str,
}

#[derive(Serialize)]
struct Arm {
    #[serde(flatten)]
    speed: Speed,
    /// Weights and what is kept of earlier tokens, for each step of all sequences.
    bytes_per_step: f64,
    /// The share of the memory's bandwidth that reading them takes.
    bandwidth_share: f64,
}

/// Runs `bench decode`.
pub fn run(arguments: BenchDecodeArguments, common: &Common) -> Result<(), Failure> {
    common.on_cpu("bench decode")?;
    let engines = Engines::new(&arguments.inference, common)?;
    let context = engines.dense.config().context;
    let tokens = fitting(arguments.tokens.map(u32::from), 64, context)?;
    let batch = usize::from(arguments.batch);
    let sequences = engines.sequences(batch, tokens)?;
    let step = |position| sequences.iter().skip(position).step_by(tokens).copied();
    let ids: Vec<u32> = (0..tokens).flat_map(step).collect();
    let measured = engines.alternate(batch * tokens, common.quiet, &|engine| {
        let mut sequences = Batch::new(engine, batch)?.with_mask_rule(engines.rule);
        for ids in ids.chunks_exact(batch) {
            sequences.decode(ids)?;
        }
        Ok(sequences.mask_statistics())
    })?;
    let seen = (tokens + 1) as f64 / 2.0;
    let [dense, sparse] = engines.work(measured.masks.as_ref(), seen, batch, 1.0);
    let team = Team::new(common.threads());
    let memory = read_bytes_per_second(&team, (dense.bytes / 4.0) as usize);
    let arm = |speed: Speed, bytes: f64| Arm {
        bandwidth_share: bytes * speed.tokens_per_second / batch as f64 / memory,
        bytes_per_step: bytes,
        speed,
    };
    let report = Report {
        speed_up: measured.sparse.tokens_per_second / measured.dense.tokens_per_second,
        ideal_speed_up: dense.bytes / sparse.bytes,
        dense: arm(measured.dense, dense.bytes),
        sparse: arm(measured.sparse, sparse.bytes),
        kept: measured.masks.map(|masks| masks.kept),
        memory_gbytes_per_second: memory / 1e9,
        precision: engines.dense.options().format.name(),
        cpu: machine::processor(),
        threads: common.threads(),
        batch,
        tokens,
        read: engines.source(),
    };
    if common.json {
        print_json(&report)
    } else {
        print_report(&report)
    }
}

fn print_report(report: &Report) -> Result<(), Failure> {
    for (name, arm) in [("dense", &report.dense), ("sparse", &report.sparse)] {
        print(&format!(
            "{name:14}{:.1} tokens/s, {:.1} MB a step, {:.0}% of the memory's bandwidth",
            arm.speed.tokens_per_second,
            arm.bytes_per_step / 1e6,
            arm.bandwidth_share * 100.0
        ))?;
    }
    if let Some(kept) = report.kept {
        print(&format!(
            "speed-up      {:.2}, ideal {:.2}\nkept          {:.1}% of the mask values",
            report.speed_up,
            report.ideal_speed_up,
            kept * 100.0
        ))?;
    }
    print(&format!(
        "batch         {} × {} tokens, {}\n\
         memory        {:.1} GB/s read\n\
         weights       {}, threads: {}\n\
         processor     {}",
        report.batch,
        report.tokens,
        report.read,
        report.memory_gbytes_per_second,
        report.precision,
        report.threads,
        report.cpu
    ))
}
