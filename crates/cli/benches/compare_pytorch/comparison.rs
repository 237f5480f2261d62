//! Medians and ratios of alternating runs, and their tables.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::timed_run::{Measured, measure};
use crate::{Arguments, Variant, Work};

/// The runs of one variant.
#[derive(Default, Serialize)]
pub struct Series {
    variant: String,
    /// The median of the runs.
    tokens_per_second: Option<f64>,
    tokens_per_second_all: Vec<f64>,
    peak_memory_bytes: Option<u64>,
    /// Why runs are missing.
    problem: Option<String>,
}

impl Series {
    fn add(&mut self, run: Result<Measured, String>, cpu: &mut Option<String>) {
        match run {
            Ok(run) => {
                self.tokens_per_second_all.push(run.tokens_per_second);
                self.tokens_per_second = median(&self.tokens_per_second_all);
                self.peak_memory_bytes = self.peak_memory_bytes.max(run.peak_memory_bytes);
                *cpu = run.cpu.or(cpu.take());
            }
            Err(problem) => self.problem = Some(problem),
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let is_odd = sorted.len() % 2 == 1;
    Some(if is_odd {
        upper
    } else {
        (sorted[middle - 1] + upper) / 2.0
    })
}

/// The runs of one piece of work.
#[derive(Serialize)]
pub struct Comparison {
    preset: &'static str,
    batch: NonZeroU32,
    series: Vec<Series>,
    /// The fastest variant of PyTorch, in tokens per second.
    pytorch_best: Option<f64>,
    /// The fastest variant of ldrop, divided by that.
    ratio: Option<f64>,
    /// ldrop in f32, divided by the faster variant of PyTorch in f32.
    ratio_f32: Option<f64>,
}

impl Comparison {
    fn new(work: &Work, series: Vec<Series>) -> Self {
        let best = |prefix: &str| {
            let matching = series
                .iter()
                .filter(|series| series.variant.starts_with(prefix));
            matching
                .filter_map(|series| series.tokens_per_second)
                .max_by(f64::total_cmp)
        };
        let ratio = |own, other| Some(best(own)? / best(other)?);
        Self {
            preset: work.preset.name,
            batch: work.batch,
            pytorch_best: best("PyTorch"),
            ratio: ratio("ldrop", "PyTorch"),
            ratio_f32: ratio("ldrop f32", "PyTorch f32"),
            series,
        }
    }

    pub fn run(work: &Work, arguments: &Arguments, cpu: &mut Option<String>) -> Self {
        let variants = Variant::wanted(arguments);
        let mut series: Vec<Series> = variants
            .iter()
            .map(|variant| Series {
                variant: variant.name(),
                ..Series::default()
            })
            .collect();
        for round in 1..=arguments.rounds.get() {
            for (variant, series) in variants.iter().zip(&mut series) {
                if series.problem.is_some() {
                    continue;
                }
                let place = format!("{}, round {round}, {}", work.name(), series.variant);
                let command = variant.command(work, arguments);
                let run = measure(command, Duration::from_secs(arguments.limit));
                match &run {
                    Ok(run) => eprintln!("{place}: {:.1} tokens/s", run.tokens_per_second),
                    Err(problem) => eprintln!("{place}: {problem}"),
                }
                series.add(run, cpu);
            }
        }
        Self::new(work, series)
    }
}

#[derive(Serialize)]
pub struct Report {
    pub cpu: Option<String>,
    pub threads: u16,
    pub rounds: NonZeroU32,
    pub work: Vec<Comparison>,
}

impl Report {
    /// Tables in Markdown.
    pub fn print(&self) {
        let names: Vec<&str> = self.work.first().map_or(Vec::new(), |first| {
            first
                .series
                .iter()
                .map(|series| series.variant.as_str())
                .collect()
        });
        let ratios = "PyTorch's best | ldrop / PyTorch's best | f32: ldrop / PyTorch";
        println!(
            "Tokens/s, medians of {} alternating runs, {} threads, {}\n",
            self.rounds,
            self.threads,
            self.cpu.as_deref().unwrap_or("unknown processor")
        );
        println!("| work | {} | {ratios} |", names.join(" | "));
        println!("|---|{}", "---|".repeat(names.len() + 3));
        for work in &self.work {
            let speed = |value: Option<f64>| number(value, 0, "");
            let mut cells: Vec<String> = work
                .series
                .iter()
                .map(|series| speed(series.tokens_per_second))
                .collect();
            cells.extend([
                speed(work.pytorch_best),
                number(work.ratio, 2, "×"),
                number(work.ratio_f32, 2, "×"),
            ]);
            println!(
                "| {}, batch {} | {} |",
                work.preset,
                work.batch,
                cells.join(" | ")
            );
        }
        println!("\nPeak memory of the process, GiB\n");
        println!("| work | {} |", names.join(" | "));
        println!("|---|{}", "---|".repeat(names.len()));
        for work in &self.work {
            let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let cell = |series: &Series| number(series.peak_memory_bytes.map(gibibytes), 2, "");
            let cells: Vec<String> = work.series.iter().map(cell).collect();
            println!(
                "| {}, batch {} | {} |",
                work.preset,
                work.batch,
                cells.join(" | ")
            );
        }
        self.print_problems();
    }

    fn print_problems(&self) {
        for work in &self.work {
            for series in &work.series {
                if let Some(problem) = &series.problem {
                    println!(
                        "\n{}, batch {}, {}: {problem}",
                        work.preset, work.batch, series.variant
                    );
                }
            }
        }
    }
}

fn number(value: Option<f64>, digits: usize, unit: &str) -> String {
    value.map_or("–".into(), |value| format!("{value:.digits$}{unit}"))
}
