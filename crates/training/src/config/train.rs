//! The table `[train]` and its inner tables: settings, defaults and checks.

use std::path::PathBuf;

use model::problem::{Allowed, Checks, above};
use serde::{Deserialize, Serialize};

use super::evaluate::EvaluateConfig;
use super::schedule::{ScheduleConfig, ScheduleKind};
use super::stop::StopConfig;
use crate::precision::PrecisionChoice;

pub(super) const MOST_STEPS: u64 = 1 << 30;
pub(super) const MOST_PER_STEP: usize = 1 << 16;
/// Micro-batches are numbered by the step of random keys, which has 40 bits.
const MOST_MICRO_BATCHES: u64 = 1 << 40;

/// The settings of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// A model or run folder whose weights the run starts with. Only the weights are used; masks that it
    /// lacks start by keeping everything. Random weights if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Number of optimizer steps.
    pub steps: u64,
    /// Windows per micro-batch.
    pub batch: usize,
    /// Micro-batches per optimizer step; 1 if left out.
    #[serde(default = "default_accumulate")]
    pub accumulate: usize,
    /// Largest norm of all gradients together; larger gradients are scaled down to it. No clipping if left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Steps from one line of metrics to the next; 10 if left out.
    #[serde(default = "default_log_every")]
    pub log_every: u64,
    /// The precision that matrix products round their operands to.
    #[serde(default)]
    pub precision: PrecisionChoice,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// The schedule of the learning rate.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Evaluation during training.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// When the run ends before its last step.
    #[serde(default, skip_serializing_if = "StopConfig::is_never")]
    pub stop: StopConfig,
}

fn default_accumulate() -> usize {
    1
}

fn default_log_every() -> u64 {
    10
}

impl TrainConfig {
    /// Fills in the defaults that depend on other settings. `given` tells whether a key of this table is
    /// set.
    pub(super) fn fill_in(&mut self, given: impl Fn(&str) -> bool) {
        self.schedule.fill_in(self.steps, given("schedule.warmup"));
        let optimizer = &mut self.optimizer;
        if optimizer.minimum_learning_rate.is_none() {
            let default = self.schedule.kind.default_minimum(optimizer.learning_rate);
            optimizer.minimum_learning_rate = default;
        }
        if !given("checkpoint.every") {
            self.checkpoint.every = self.evaluate.every;
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("steps", self.steps, 1..=MOST_STEPS);
        checks.range("batch", self.batch, 1..=MOST_PER_STEP);
        checks.range("accumulate", self.accumulate, 1..=MOST_PER_STEP);
        let norms = above(0.0).advice("leave it out for no clipping");
        checks.range("clip", self.clip, norms);
        checks.range("log_every", self.log_every, 1..=MOST_STEPS);
        let micro_batches = self.steps.saturating_mul(self.accumulate as u64);
        checks.ensure(
            micro_batches < MOST_MICRO_BATCHES,
            "accumulate",
            self.accumulate,
            format!("expected steps times accumulate to be below {MOST_MICRO_BATCHES}"),
        );
        let kind = self.schedule.kind;
        checks.table("optimizer", |checks| self.optimizer.check(checks, kind));
        checks.table("schedule", |checks| self.schedule.check(checks));
        checks.table("evaluate", |checks| self.evaluate.check(checks));
        checks.table("checkpoint", |checks| self.checkpoint.check(checks));
        checks.table("stop", |checks| self.stop.check(checks));
    }

    /// Shortens a warm-up that is longer than the schedule. Gives a note about it; none if it is not
    /// longer.
    ///
    /// A run does this when it begins, and stores the shorter warm-up.
    pub fn shorten_warmup(&mut self) -> Option<String> {
        let (end, key) = match self.schedule.decay_steps {
            Some(end) => (end, "train.schedule.decay_steps"),
            None => (self.steps, "train.steps"),
        };
        let warmup = std::mem::replace(&mut self.schedule.warmup, end);
        if warmup <= end {
            self.schedule.warmup = warmup;
            return None;
        }
        Some(format!(
            "the warm-up is shortened to {end} steps: train.schedule.warmup is {warmup}, more than \
             {key}, {end}"
        ))
    }
}

/// AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The highest learning rate, after the warm-up.
    pub learning_rate: f64,
    /// The learning rate at the end of the schedule. If left out, a tenth of the highest for a cosine and
    /// 0 for "wsd". None for a constant rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_learning_rate: Option<f64>,
    /// Decay of the first and the second moment, each in [0, 1).
    pub betas: [f64; 2],
    /// Decoupled weight decay of parameters with two or more dimensions.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for OptimizerConfig {
    /// The published runs' optimizer.
    fn default() -> Self {
        Self {
            learning_rate: 9e-4,
            minimum_learning_rate: None,
            betas: [0.9, 0.95],
            weight_decay: 0.1,
            epsilon: 1e-8,
        }
    }
}

impl OptimizerConfig {
    fn check(&self, checks: &mut Checks, schedule: ScheduleKind) {
        let (highest, lowest) = (self.learning_rate, self.minimum_learning_rate);
        checks.range("learning_rate", highest, above(0.0));
        let key = "minimum_learning_rate";
        let value = lowest.map(|lowest| lowest.to_string());
        schedule.check_unused(checks, ("optimizer", key), value);
        // If the highest learning rate is not a number, report only that.
        let in_order = |lowest| (0.0..=highest).contains(&lowest) || !highest.is_finite();
        if let Some(lowest) = lowest.filter(|_| schedule != ScheduleKind::Constant) {
            checks.ensure(
                in_order(lowest) && lowest.is_finite(),
                key,
                lowest,
                "expected a number from 0 to the learning rate",
            );
        }
        for beta in self.betas {
            let decays = Allowed::from(0.0..1.0).called("two numbers");
            checks.range("betas", beta, decays);
        }
        checks.range("weight_decay", self.weight_decay, 0.0..);
        checks.range("epsilon", self.epsilon, above(0.0));
    }
}

/// When checkpoints are written, and how many are retained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps from one checkpoint to the next; the last step and the best evaluations always get one. As
    /// frequent as evaluations if left out.
    pub every: u64,
    /// How many of the latest checkpoints are retained besides the best one.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    /// The latest two checkpoints, as frequent as evaluations by default.
    fn default() -> Self {
        Self {
            every: EvaluateConfig::default().every,
            keep: 2,
        }
    }
}

impl CheckpointConfig {
    fn check(&self, checks: &mut Checks) {
        checks.range("every", self.every, 1..=MOST_STEPS);
        checks.range("keep", self.keep, 1..=MOST_PER_STEP);
    }
}
