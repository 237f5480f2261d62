//! A run as its folder tells it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use model::{FeedForwardConfig, Site};
use serde::Deserialize;
use serde_json::Value;

use super::error::ReportError;
use crate::config::{Change, RunConfig};
use crate::experiments::{FAILURE_FILE, Measurements, Status};
use crate::flops;
use crate::metrics::{DataMetrics, EndMetrics, UsedShares};
use crate::run_folder::{CONFIG_FILE, METRICS_FILE};

/// A run: its configuration and what its metrics say. Unknown metrics are passed over, and what
/// is missing is absent, so that runs of older and newer programs can be shown.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Its folder.
    pub folder: PathBuf,
    /// Its resolved configuration.
    pub config: RunConfig,
    /// What was logged of its steps.
    pub steps: Vec<StepPoint>,
    /// Its evaluations.
    pub evaluations: Vec<EvaluationPoint>,
    /// The step of each text sample, and the text.
    pub samples: Vec<(u64, String)>,
    /// Where it was computed: each place once.
    pub environments: Vec<Environment>,
    /// What was measured of the trained model.
    pub measurements: Measurements,
    /// The error that its last attempt ended with.
    pub failure: Option<String>,
    /// The changes of its configuration when it was resumed.
    pub changes: Vec<Change>,
    /// Fingerprints of the data that its losses were measured on, the last ones; none of older runs.
    pub(super) data: Option<DataMetrics>,
    /// The folder of the experiment that prepared its text, where one did.
    pub(super) prepared_in: Option<PathBuf>,
    /// How it ended before its last step; see [`RunRecord::early_end`].
    end: Option<EndMetrics>,
}

/// What is shown of a line about a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepPoint {
    /// Completed steps.
    pub step: u64,
    /// Tokens so far.
    pub tokens: Option<f64>,
    /// Loss of the step's batches.
    pub loss: Option<f64>,
    /// The learning rate.
    pub learning_rate: Option<f64>,
    /// Norm of the gradient, before clipping.
    pub gradient_norm: Option<f64>,
    /// Speed since the line before.
    pub tokens_per_second: Option<f64>,
}

/// What is shown of a line about an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationPoint {
    /// Completed steps.
    pub step: u64,
    /// Loss on the training split.
    pub train_loss: Option<f64>,
    /// Loss on the validation split.
    pub validation_loss: Option<f64>,
    /// Losses on further sets, by name.
    pub sets: BTreeMap<String, f64>,
    /// Share of ones in the rounded masks, from 0 to 1.
    pub kept: Option<f64>,
    /// The same layer by layer.
    pub kept_by_layer: Vec<f64>,
    /// Of itself, how much the model used on the validation split.
    pub used: UsedShares,
}

impl EvaluationPoint {
    fn from_line(line: &Value) -> Self {
        let (mask, feed_forward) = (&line["mask"], &line["feed_forward"]);
        let feed_forwards = feed_forward["layers"].as_array().into_iter().flatten();
        let densities = feed_forwards.filter_map(|layer| layer["density"].as_f64());
        let layers = || mask["layers"].as_array().into_iter().flatten();
        // A site that is not known here may be one of a newer program.
        let site = |layer: &Value| match &layer["site"] {
            Value::Null => Some(UsedShares::OLD_SITE),
            site => Site::deserialize(site).ok(),
        };
        let masks = layers().filter_map(|layer| Some((site(layer)?, layer["kept"].as_f64()?)));
        let sets = line["sets"].as_object().into_iter().flatten();
        let sets = sets.filter_map(|(name, loss)| Some((name.clone(), loss.as_f64()?)));
        Self {
            step: line["step"].as_u64().unwrap_or(0),
            train_loss: line["train_loss"].as_f64(),
            validation_loss: line["validation_loss"].as_f64(),
            sets: sets.collect(),
            kept: mask["kept"].as_f64(),
            kept_by_layer: layers()
                .filter_map(|layer| layer["kept"].as_f64())
                .collect(),
            used: UsedShares::new(masks, feed_forward["density"].as_f64())
                .with_densities(densities.collect()),
        }
    }
}

/// Where a run was computed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Environment {
    /// The program and its version.
    pub program: String,
    /// The processor.
    pub processor: String,
    /// The device.
    pub device: String,
    /// Number of threads.
    pub threads: Option<u64>,
}

