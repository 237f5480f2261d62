//! The report of `bench decode` and `bench prefill`.

use inference::Format;
use kernels::product::Precision;
use serde::Serialize;
use training::report::Spread;
use training::rounds::{speed, speed_up};

use super::speed_up::print_speed_up;
use crate::failure::Failure;
use crate::machine;
use crate::terminal::{print, print_json, thousands};

/// The kind of work that limits the speed, and the machine's measured peak at it.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Reading weights and caches from memory.
    Reading {
        /// Bytes per second.
        bandwidth: f64,
    },
    /// Computing matrix products.
    Products {
        /// Operations per second.
        flops: f64,
        /// The precision of the operands.
        precision: Precision,
    },
}

/// The speed of one of the engines.
#[derive(Clone, Serialize)]
pub struct Speed {
    /// Tokens per second of the median round.
    pub tokens_per_second: f64,
    /// How far the rounds' tokens per second lie apart, see [`deviation`](training::rounds::deviation);
    /// none for one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second_deviation: Option<f64>,
    /// Seconds of each round.
    pub seconds_all: Vec<f64>,
}

impl Speed {
    /// The speed of rounds that read so many tokens each.
    pub fn new(tokens: usize, seconds: Vec<f64>) -> Self {
        let spread = speed(tokens as f64, &seconds);
        Self {
            tokens_per_second: spread.map_or(f64::NAN, |of| of.mean),
            tokens_per_second_deviation: spread.and_then(|of| of.deviation),
            seconds_all: seconds,
        }
    }
}

/// Measurements and settings beside the speeds.
pub struct Measured {
    /// Share of kept mask values; none without learned masks.
    pub kept: Option<f64>,
    /// The format of the weights.
    pub format: Format,
    pub threads: usize,
    /// Sequences that are read together.
    pub batch: usize,
    /// Tokens of a sequence.
    pub tokens: usize,
    /// What was read: `text`, or `random` tokens.
    pub source: &'static str,
}

/// What `--json` prints.
#[derive(Serialize)]
pub struct Report {
    dense: Arm,
    /// The same as `dense` where there is nothing to leave out.
    sparse: Arm,
    /// None where there is nothing to leave out.
    #[serde(skip)]
    over_dense: Option<Spread>,
    kept: Option<f64>,
    speed_up: f64,
    /// How far the rounds' own ratios lie apart; none for one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_up_deviation: Option<f64>,
    ideal_speed_up: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_gbytes_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_gflops: Option<f64>,
    precision: &'static str,
    /// Precision of the operands of matrix products, where these are the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    products: Option<&'static str>,
    cpu: String,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    tokens: usize,
    read: &'static str,
}

/// One of the two engines.
#[derive(Clone, Serialize)]
struct Arm {
    #[serde(flatten)]
    speed: Speed,
    #[serde(flatten)]
    work: LimitingWork,
}

/// The work that limits an engine, and the share of the machine's speed that it reaches.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum LimitingWork {
    Reading {
        /// Bytes of weights, keys and values for each step of all sequences.
        bytes_per_step: f64,
        /// The share of the memory's bandwidth that reading them takes.
        bandwidth_share: f64,
    },
    Products {
        flops_per_token: f64,
        /// The share of the measured peak of matrix products.
        utilization: f64,
    },
}

impl Report {
    /// The report of two engines, each with its speed and the work that limits it. There is no sparse one
    /// where there is nothing to leave out.
    pub fn new(
        limit: Limit,
        (dense, dense_work): (Speed, f64),
        sparse: Option<(Speed, f64)>,
        measured: Measured,
    ) -> Self {
        let batch = measured.batch;
        let arm = |speed: Speed, work: f64| {
            let tokens_per_second = speed.tokens_per_second;
            let work = match limit {
                Limit::Reading { bandwidth } => LimitingWork::Reading {
                    bytes_per_step: work,
                    bandwidth_share: work * tokens_per_second / batch as f64 / bandwidth,
                },
                Limit::Products { flops, .. } => LimitingWork::Products {
                    flops_per_token: work,
                    utilization: work * tokens_per_second / flops,
                },
            };
            Arm { speed, work }
        };
        let (bandwidth, flops, precision, batch) = match limit {
            Limit::Reading { bandwidth } => (Some(bandwidth), None, None, Some(batch)),
            Limit::Products { flops, precision } => (None, Some(flops), Some(precision), None),
        };
        let over_dense = sparse
            .as_ref()
            .and_then(|(sparse, _)| speed_up(&dense.seconds_all, &sparse.seconds_all));
        let dense = arm(dense, dense_work);
        let sparse_work = sparse.as_ref().map_or(dense_work, |(_, work)| *work);
        Self {
            speed_up: over_dense.map_or(1.0, |of| of.mean),
            speed_up_deviation: over_dense.and_then(|of| of.deviation),
            ideal_speed_up: dense_work / sparse_work,
            sparse: sparse.map_or_else(|| dense.clone(), |(speed, work)| arm(speed, work)),
            dense,
            over_dense,
            kept: measured.kept,
            memory_gbytes_per_second: bandwidth.map(|bandwidth| bandwidth / 1e9),
            peak_gflops: flops.map(|flops| flops / 1e9),
            precision: measured.format.name(),
            products: precision.map(Precision::name),
            cpu: machine::processor(),
            threads: measured.threads,
            batch,
            tokens: measured.tokens,
            read: measured.source,
        }
    }

