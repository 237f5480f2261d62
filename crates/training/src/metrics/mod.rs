//! The metrics of a run: a file with one JSON object per line, and TensorBoard event files.

mod feed_forward;
mod json_lines;
mod tensorboard;
mod used_shares;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::Site;
use serde::{Deserialize, Serialize};

use crate::config::{Change, TrainConfig};
use crate::early_stop::EarlyEnd;

pub use feed_forward::{FeedForwardLayerMetrics, FeedForwardMetrics};
pub use json_lines::MetricsFile;
pub use tensorboard::EventFile;
pub use used_shares::UsedShares;

/// The metrics cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the metrics cannot be written: {source}")]
pub struct MetricsError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: std::io::Error,
}

impl MetricsError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self {
            path: path.into(),
            source,
        }
    }
}

/// A line of metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Metrics {
    /// Metrics of a training step.
    Step(StepMetrics),
    /// Metrics of an evaluation.
    Evaluation(EvaluationMetrics),
    /// A text that the model generated after an evaluation.
    Sample(SampleMetrics),
    /// The machine that computed the following lines; written when it is not that of the lines before.
    Environment(EnvironmentMetrics),
    /// A change of the configuration when the run was resumed.
    Changes(Change),
    /// The end of the run before its last step.
    End(EndMetrics),
}

impl Metrics {
    /// Number of completed optimizer steps.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(metrics) => metrics.step,
            Self::Evaluation(metrics) => metrics.step,
            Self::Sample(metrics) => metrics.step,
            Self::Environment(metrics) => metrics.step,
            Self::Changes(change) => change.step,
            Self::End(metrics) => metrics.step,
        }
    }
}

/// Metrics of a training step. Shares are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Number of completed optimizer steps.
    pub step: u64,
    /// Tokens trained on since the run began.
    pub tokens: u64,
    /// Mean cross-entropy of the step's micro-batches, in nats per token, before the update.
    pub loss: f64,
    /// Mean of the penalty over the masks without a control, before its coefficient.
    pub penalty: Option<f64>,
    /// The coefficient of the penalty.
    pub penalty_coefficient: Option<f64>,
    /// The target share of kept mask values, if the penalty has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kept: Option<f64>,
    /// The share of mask values that inference would keep: the mean over the masks without a control and the
    /// micro-batches of the step. Measured only if the penalty has a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at_inference: Option<f64>,
    /// The share that each mask with a control kept, in the order of the forward pass: the mean over the
    /// micro-batches of the step. Empty without such masks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_by_controlled: Vec<f64>,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Speed since the last line of the same process, without the time of evaluations and checkpoints.
    pub tokens_per_second: f64,
    /// Share of the processor's peak operations per second, if the peak is known.
    pub model_flops_utilization: Option<f64>,
    /// Statistics of the learned masks; none without masks.
    pub mask: Option<MaskMetrics>,
    /// Statistics of feed-forwards with experts or ReLU; none for dense ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<FeedForwardMetrics>,
    /// When the line was written, in seconds since the beginning of 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

/// Metrics of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationMetrics {
    /// Number of completed optimizer steps.
    pub step: u64,
    /// Tokens trained on since the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Mean cross-entropy on windows of the training split, in nats per token.
    pub train_loss: f64,
    /// Mean cross-entropy on windows of the validation split, in nats per token.
    pub validation_loss: f64,
    /// Mean cross-entropy on each of `train.evaluate.sets`, in nats per token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, f64>,
    /// Whether the validation loss is the lowest of the run so far.
    pub best: bool,
    /// Statistics of the learned masks on the validation split; none without masks.
    pub mask: Option<MaskMetrics>,
    /// Statistics of feed-forwards with experts or ReLU on the validation split; none for dense ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<FeedForwardMetrics>,
    /// When the line was written, in seconds since the beginning of 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

/// A text that the model generated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleMetrics {
    /// Number of completed optimizer steps.
    pub step: u64,
    /// The prompt and its continuation.
    pub text: String,
    /// When the line was written, in seconds since the beginning of 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

/// The end of a run before its last step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndMetrics {
    /// Number of completed optimizer steps.
    pub step: u64,
    /// The reason in words.
    pub explanation: String,
    /// The reason, and the settings that decided it.
    #[serde(flatten)]
    pub end: EarlyEnd,
}

impl EndMetrics {
    /// The end of a run after `step` steps.
    pub fn new(step: u64, end: &EarlyEnd) -> Self {
        Self {
            step,
            explanation: end.to_string(),
            end: end.clone(),
        }
    }

    /// Whether a run with these settings, whose metrics reach up to `last_step`, stays ended.
    pub fn holds(&self, train: &TrainConfig, last_step: u64) -> bool {
        self.end.holds(train) && last_step <= self.step
    }
}

impl std::fmt::Display for EndMetrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            step, explanation, ..
        } = self;
        write!(formatter, "stopped early at step {step}: {explanation}")
    }
}

/// The machine that computes a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentMetrics {
    /// Number of optimizer steps completed before.
    pub step: u64,
    /// The program and its version.
    pub program: String,
    /// The processor and the instruction-set level in use.
    pub processor: String,
    /// The device as it is named on the command line.
    pub device: String,
    /// Number of threads.
    pub threads: usize,
    /// What the losses are measured on; older runs did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataMetrics>,
    /// When the line was written, in seconds since the beginning of 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

/// The tokens that losses are measured on: losses of equal tokens can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMetrics {
    /// The training split.
    pub train: TextMetrics,
    /// The validation split.
    pub validation: TextMetrics,
    /// The validation split of each of `train.evaluate.sets`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, TextMetrics>,
}

/// The tokens of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextMetrics {
    /// The same for the same tokens, wherever they are stored.
    pub fingerprint: String,
    /// How many there are.
    pub tokens: u64,
}

