//! `ldrop bench prefill`.

use inference::Session;
use kernels::peak::matrix_product_flops;
use serde::Serialize;

use super::inference::{Engines, Speed, fitting};
use crate::arguments::{BenchPrefillArguments, Common};
use crate::failure::Failure;
use crate::machine;
use crate::terminal::{grouped, print, print_json};

#[derive(Serialize)]
struct Report {
    dense: Arm,
    sparse: Arm,
    kept: Option<f64>,
    speed_up: f64,
    ideal_speed_up: f64,
    peak_gflops: f64,
    precision: &'static str,
    products: &'static str,
    cpu: String,
    threads: usize,
    tokens: usize,
    read: &'static str,
}

#[derive(Serialize)]
struct Arm {
    #[serde(flatten)]
    speed: Speed,
    flops_per_token: f64,
    /// The share of the measured peak of matrix products.
    utilization: f64,
}

/// Runs `bench prefill`.
pub fn run(arguments: BenchPrefillArguments, common: &Common) -> Result<(), Failure> {
    common.on_cpu("bench prefill")?;
    let engines = Engines::new(&arguments.inference, common)?;
    let context = engines.dense.config().context;
    let tokens = fitting(arguments.tokens.map(u32::from), 512, context)?;
    let ids = engines.sequences(1, tokens)?;
    let measured = engines.alternate(tokens, common.quiet, &|engine| {
        let mut session = Session::new(engine)?.with_mask_rule(engines.rule);
        session.prefill(&ids)?;
        Ok(session.mask_statistics())
    })?;
    let seen = (tokens + 1) as f64 / 2.0;
    let [dense, sparse] = engines.work(measured.masks.as_ref(), seen, 1, 1.0 / tokens as f64);
    let products = engines.dense.precision();
    let peak = matrix_product_flops(products);
    let arm = |speed: Speed, operations: f64| Arm {
        utilization: operations * speed.tokens_per_second / peak,
        flops_per_token: operations,
        speed,
    };
    let report = Report {
        speed_up: measured.sparse.tokens_per_second / measured.dense.tokens_per_second,
        ideal_speed_up: dense.operations / sparse.operations,
        dense: arm(measured.dense, dense.operations),
        sparse: arm(measured.sparse, sparse.operations),
        kept: measured.masks.map(|masks| masks.kept),
        peak_gflops: peak / 1e9,
        precision: engines.dense.options().format.name(),
        products: products.name(),
        cpu: machine::processor(),
        threads: common.threads(),
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
            "{name:14}{} tokens/s, {:.1} MFLOP a token, {:.0}% of the peak",
            grouped(arm.speed.tokens_per_second as u64),
            arm.flops_per_token / 1e6,
            arm.utilization * 100.0
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
        "prompt        {} tokens, {}\n\
         products      {:.1} GFLOP/s in {}, the peak\n\
         weights       {}, threads: {}\n\
         processor     {}",
        report.tokens,
        report.read,
        report.peak_gflops,
        report.products,
        report.precision,
        report.threads,
        report.cpu
    ))
}