impl RunRecord {
    /// Reads the run in a folder.
    ///
    /// # Errors
    /// There is no run, or its configuration cannot be read.
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let path = folder.join(CONFIG_FILE);
        if !path.is_file() {
            return Err(ReportError::no_run(folder));
        }
        let failure = std::fs::read_to_string(folder.join(FAILURE_FILE)).ok();
        let mut record = Self {
            folder: folder.into(),
            config: RunConfig::read_stored(&path, &[])?,
            steps: Vec::new(),
            evaluations: Vec::new(),
            samples: Vec::new(),
            environments: Vec::new(),
            measurements: Measurements::read(folder),
            failure: failure.map(|error| error.trim().to_string()),
            changes: Vec::new(),
            data: None,
            prepared_in: None,
            end: None,
        };
        let path = folder.join(METRICS_FILE);
        let metrics = match std::fs::read_to_string(&path) {
            Ok(metrics) => metrics,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ReportError::File { path, source }),
        };
        // The last line may be half written: the run may be going on.
        for line in metrics.lines() {
            if let Ok(line) = serde_json::from_str(line) {
                record.add(&line);
            }
        }
        let mut seen = HashSet::new();
        let is_new = |environment: &Environment| seen.insert(environment.clone());
        record.environments.retain(is_new);
        Ok(record)
    }

    fn add(&mut self, line: &Value) {
        let step = line["step"].as_u64().unwrap_or(0);
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_string();
        match line["kind"].as_str() {
            Some("step") => self.steps.push(StepPoint {
                step,
                tokens: line["tokens"].as_f64(),
                loss: line["loss"].as_f64(),
                learning_rate: line["learning_rate"].as_f64(),
                gradient_norm: line["gradient_norm"].as_f64(),
                tokens_per_second: line["tokens_per_second"].as_f64(),
            }),
            Some("evaluation") => self.evaluations.push(EvaluationPoint::from_line(line)),
            Some("sample") => self.samples.push((step, text("text"))),
            Some("changes") => self.changes.extend(Change::deserialize(line)),
            Some("end") => self.end = EndMetrics::deserialize(line).ok(),
            Some("environment") => {
                let environment = Environment {
                    program: text("program"),
                    processor: text("processor"),
                    device: text("device"),
                    threads: line["threads"].as_u64(),
                };
                self.environments.push(environment);
                let data = DataMetrics::deserialize(&line["data"]).ok();
                self.data = data.or(self.data.take());
            }
            _ => {}
        }
    }

    /// How far the run is.
    pub fn status(&self) -> Status {
        let evaluated = self.evaluations.last().map_or(0, |last| last.step);
        let step = self.steps.last().map_or(0, |last| last.step);
        match &self.failure {
            Some(error) => Status::Failed(error.clone()),
            None if evaluated >= self.config.train.steps => Status::Finished,
            None if self.early_end().is_some() => Status::Finished,
            None => Status::Begun(step),
        }
    }

    /// The last step that its metrics tell of.
    pub fn last_step(&self) -> u64 {
        let step = self.steps.last().map_or(0, |last| last.step);
        step.max(self.end.as_ref().map_or(0, |end| end.step))
    }

    /// How `[train.stop]` ended it before its last step; none if it did not, or the run went on since.
    pub fn early_end(&self) -> Option<&EndMetrics> {
        let step = self.steps.last().map_or(0, |last| last.step);
        let end = self.end.as_ref();
        end.filter(|end| end.holds(&self.config.train, step))
    }

    /// Whether all its steps are done, or it ended early.
    pub fn is_finished(&self) -> bool {
        self.status() == Status::Finished
    }

    /// Operations of the forward pass per token that were left at the last evaluation when what was
    /// not used was not computed; see [`flops::executed_per_token`]. None where it was not measured
    /// how much was used.
    pub fn executed_flops(&self) -> Option<f64> {
        let model = self.config.model.transformer(None).ok()?;
        let used = &self.evaluations.last()?.used;
        let mut masks = model.mask_shapes(0);
        let masks = masks.all(|shape| used.has_site(shape.site));
        let has_relu = matches!(model.feed_forward, FeedForwardConfig::Relu(_));
        let units = !has_relu || used.density.is_some();
        (masks && units).then(|| flops::executed_per_token(&model, used))
    }

    /// What training had taken by each line that tells a speed. It is summed up from the speeds, which count
    /// training only: no evaluations, no checkpoints, and not the time between the processes of a resumed run.
    /// The tokens of a line without a speed count at that of the next one.
    pub(super) fn training_time(&self) -> Vec<TrainingTime> {
        let mut told: Vec<TrainingTime> = Vec::new();
        for line in &self.steps {
            let (Some(tokens), Some(speed)) = (line.tokens, line.tokens_per_second) else {
                continue;
            };
            let before = told.last().copied().unwrap_or_default();
            if speed > 0.0 && tokens > before.tokens && line.step > before.step {
                told.push(TrainingTime {
                    step: line.step,
                    tokens,
                    seconds: before.seconds + (tokens - before.tokens) / speed,
                });
            }
        }
        told
    }

    /// Mean speed: all tokens over all the time that was spent on training steps.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let all = self.training_time().pop()?;
        Some(all.tokens / all.seconds)
    }
}

/// What training has taken up to a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TrainingTime {
    /// Completed steps.
    pub(super) step: u64,
    /// Tokens so far.
    pub(super) tokens: f64,
    /// Seconds so far.
    pub(super) seconds: f64,
}

impl std::fmt::Display for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}, {}", self.program, self.processor)?;
        if let Some(threads) = self.threads {
            let s = if threads == 1 { "" } else { "s" };
            write!(formatter, ", {threads} thread{s}")?;
        }
        match self.device.as_str() {
            "" | "cpu" => Ok(()),
            device => write!(formatter, ", device {device}"),
        }
    }
}