    /// The speed without what is dropped, with its spread over the rounds.
    pub fn speed(&self) -> Option<Spread> {
        let speed = &self.sparse.speed;
        Some(Spread {
            mean: speed.tokens_per_second,
            deviation: speed.tokens_per_second_deviation,
            count: speed.seconds_all.len(),
        })
    }

    /// How much faster that is than computing everything; none if nothing can be left out.
    pub fn speed_up_over_dense(&self) -> Option<Spread> {
        self.over_dense
    }

    /// How much faster the model is than another one that was timed in alternation.
    pub fn speed_up_over(&self, other: &Self) -> Option<Spread> {
        let (slow, fast) = (&other.sparse.speed, &self.sparse.speed);
        speed_up(&slow.seconds_all, &fast.seconds_all)
    }

    /// The share of mask values that are kept; none without masks.
    pub fn kept(&self) -> Option<f64> {
        self.kept
    }

    /// Prints the report, as JSON or as text.
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print_json(self);
        }
        for (name, arm) in [("dense", &self.dense), ("sparse", &self.sparse)] {
            print(&format!("{name:14}{}", arm.line()))?;
        }
        if let Some(kept) = self.kept {
            let speed_up = (self.speed_up, self.speed_up_deviation);
            print_speed_up(speed_up, self.ideal_speed_up, kept)?;
        }
        self.print_workload()?;
        if let Some(bandwidth) = self.memory_gbytes_per_second {
            print(&format!("memory        {bandwidth:.1} GB/s read"))?;
        }
        if let Some((peak, products)) = self.peak_gflops.zip(self.products) {
            print(&format!(
                "products      {peak:.1} GFLOP/s in {products}, the peak"
            ))?;
        }
        self.print_machine()
    }

    /// Prints what was read.
    pub fn print_workload(&self) -> Result<(), Failure> {
        let (tokens, read) = (self.tokens, self.read);
        print(&match self.batch {
            Some(batch) => format!("batch         {batch} × {tokens} tokens, {read}"),
            None => format!("prompt        {tokens} tokens, {read}"),
        })
    }

    /// Prints what it was computed with.
    pub fn print_machine(&self) -> Result<(), Failure> {
        print(&format!(
            "weights       {}, threads: {}\n\
             processor     {}",
            self.precision, self.threads, self.cpu
        ))
    }
}

impl Arm {
    fn line(&self) -> String {
        let deviation = self.speed.tokens_per_second_deviation;
        let speed = self.speed.tokens_per_second;
        match self.work {
            LimitingWork::Reading {
                bytes_per_step,
                bandwidth_share,
            } => format!(
                "{speed:.1}{} tokens/s, {:.1} MB a step, {:.0}% of the memory's bandwidth",
                deviation.map_or(String::new(), |of| format!(" ± {of:.1}")),
                bytes_per_step / 1e6,
                bandwidth_share * 100.0
            ),
            LimitingWork::Products {
                flops_per_token,
                utilization,
            } => format!(
                "{}{} tokens/s, {:.1} MFLOP a token, {:.0}% of the peak",
                thousands(speed as u64),
                deviation.map_or(String::new(), |of| format!(" ± {of:.0}")),
                flops_per_token / 1e6,
                utilization * 100.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds may take the same time by chance, on a machine with a coarse clock.
    #[test]
    fn only_a_sparse_engine_has_a_speed_up() {
        let speed = || Speed::new(10, vec![0.5, 0.25, 0.5]);
        let report = |sparse| {
            let measured = Measured {
                kept: None,
                format: Format::F32,
                threads: 1,
                batch: 1,
                tokens: 10,
                source: "random",
            };
            let limit = Limit::Reading { bandwidth: 1e9 };
            Report::new(limit, (speed(), 8.0), sparse, measured)
        };
        let equal = report(Some((speed(), 2.0))).speed_up_over_dense();
        assert_eq!(equal.map(|of| of.mean), Some(1.0));
        let dense = report(None);
        assert!(dense.speed_up_over_dense().is_none());
        // As JSON, what runs without a sparse engine is the dense one.
        let dense = serde_json::to_value(dense).expect("JSON");
        assert_eq!(dense["sparse"], dense["dense"]);
        assert_eq!(
            (&dense["speed_up"], &dense["ideal_speed_up"]),
            (&1.0.into(), &1.0.into())
        );
    }
}
