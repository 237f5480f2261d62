//! How long the steps of a training take, measured on random tokens, without data or a run folder.

use std::num::NonZeroU32;
use std::time::Instant;

use burn::tensor::Device;
use learned_dropout::TransformerConfig;
use learned_dropout::ops::tensor::Precision;
use learned_dropout::pass::{NoiseKey, Purpose};
use learned_dropout::transformer::Transformer;

use super::error::TrainError;
use super::step::Step;
use super::windows::Batch;
use crate::config::RunConfig;
use crate::optimizer::AdamW;

/// How long the steps of a training took.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTiming {
    /// Seconds of each step, in the order in which they were made; at least one.
    pub seconds: Vec<f64>,
    /// Tokens that each step saw.
    pub tokens_per_step: u64,
    /// Mean cross-entropy of the last step, in nats per token, before its update.
    pub loss: f64,
    /// What the operands of matrix products were rounded to.
    pub precision: Precision,
}

impl StepTiming {
    /// The median of the seconds of a step.
    pub fn median_seconds(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        } else {
            sorted[middle]
        }
    }

    /// Tokens per second of the median step.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens_per_step as f64 / self.median_seconds().max(1e-9)
    }
}

/// Makes `warmup` steps that are not measured, then `steps` measured ones, of a new model.
///
/// Each is a full step as in training: forward, backward, clipping where it is configured, and
/// AdamW, on one micro-batch of `train.batch` windows; `train.accumulate` is not looked at. The
/// tokens are drawn uniformly from the vocabulary before a step is timed. `made` hears how many
/// steps are done, the warm-up counted.
///
/// # Errors
/// The device does not have the configured precision, the loss or a gradient is not finite, or the
/// device fails.
pub fn time_steps(
    config: &RunConfig,
    model_config: &TransformerConfig,
    device: &Device,
    (warmup, steps): (u32, NonZeroU32),
    made: &mut dyn FnMut(u32),
) -> Result<StepTiming, TrainError> {
    let precision = config.train.precision.on(device)?;
    let device = device.clone().autodiff();
    let mut model = Transformer::new(model_config, config.seed, &device).with_precision(precision);
    let mut optimizer = AdamW::new(&config.train.optimizer);
    let mut timing = StepTiming {
        seconds: Vec::new(),
        tokens_per_step: config.train.batch as u64 * model_config.context as u64,
        loss: f64::NAN,
        precision,
    };
    for number in 0..warmup.saturating_add(steps.get()) {
        let step = Step {
            accumulate: 1,
            ..Step::new(
                u64::from(number) + 1,
                number.into(),
                config,
                model_config,
                None,
            )
        };
        let mut batch = Some(random_batch(config, model_config, number.into(), &device));
        let began = Instant::now();
        let values = step.make(&mut model, &mut optimizer, |_| {
            Ok(batch.take().expect("one micro-batch a step"))
        })?;
        device
            .sync()
            .map_err(|error| TrainError::Device(error.to_string()))?;
        if number >= warmup {
            timing.seconds.push(began.elapsed().as_secs_f64());
        }
        timing.loss = values.cross_entropy;
        made(number + 1);
    }
    Ok(timing)
}

/// Windows of tokens without any meaning.
fn random_batch(
    config: &RunConfig,
    model: &TransformerConfig,
    micro_batch: u64,
    device: &Device,
) -> Batch {
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
    Batch::new(ids(0), ids(count), shape, device)
}

#[cfg(test)]
mod tests {
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
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(timing(&[5.0, 1.0, 3.0]).median_seconds(), 3.0);
        assert_eq!(timing(&[4.0, 1.0, 2.0, 9.0]).median_seconds(), 3.0);
        assert_eq!(timing(&[5.0, 1.0, 3.0]).tokens_per_second(), 10.0);
    }

    /// With weights of standard deviation 0.02 a new model knows nothing: its loss is that of a
    /// uniform guess, ln 31.
    #[test]
    fn the_measured_steps_are_steps_of_training() {
        let text = "
            data.path = 'none'
            model = { vocabulary = 31, context = 8, width = 16, heads = 2, layers = 1 }
            train = { steps = 1, batch = 2, accumulate = 5, clip = 1.0 }
        ";
        let config = RunConfig::parse(text, "tiny.toml".as_ref(), &[]).expect("a configuration");
        let model = config.model.transformer(None).expect("a model");
        let mut told = Vec::new();
        let counts = (1, NonZeroU32::new(3).expect("not zero"));
        let device = Device::flex();
        let mut time = || {
            time_steps(&config, &model, &device, counts, &mut |done| {
                told.push(done)
            })
        };
        let first = time().expect("finite");
        assert_eq!(first.seconds.len(), 3);
        assert!(first.seconds.iter().all(|&seconds| seconds > 0.0));
        assert_eq!(first.tokens_per_step, 16);
        assert!((first.loss - 31_f64.ln()).abs() < 0.2, "{}", first.loss);
        assert_eq!(first.loss, time().expect("finite").loss, "the same seed");
        assert_eq!(told, [1, 2, 3, 4, 1, 2, 3, 4]);
    }
}
