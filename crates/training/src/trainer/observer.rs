//! What a run tells while it goes on, and what it asks for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use model::TransformerConfig;
use model::weights::Weights;

use crate::checkpoints::DamagedCheckpoint;
use crate::metrics::{EvaluationMetrics, StepMetrics};

/// What a run begins with.
#[derive(Debug)]
pub struct Started<'a> {
    /// Completed steps: 0 for a new run.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The model.
    pub model: &'a TransformerConfig,
    /// Tokens that each step sees.
    pub tokens_per_step: u64,
    /// The checkpoint that the run goes on from.
    pub resumed_from: Option<&'a Path>,
    /// Newer checkpoints that could not be used, because they are damaged.
    pub damaged: &'a [DamagedCheckpoint],
}

/// What is told of every step.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Completed steps, this one counted.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Mean cross-entropy of the step, in nats per token.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Speed of this step.
    pub tokens_per_second: f64,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Completed steps.
    pub step: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it has the lowest validation loss so far.
    pub best: bool,
}

/// Hears of a run's events. Every method does nothing unless it is overridden.
pub trait Observer {
    /// The run begins or goes on.
    fn started(&mut self, _started: &Started<'_>) {}
    /// A step is done.
    fn stepped(&mut self, _step: &Stepped) {}
    /// A line of metrics was written.
    fn logged(&mut self, _metrics: &StepMetrics) {}
    /// An evaluation has done some of its batches.
    fn evaluating(&mut self, _done: u64, _all: u64) {}
    /// An evaluation is done.
    fn evaluated(&mut self, _metrics: &EvaluationMetrics) {}
    /// A text sample was written, or why it was not.
    fn sampled(&mut self, _step: u64, _sample: Result<&str, &str>) {}
    /// A checkpoint was written.
    fn saved(&mut self, _saved: &Saved) {}
}

/// An observer that hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// What a text sample is to be made from.
#[derive(Debug)]
pub struct SampleRequest<'a> {
    /// The model.
    pub model: &'a TransformerConfig,
    /// Its weights.
    pub weights: &'a Weights,
    /// Text to continue; may be empty.
    pub prompt: &'a str,
    /// Number of tokens to write.
    pub tokens: usize,
    /// Seed of the sampling; the same for every sample of a run.
    pub seed: u64,
}

/// Writes a text sample.
pub type Sampler<'a> = dyn FnMut(&SampleRequest<'_>) -> Result<String, String> + 'a;

/// What a run talks to.
pub struct Hooks<'a> {
    /// Hears of events.
    pub observer: &'a mut dyn Observer,
    /// Writes text samples; without one there are none.
    pub sampler: Option<&'a mut Sampler<'a>>,
    /// When this becomes true, the run saves a checkpoint and ends.
    pub stop: &'a AtomicBool,
}

impl Hooks<'_> {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
