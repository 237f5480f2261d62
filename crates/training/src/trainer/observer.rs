//! The events of a run, and the hooks by which a caller observes, samples and stops it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use model::TransformerConfig;
use model::weights::Weights;

use crate::checkpoints::DamagedCheckpoint;
use crate::metrics::{EvaluationMetrics, StepMetrics};

/// The event of a run that begins or is resumed.
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
    /// The checkpoint that the run is resumed from.
    pub resumed_from: Option<&'a Path>,
    /// Newer checkpoints that are damaged and were not used.
    pub damaged: &'a [DamagedCheckpoint],
    /// What the run changed or decided in its configuration, and why it does not go on, in sentences.
    pub notes: &'a [String],
}

/// The event of a completed step.
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

/// The event of a written checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Completed steps.
    pub step: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it has the lowest validation loss so far.
    pub best: bool,
}

/// Receives a run's events. Every method does nothing unless it is overridden.
pub trait Observer {
    /// The run begins or is resumed.
    fn started(&mut self, _started: &Started<'_>) {}
    /// A step is complete.
    fn stepped(&mut self, _step: &Stepped) {}
    /// A line of metrics was written.
    fn logged(&mut self, _metrics: &StepMetrics) {}
    /// An evaluation has completed `done` of `all` batches.
    fn evaluating(&mut self, _done: u64, _all: u64) {}
    /// An evaluation is complete.
    fn evaluated(&mut self, _metrics: &EvaluationMetrics) {}
    /// A text sample was generated, or failed with a reason.
    fn sampled(&mut self, _step: u64, _sample: Result<&str, &str>) {}
    /// A checkpoint was written.
    fn saved(&mut self, _saved: &Saved) {}
}

/// An observer that ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A request for a text sample.
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

/// Generates a text sample, or gives the reason of a failure.
pub type Sampler<'a> = dyn FnMut(&SampleRequest<'_>) -> Result<String, String> + 'a;

/// The hooks of a run's caller.
pub struct Hooks<'a> {
    /// Receives events.
    pub observer: &'a mut dyn Observer,
    /// Generates text samples; there are none without it.
    pub sampler: Option<&'a mut Sampler<'a>>,
    /// When this becomes true, the run saves a checkpoint and ends.
    pub stop: &'a AtomicBool,
}

impl Hooks<'_> {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
