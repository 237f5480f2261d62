//! Times training steps on random tokens, without data or a run folder.

use std::time::{Duration, Instant};

use burn::tensor::Device;
use learned_dropout::ops::Precision;
use learned_dropout::transformer::Transformer;
use model::TransformerConfig;
use model::pass::{NoiseKey, Purpose};
use model::weights::Weights;

use super::error::TrainError;
use super::step::{Step, StepValues};
use crate::config::RunConfig;
use crate::median::median;
use crate::metrics::MaskMetrics;
use crate::optimizer::AdamW;
use crate::token_batch::TokenBatch;

/// The times of training steps.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTiming {
    /// Seconds of each step, in the order in which they were made; at least one.
    pub seconds: Vec<f64>,
    /// Tokens of each step.
    pub tokens_per_step: u64,
    /// Mean cross-entropy of the last step, in nats per token, before its update.
    pub loss: f64,
    /// The precision of matrix products.
    pub precision: Precision,
}

impl StepTiming {
    /// The median of the seconds of a step.
    pub fn median_seconds(&self) -> f64 {
        median(&self.seconds)
    }

    /// Tokens per second of the median step.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens_per_step as f64 / self.median_seconds().max(1e-9)
    }
}

/// Makes and times training steps.
///
/// Each is a full step as in training: the forward and backward pass, clipping if it is configured,
/// and AdamW, on one micro-batch of `train.batch` windows; `train.accumulate` is ignored. The tokens
/// are drawn uniformly from the vocabulary; drawing them does not count.
pub struct StepTimer<'a> {
    config: &'a RunConfig,
    model_config: &'a TransformerConfig,
    model: Transformer,
    optimizer: AdamW,
    device: Device,
    made: u32,
    timing: StepTiming,
}

impl<'a> StepTimer<'a> {
    /// Prepares steps that begin from these weights.
    ///
    /// # Errors
    /// The device does not have the configured precision.
    pub fn new(
        config: &'a RunConfig,
        model_config: &'a TransformerConfig,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let precision = config.train.precision.on(device)?;
        let device = device.clone().autodiff();
        let model = Transformer::from_weights(model_config, weights, &device);
        Ok(Self {
            config,
            model_config,
            model: model.with_precision(precision),
            optimizer: AdamW::new(&config.train.optimizer),
            device,
            made: 0,
            timing: StepTiming {
                seconds: Vec::new(),
                tokens_per_step: config.train.batch as u64 * model_config.context as u64,
                loss: f64::NAN,
                precision,
            },
        })
    }

    /// Makes a step without recording its time.
    ///
    /// # Errors
    /// The loss or a gradient is not finite, or the device fails.
    pub fn warm_up(&mut self) -> Result<(), TrainError> {
        self.step(false).map(|_| ())
    }

    /// Makes a step and records its time.
    ///
    /// # Errors
    /// As [`warm_up`](Self::warm_up).
    pub fn measure(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let (_, prepared) = self.step(false)?;
        let seconds = began.elapsed().saturating_sub(prepared);
        self.timing.seconds.push(seconds.as_secs_f64());
        Ok(())
    }

    /// Makes a step that does not count, and gives the statistics of its masks; none without masks.
    ///
    /// # Errors
    /// As [`warm_up`](Self::warm_up).
    pub fn measure_masks(&mut self) -> Result<Option<MaskMetrics>, TrainError> {
        Ok(self.step(true)?.0.mask)
    }

    /// The times recorded so far.
    pub fn timing(&self) -> &StepTiming {
        &self.timing
    }

    /// Makes a step, and gives the time that it took to draw its tokens.
    fn step(&mut self, reads_masks: bool) -> Result<(StepValues, Duration), TrainError> {
        let number = u64::from(self.made);
        let step = Step {
            accumulate: 1,
            reads_masks,
            ..Step::new(number + 1, number, self.config, self.model_config, None)
        };
        let began = Instant::now();
        let mut batch = Some(random_batch(
            self.config,
            self.model_config,
            number,
            &self.device,
        ));
        let prepared = began.elapsed();
        let values = step.make(&mut self.model, &mut self.optimizer, |_| {
            Ok(batch.take().expect("one micro-batch a step"))
        })?;
        self.device
            .sync()
            .map_err(|error| TrainError::Device(error.to_string()))?;
        self.made += 1;
        self.timing.loss = values.cross_entropy;
        Ok((values, prepared))
    }
}

/// Windows of random tokens.
fn random_batch(
    config: &RunConfig,
    model: &TransformerConfig,
    micro_batch: u64,
    device: &Device,
) -> TokenBatch {
    let key = NoiseKey {
        seed: config.seed,
        step: micro_batch,
    };
    let stream = key.stream(Purpose::TrainingWindows, 0);
    let shape = [config.train.batch, model.context];
    let count = (shape[0] * shape[1]) as u64;
    let ids = |first: u64| {
        let id = |position| stream.below(position, model.vocabulary as u64) as u32;
        (first..first + count).map(id).collect()
    };
    TokenBatch::new(ids(0), ids(count), shape, device)
}

#[cfg(test)]
mod tests {
    use model::initialization::initial_weights;

    use super::*;

    fn timing(seconds: &[f64]) -> StepTiming {
        StepTiming {
            seconds: seconds.to_vec(),
            tokens_per_step: 30,
            loss: 0.0,
            precision: Precision::F32,
        }
    }

    #[test]
    fn the_speed_is_that_of_the_median_step() {
        assert_eq!(timing(&[5.0, 1.0, 3.0]).median_seconds(), 3.0);
        assert_eq!(timing(&[5.0, 1.0, 3.0]).tokens_per_second(), 10.0);
    }

    /// A new model has weights of standard deviation 0.02: its loss is that of a uniform guess, ln 31.
    #[test]
    fn the_measured_steps_are_steps_of_training() {
        let text = "
            data.path = 'none'
            model = { vocabulary = 31, context = 8, width = 16, heads = 2, layers = 1 }
            train = { steps = 1, batch = 2, accumulate = 5, clip = 1.0 }
        ";
        let config = RunConfig::parse(text, "tiny.toml".as_ref(), &[]).expect("a configuration");
        let model = config.model.transformer(None).expect("a model");
        let device = Device::flex();
        let weights = initial_weights(&model, config.seed);
        let time = || {
            let mut timer = StepTimer::new(&config, &model, &weights, &device).expect("f32");
            timer.warm_up().expect("finite");
            for _ in 0..3 {
                timer.measure().expect("finite");
            }
            assert!(timer.measure_masks().expect("finite").is_none());
            timer.timing().clone()
        };
        let first = time();
        assert_eq!(first.seconds.len(), 3);
        assert!(first.seconds.iter().all(|&seconds| seconds > 0.0));
        assert_eq!(first.tokens_per_step, 16);
        assert!((first.loss - 31_f64.ln()).abs() < 0.2, "{}", first.loss);
        assert_eq!(first.loss, time().loss, "the same seed");
    }
}