impl EnvironmentMetrics {
    /// Whether both are the same machine, settings and data, whatever the step and the time.
    fn is_same_machine(&self, other: &Self) -> bool {
        let at_start = |environment: &Self| Self {
            step: 0,
            time: None,
            ..environment.clone()
        };
        at_start(self) == at_start(other)
    }
}

/// Statistics of the learned masks: means over the masks, and those of each mask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MaskMetrics {
    /// Means over the masks.
    #[serde(flatten)]
    pub mean: LayerMetrics,
    /// Each mask, in the order of the forward pass.
    pub layers: Vec<LayerMetrics>,
}

/// Statistics of one learned mask, as means over its elements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerMetrics {
    /// The site of the mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// The block of the mask, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// Mean of the rounded mask.
    pub kept: f64,
    /// Share of elements above 0.9 before rounding.
    pub near_one: f64,
    /// Share of elements below 0.1 before rounding.
    pub near_zero: f64,
    /// Mean of −M log₂(M + 1e-9).
    pub entropy: f64,
    /// Mean of the squared penalty, M² / 2.
    pub penalty: f64,
    /// Share of the mask's values, each standing for a group of channels, that are kept for no token
    /// of the batch.
    #[serde(default)]
    pub never_kept: f64,
    /// Share of the mask's values that are kept for every token of the batch.
    #[serde(default)]
    pub always_kept: f64,
    /// Share of elements that moved across 0.5 since the last step, if that is known.
    pub changed: Option<f64>,
    /// The moving threshold; none without one, and in means over masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

impl MaskMetrics {
    /// Statistics of a model from those of its masks; none without masks.
    pub fn of_layers(layers: Vec<LayerMetrics>) -> Option<Self> {
        let equal: Vec<_> = layers.iter().map(|layer| (layer, 1.0)).collect();
        let mean = LayerMetrics::mean(&equal)?;
        Some(Self { mean, layers })
    }

    /// The mean of several batches' statistics, each with its weight; none without any.
    pub fn of_batches(batches: &[(Self, f64)]) -> Option<Self> {
        let layers = batches.first()?.0.layers.len();
        let layer = |index: usize| -> Option<LayerMetrics> {
            let of_batches: Vec<(&LayerMetrics, f64)> = batches
                .iter()
                .filter_map(|(batch, weight)| Some((batch.layers.get(index)?, *weight)))
                .collect();
            let (first, _) = of_batches.first()?;
            Some(LayerMetrics {
                site: first.site,
                block: first.block,
                threshold: first.threshold,
                ..LayerMetrics::mean(&of_batches)?
            })
        };
        Self::of_layers((0..layers).filter_map(layer).collect())
    }
}

impl LayerMetrics {
    /// The mean of statistics, each with its weight.
    fn mean(masks: &[(&Self, f64)]) -> Option<Self> {
        let weights: f64 = masks.iter().map(|(_, weight)| weight).sum();
        let mean = |value: &dyn Fn(&Self) -> f64| {
            let terms = masks.iter().map(|(mask, weight)| weight * value(mask));
            terms.sum::<f64>() / weights
        };
        let is_known = masks.iter().all(|(mask, _)| mask.changed.is_some());
        (!masks.is_empty()).then(|| Self {
            site: None,
            block: None,
            threshold: None,
            kept: mean(&|mask| mask.kept),
            near_one: mean(&|mask| mask.near_one),
            near_zero: mean(&|mask| mask.near_zero),
            entropy: mean(&|mask| mask.entropy),
            penalty: mean(&|mask| mask.penalty),
            never_kept: mean(&|mask| mask.never_kept),
            always_kept: mean(&|mask| mask.always_kept),
            changed: is_known.then(|| mean(&|mask| mask.changed.unwrap_or_default())),
        })
    }
}

/// The metrics of a run in both formats.
#[derive(Debug)]
pub struct MetricsLog {
    lines: MetricsFile,
    events: EventFile,
}

impl MetricsLog {
    /// Opens the metrics of a run that continues after `step` completed steps (0: a new run).
    ///
    /// Lines about later steps and an incomplete last line are removed.
    ///
    /// # Errors
    /// The files cannot be read or written.
    pub fn open(lines: &Path, events: &Path, step: u64) -> Result<Self, MetricsError> {
        Ok(Self {
            lines: MetricsFile::open(lines, step)?,
            events: EventFile::create(events, step)?,
        })
    }

    /// Adds a line, with the present time, and the matching events.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&mut self, metrics: &Metrics) -> Result<(), MetricsError> {
        self.lines.append(metrics)?;
        self.events.append(metrics)
    }

    /// Adds a line about the machine that computes the run, unless the last such line is the same.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_environment(
        &mut self,
        environment: EnvironmentMetrics,
    ) -> Result<(), MetricsError> {
        let last = self.lines.environment();
        if last.is_some_and(|last| last.is_same_machine(&environment)) {
            return Ok(());
        }
        self.write(&Metrics::Environment(environment))
    }

    /// Adds lines about those of a run's changes, all in their order, that have none yet: a killed process
    /// may not have written them. `step` steps are completed now.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_changes(&mut self, changes: &[Change], step: u64) -> Result<(), MetricsError> {
        for change in changes.iter().skip(self.lines.changes()) {
            // The run may go on from an older checkpoint than the one that was changed. No line may be
            // about a later step than the lines after it.
            self.write(&Metrics::Changes(Change {
                step: change.step.min(step),
                ..change.clone()
            }))?;
        }
        Ok(())
    }

    /// Flushes to the disk. Called before a checkpoint is written, so that no checkpoint is ahead of the
    /// metrics.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn sync(&self) -> Result<(), MetricsError> {
        self.lines.sync()
    }
}
