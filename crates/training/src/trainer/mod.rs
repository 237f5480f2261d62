//! The training loop.

mod auxiliary;
mod changeable;
mod error;
mod evaluation;
pub(crate) mod evaluation_sets;
mod evaluation_windows;
mod gradients;
mod kept_share;
mod observer;
pub(crate) mod origin;
mod spent;
mod start;
mod step;
mod step_timing;
mod windows;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use data::folder::{DataFolder, Split};
use learned_dropout::ops::Precision;
use learned_dropout::transformer::Transformer;
use model::TransformerConfig;
use model::weights::Weights;

use crate::checkpoints::{Best, Checkpoint, Checkpoints, DamagedCheckpoint, TrainerState};
use crate::config::RunConfig;
use crate::early_stop::{EarlyEnd, EndReason};
use crate::flops;
use crate::metrics::{
    DataMetrics, EndMetrics, EnvironmentMetrics, EvaluationMetrics, MaskMetrics, Metrics,
    MetricsLog, SampleMetrics, StepMetrics, TextMetrics,
};
use crate::optimizer::AdamW;
use crate::run_folder::RunFolder;

pub use changeable::CHANGEABLE;
pub use error::TrainError;
pub use kept_share::{KeptShareError, set_kept_share};
pub use observer::{Hooks, Observer, SampleRequest, Sampler, Saved, Silent, Started, Stepped};
pub use spent::Spent;
pub use start::Setup;
pub(crate) use start::fit;
pub use step_timing::{StepTimer, StepTiming};

use error::finite;
use evaluation::{Texts, evaluate};
use evaluation_sets::EvaluationSet;
use step::Step;
use windows::Windows;

/// A run, from its beginning or from a checkpoint.
pub struct Trainer<'a> {
    config: RunConfig,
    model_config: TransformerConfig,
    windows: Windows<'a>,
    sets: Vec<EvaluationSet>,
    /// Without autodiff.
    device: Device,
    precision: Precision,
    model: Transformer,
    optimizer: AdamW,
    state: TrainerState,
    tokenizer: String,
    end_of_text: Option<u32>,
    peak_flops: Option<f64>,
    checkpoints: Checkpoints,
    metrics: MetricsLog,
    last_checkpoint: Option<PathBuf>,
    /// The state in the last checkpoint.
    saved: Option<TrainerState>,
    damaged: Vec<DamagedCheckpoint>,
    /// Time and tokens of the steps since the last line of metrics.
    since_logged: (Duration, u64),
    spent: Spent,
    /// Seconds of training before it began or went on here, and when that was.
    clock: (f64, Instant),
    /// What the caller should know about the configuration, in sentences.
    notes: Vec<String>,
    folder: RunFolder,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The run's state at the end.
    pub state: TrainerState,
    /// Whether it was stopped before its last step, and is to be resumed. A run that ended early as
    /// `[train.stop]` says is not.
    pub stopped: bool,
    /// What this process spent its time on.
    pub spent: Spent,
    /// The last checkpoint.
    pub latest: Option<PathBuf>,
    /// The checkpoint with the lowest validation loss.
    pub best: Option<PathBuf>,
}

impl Outcome {
    /// How the run ended before its last step as `[train.stop]` says; none if it did not.
    pub fn early_end(&self) -> Option<EndMetrics> {
        let end = self.state.stop.ended.as_ref();
        end.map(|end| EndMetrics::new(self.state.step, end))
    }
}

