//! `ldrop bench kernels`.

use kernels::peak::{matrix_product_flops, read_bytes_per_second};
use kernels::team::Team;
use serde::Serialize;

use super::kernel_timing::{Amount, Shape, measure, memory_bandwidth};
use crate::arguments::{BenchKernelsArguments, Common, PrecisionName};
use crate::failure::Failure;
use crate::machine;
use crate::terminal::{print, print_json, progress_bar};

/// The most values of one tensor: 4 GiB.
const MAX_VALUES: u64 = 1 << 30;

#[derive(Serialize)]
struct Report {
    cpu: String,
    threads: usize,
    precision: &'static str,
    peak_gflops: f64,
    memory_gbytes_per_second: f64,
    read_gbytes_per_second: f64,
    kernels: Vec<Kernel>,
}

#[derive(Serialize)]
struct Kernel {
    name: &'static str,
    seconds: f64,
    #[serde(flatten)]
    rate: Rate,
    /// The rate divided by the machine's peak.
    ratio: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Rate {
    Gflops(f64),
    GbytesPerSecond(f64),
}

/// Runs `bench kernels`.
pub fn run(arguments: BenchKernelsArguments, common: &Common) -> Result<(), Failure> {
    common.on_cpu("bench kernels")?;
    let precision = common.precision(PrecisionName::Auto)?;
    let shape = shape(&arguments)?;
    let bar = progress_bar(None, "{spinner} {msg}", common.quiet);
    let peak_gflops = matrix_product_flops(precision) / 1e9;
    // As many values as AdamW reads: parameters, gradients and two moments.
    let memory = memory_bandwidth(4 * shape.parameters) / 1e9;
    let team = Team::new(common.threads());
    let reading = read_bytes_per_second(&team, 4 * shape.parameters) / 1e9;
    drop(team);
    let measured = measure(shape, precision, &|name| {
        bar.set_message(name);
        bar.tick();
    });
    bar.finish_and_clear();
    let kernel = |(name, seconds, amount)| {
        let (rate, ratio) = match amount {
            Amount::Operations(count) => {
                let rate = count / seconds / 1e9;
                (Rate::Gflops(rate), rate / peak_gflops)
            }
            Amount::Bytes(count) => {
                let rate = count / seconds / 1e9;
                (Rate::GbytesPerSecond(rate), rate / memory)
            }
            Amount::Reads(count) => {
                let rate = count / seconds / 1e9;
                (Rate::GbytesPerSecond(rate), rate / reading)
            }
        };
        Kernel {
            name,
            seconds,
            rate,
            ratio,
        }
    };
    let report = Report {
        cpu: machine::processor(),
        threads: common.threads(),
        precision: precision.name(),
        peak_gflops,
        memory_gbytes_per_second: memory,
        read_gbytes_per_second: reading,
        kernels: measured.into_iter().map(kernel).collect(),
    };
    if common.json {
        print_json(&report)
    } else {
        print_report(&report)
    }
}

fn shape(arguments: &BenchKernelsArguments) -> Result<Shape, Failure> {
    let divides = |part: (&str, u32), whole: (&str, u32)| {
        if whole.1.is_multiple_of(part.1) {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "--{} {}: expected a divisor of --{}, {}",
            part.0, part.1, whole.0, whole.1
        )))
    };
    divides(("heads", arguments.heads), ("width", arguments.width))?;
    divides(("time", arguments.time), ("tokens", arguments.tokens))?;
    let product = |left: u32, right: u32| u64::from(left) * u64::from(right);
    let largest = product(arguments.tokens, arguments.width)
        .max(product(arguments.width, arguments.width))
        .saturating_mul(4)
        .max(product(arguments.vocabulary, arguments.width));
    if largest > MAX_VALUES {
        return Err(Failure::Usage(format!(
            "a tensor would have {largest} values; lower --tokens, --width or --vocabulary until \
             it has at most {MAX_VALUES}"
        )));
    }
    Ok(Shape {
        width: arguments.width as usize,
        heads: arguments.heads as usize,
        tokens: arguments.tokens as usize,
        time: arguments.time as usize,
        vocabulary: arguments.vocabulary as usize,
        parameters: arguments.parameters as usize,
    })
}

fn print_report(report: &Report) -> Result<(), Failure> {
    print(&format!(
        "processor      {}, threads: {}\n\
         products       {:.1} GFLOP/s in {}, the peak\n\
         memory         {:.1} GB/s, only reading {:.1} GB/s\n\n\
         {:34} {:>10} {:>18} {:>8}",
        report.cpu,
        report.threads,
        report.peak_gflops,
        report.precision,
        report.memory_gbytes_per_second,
        report.read_gbytes_per_second,
        "kernel",
        "ms",
        "rate",
        "of peak"
    ))?;
    for kernel in &report.kernels {
        let rate = match kernel.rate {
            Rate::Gflops(rate) => format!("{rate:.1} GFLOP/s"),
            Rate::GbytesPerSecond(rate) => format!("{rate:.1} GB/s   "),
        };
        print(&format!(
            "{:34} {:>10.3} {rate:>18} {:>7.1}%",
            kernel.name,
            kernel.seconds * 1e3,
            kernel.ratio * 100.0
        ))?;
    }
    Ok(())
}