impl Trainer<'_> {
    /// Trains until the last step, until the run ends early as `[train.stop]` says, or until a stop is
    /// requested.
    ///
    /// # Errors
    /// The loss or a gradient is not finite, the data is damaged, or a file cannot be written.
    /// The checkpoints written so far stay.
    pub fn run(&mut self, hooks: &mut Hooks<'_>) -> Result<Outcome, TrainError> {
        hooks.observer.started(&Started {
            step: self.state.step,
            steps: self.config.train.steps,
            model: &self.model_config,
            tokens_per_step: self.config.tokens_per_step(),
            resumed_from: self.last_checkpoint.as_deref(),
            damaged: &self.damaged,
            notes: &self.notes,
        });
        self.clock = (self.state.stop.seconds.unwrap_or(0.0), Instant::now());
        loop {
            if self.evaluation_is_due() {
                let began = Instant::now();
                let evaluated = self.evaluate(hooks);
                self.spent.evaluations += began.elapsed();
                evaluated?;
            }
            let stopped = hooks.stopped();
            let mut finished = self.state.step >= self.config.train.steps;
            if !stopped && !finished {
                finished = self.ends_early()?;
            }
            if stopped || finished || self.checkpoint_is_due() {
                let began = Instant::now();
                let saved = self.save(hooks);
                self.spent.checkpoints += began.elapsed();
                saved?;
            }
            if stopped || finished {
                return Ok(self.outcome(!finished));
            }
            self.train_step(hooks)?;
        }
    }

    fn evaluation_is_due(&self) -> bool {
        let (step, train) = (self.state.step, &self.config.train);
        let is_last = step >= train.steps || self.early_end().is_some();
        let due = step.is_multiple_of(train.evaluate.every) || is_last;
        step > 0 && due && self.state.evaluated != Some(step)
    }

    /// What ends the run before its last step, after at least one step; nothing if it goes on.
    fn early_end(&self) -> Option<EndReason> {
        let stop = &self.config.train.stop;
        let reason = self.state.stop.reason(stop, self.seconds());
        reason.filter(|_| self.state.step > 0)
    }

    /// Seconds of training, with those before the run was resumed.
    fn seconds(&self) -> f64 {
        let (before, began) = self.clock;
        before + began.elapsed().as_secs_f64()
    }

    /// Whether the run has ended before its last step, which it does only after an evaluation. Records
    /// the end if it is now.
    fn ends_early(&mut self) -> Result<bool, TrainError> {
        let (step, train) = (self.state.step, &self.config.train);
        if self.state.stop.ended.is_some() {
            return Ok(true);
        }
        let is_evaluated = self.state.evaluated == Some(step);
        let Some(reason) = self.early_end().filter(|_| is_evaluated) else {
            return Ok(false);
        };
        let end = EarlyEnd {
            reason,
            steps: train.steps,
            stop: train.stop.clone(),
        };
        self.metrics
            .write(&Metrics::End(EndMetrics::new(step, &end)))?;
        self.state.stop.ended = Some(end);
        Ok(true)
    }

    fn checkpoint_is_due(&self) -> bool {
        let step = self.state.step;
        let best = self
            .state
            .best
            .as_ref()
            .is_some_and(|best| best.step == step);
        step > 0 && (best || step.is_multiple_of(self.config.train.checkpoint.every))
    }

    fn is_logged(&self, step: u64) -> bool {
        let train = &self.config.train;
        step == 1 || step == train.steps || step.is_multiple_of(train.log_every)
    }

    /// One optimizer step over `accumulate` micro-batches.
    fn train_step(&mut self, hooks: &mut Hooks<'_>) -> Result<(), TrainError> {
        let began = Instant::now();
        let number = self.state.step + 1;
        let step = Step {
            // The share that changed compares with the step before, so that one is read too.
            reads_masks: self.is_logged(number) || self.is_logged(number + 1),
            last_checkpoint: self.last_checkpoint.as_deref(),
            auxiliary_coefficient: auxiliary::coefficient(
                &self.model_config,
                self.state.auxiliary_coefficient,
            ),
            ..Step::new(
                number,
                self.state.micro_batches,
                &self.config,
                &self.model_config,
                self.state.control,
            )
        };
        let device = self.device.clone().autodiff();
        let values = step.make(&mut self.model, &mut self.optimizer, |micro_batch| {
            self.windows.training(micro_batch, &device)
        })?;
        let metrics = StepMetrics {
            step: number,
            loss: values.cross_entropy,
            penalty: values.penalty,
            penalty_coefficient: step.penalty_coefficient,
            target_kept: step.target_kept,
            kept_at_inference: values.kept_at_inference,
            kept_by_controlled: values.kept_by_controlled,
            learning_rate: step.learning_rate,
            gradient_norm: values.gradient_norm,
            feed_forward: values.feed_forward.clone(),
            ..StepMetrics::default()
        };
        self.state.auxiliary_coefficient = auxiliary::next_coefficient(
            &self.model_config,
            step.auxiliary_coefficient,
            values.feed_forward.map(|used| used.density),
        );
        self.adapt_penalty(values.kept_at_inference);
        self.state.step = number;
        self.state.micro_batches += self.config.train.accumulate as u64;
        self.state.tokens += self.config.tokens_per_step();
        let metrics = StepMetrics {
            tokens: self.state.tokens,
            ..metrics
        };
        let took = began.elapsed();
        self.spent.training += took;
        self.report_step(took, metrics, values.mask, hooks)
    }

    /// Adapts the penalty to the share that the current step kept. The step is not counted yet.
    fn adapt_penalty(&mut self, kept: Option<f64>) {
        let mask = self.model_config.learned_dropout.as_ref();
        let penalty = mask.and_then(|mask| mask.penalty.as_ref());
        if let (Some(penalty), Some(kept)) = (penalty, kept) {
            let control = self.state.control.get_or_insert_default();
            control.observe(penalty, self.state.step, kept);
        }
    }

    fn report_step(
        &mut self,
        took: Duration,
        mut metrics: StepMetrics,
        mask: Option<MaskMetrics>,
        hooks: &mut Hooks<'_>,
    ) -> Result<(), TrainError> {
        let tokens = self.config.tokens_per_step();
        let speed = |tokens: u64, took: Duration| tokens as f64 / took.as_secs_f64().max(1e-9);
        hooks.observer.stepped(&Stepped {
            step: metrics.step,
            steps: self.config.train.steps,
            loss: metrics.loss,
            learning_rate: metrics.learning_rate,
            tokens_per_second: speed(tokens, took),
        });
        self.since_logged.0 += took;
        self.since_logged.1 += tokens;
        if !self.is_logged(metrics.step) {
            return Ok(());
        }
        let (took, tokens) = std::mem::take(&mut self.since_logged);
        metrics.tokens_per_second = speed(tokens, took);
        metrics.model_flops_utilization = flops::utilization(
            &self.model_config,
            metrics.tokens_per_second,
            self.peak_flops,
        );
        metrics.mask = mask;
        hooks.observer.logged(&metrics);
        self.metrics.write(&Metrics::Step(metrics))?;
        Ok(())
    }

    /// Measures the losses and writes the text sample. If the run is stopped meanwhile, nothing is
    /// written, and the evaluation is repeated when the run is resumed.
    fn evaluate(&mut self, hooks: &mut Hooks<'_>) -> Result<(), TrainError> {
        let step = self.state.step;
        let weights = self.model.to_weights();
        // A separate model: the one in training remembers its last masks.
        let model = Transformer::from_weights(&self.model_config, &weights, &self.device)
            .with_precision(self.precision);
        let texts = Texts {
            config: &self.config,
            step,
            data: self.windows.data,
            sets: &self.sets,
        };
        let found = evaluate(&model, &self.device, &texts, hooks)?;
        let Some(found) = found else { return Ok(()) };
        self.check(step, "evaluated training loss", found.train_loss)?;
        self.check(step, "validation loss", found.validation_loss)?;
        for &loss in found.sets.values() {
            self.check(step, "loss on a set of train.evaluate.sets", loss)?;
        }
        let lowest = self.state.best.as_ref().map(|best| best.validation_loss);
        let best = lowest.is_none_or(|lowest| found.validation_loss < lowest);
        let stop = &self.config.train.stop;
        self.state
            .stop
            .evaluated(stop, found.validation_loss, lowest);
        if best {
            self.state.best = Some(Best {
                step,
                validation_loss: found.validation_loss,
            });
        }
        self.state.evaluated = Some(step);
        let metrics = EvaluationMetrics {
            step,
            tokens: Some(self.state.tokens),
            train_loss: found.train_loss,
            validation_loss: found.validation_loss,
            sets: found.sets,
            best,
            mask: found.mask,
            feed_forward: found.feed_forward,
            time: None,
        };
        hooks.observer.evaluated(&metrics);
        self.metrics.write(&Metrics::Evaluation(metrics))?;
        self.sample(&weights, hooks)
    }

    fn sample(&mut self, weights: &Weights, hooks: &mut Hooks<'_>) -> Result<(), TrainError> {
        let wanted = &self.config.train.evaluate.sample;
        let Some(sampler) = hooks.sampler.as_mut().filter(|_| wanted.tokens > 0) else {
            return Ok(());
        };
        let sample = sampler(&SampleRequest {
            model: &self.model_config,
            weights,
            prompt: &wanted.prompt,
            tokens: wanted.tokens,
            seed: self.config.seed,
        });
        let step = self.state.step;
        hooks
            .observer
            .sampled(step, sample.as_deref().map_err(String::as_str));
        if let Ok(text) = sample {
            self.metrics.write(&Metrics::Sample(SampleMetrics {
                step,
                text,
                time: None,
            }))?;
        }
        Ok(())
    }

    /// Writes a checkpoint, unless the last one has the same state.
    fn save(&mut self, hooks: &mut Hooks<'_>) -> Result<(), TrainError> {
        if self.saved.as_ref() == Some(&self.state) {
            return Ok(());
        }
        // Only then, because the time would make the states of equal runs differ.
        if self.config.train.stop.minutes.is_some() {
            self.state.stop.seconds = Some(self.seconds());
        }
        let weights = self.model.to_weights();
        let broken = weights
            .values()
            .flat_map(|tensor| &tensor.values)
            .find(|value| !value.is_finite());
        if let Some(&value) = broken {
            self.check(self.state.step, "value of a weight", value.into())?;
        }
        self.metrics.sync()?;
        let checkpoint = Checkpoint {
            config: &self.model_config,
            weights: &weights,
            optimizer: &self.optimizer,
            state: &self.state,
            tokenizer: &self.tokenizer,
            end_of_text: self.end_of_text,
        };
        let folder = self
            .checkpoints
            .write(&checkpoint, self.config.train.checkpoint.keep)?;
        let best = self
            .state
            .best
            .as_ref()
            .is_some_and(|best| best.step == self.state.step);
        hooks.observer.saved(&Saved {
            step: self.state.step,
            folder: folder.clone(),
            best,
        });
        self.last_checkpoint = Some(folder);
        self.saved = Some(self.state.clone());
        Ok(())
    }

    fn check(&self, step: u64, what: &'static str, value: f64) -> Result<(), TrainError> {
        finite(step, what, value, self.last_checkpoint.as_deref())
    }

    fn outcome(&self, stopped: bool) -> Outcome {
        let best = self.checkpoints.named(crate::checkpoints::BEST);
        Outcome {
            state: self.state.clone(),
            stopped,
            spent: self.spent,
            latest: self.last_checkpoint.clone(),
            best: best.map(|name| self.folder.checkpoints().join(name)),
        }
    }

    /// Adds a line to the metrics about the machine that computes the run from now on, and the data that it
    /// reads, unless both are the same as before.
    ///
    /// # Errors
    /// The metrics cannot be written.
    pub fn record_environment(
        &mut self,
        environment: EnvironmentMetrics,
    ) -> Result<(), TrainError> {
        let text = |data: &DataFolder, split| {
            let tokens = data.split(split);
            TextMetrics {
                fingerprint: tokens.fingerprint(),
                tokens: tokens.len() as u64,
            }
        };
        let sets = self.sets.iter();
        let sets = sets.map(|set| (set.name.clone(), text(&set.data, Split::Validation)));
        let data = DataMetrics {
            train: text(self.windows.data, Split::Train),
            validation: text(self.windows.data, Split::Validation),
            sets: sets.collect(),
        };
        Ok(self.metrics.write_environment(EnvironmentMetrics {
            step: self.state.step,
            data: Some(data),
            ..environment
        })?)
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The run's current state.
    pub fn state(&self) -> &TrainerState {
        &self.state
    }

    /// The weights as they are now.
    pub fn weights(&self) -> Weights {
        self.model.to_weights()
    }
}
