//! One optimizer step: forward and backward passes over its micro-batches, clipping, AdamW.

use std::path::Path;

use burn::tensor::Tensor;
use data::error::DataError;
use learned_dropout::mask::Mask;
use learned_dropout::transformer::Transformer;
use model::pass::NoiseKey;
use model::penalty::Control;
use model::{Pass, Penalty, TransformerConfig};

use super::auxiliary::{self, feed_forward_metrics};
use super::error::{TrainError, finite};
use super::evaluation::mask_metrics;
use super::gradients::Gradients;
use crate::config::RunConfig;
use crate::metrics::{FeedForwardMetrics, MaskMetrics};
use crate::optimizer::{AdamW, Rates};
use crate::schedule::Schedule;
use crate::token_batch::{TokenBatch, read_scalar};

/// One optimizer step.
pub(super) struct Step<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// The number of its first micro-batch in the whole run; the key of its noise.
    pub(super) first_micro_batch: u64,
    pub(super) seed: u64,
    pub(super) accumulate: usize,
    pub(super) clip: Option<f64>,
    pub(super) learning_rate: f64,
    pub(super) penalty_coefficient: Option<f64>,
    /// The coefficient of the feed-forwards' auxiliary loss.
    pub(super) auxiliary_coefficient: Option<f64>,
    /// The coefficient of the mean over the hidden units of experts.
    pub(super) unit_penalty: Option<f64>,
    /// The target share of mask values kept at inference; the share is measured only if there is one.
    pub(super) target_kept: Option<f64>,
    /// The coefficient of the shortfall of mask values below their floor.
    pub(super) floor_weight: Option<f64>,
    /// The spread of the rounding noise, from 1, all of it, to 0, none.
    pub(super) noise_spread: f64,
    /// Whether the masks of the last micro-batch are read.
    pub(super) reads_masks: bool,
    /// The checkpoint that an error names.
    pub(super) last_checkpoint: Option<&'a Path>,
}

/// The measurements of a step. Losses are means over its micro-batches, before the update.
pub(super) struct StepValues {
    pub(super) cross_entropy: f64,
    pub(super) penalty: Option<f64>,
    /// Measured only with a target.
    pub(super) kept_at_inference: Option<f64>,
    /// The kept share of each mask with a control, over all micro-batches; empty without such masks.
    pub(super) kept_by_controlled: Vec<f64>,
    /// Before clipping.
    pub(super) gradient_norm: f64,
    pub(super) mask: Option<MaskMetrics>,
    /// Of all micro-batches.
    pub(super) feed_forward: Option<FeedForwardMetrics>,
}

/// Adds the shares of a micro-batch, each divided by the number of micro-batches.
fn add_shares(sums: &mut Vec<f64>, kept: Tensor<1>, micro_batches: f64) {
    let kept = kept.into_data();
    sums.resize(kept.num_elements(), 0.0);
    for (sum, share) in sums.iter_mut().zip(kept.iter::<f32>()) {
        *sum += f64::from(share) / micro_batches;
    }
}

impl Step<'_> {
    /// The step with this number, from 1, of a run.
    pub(super) fn new(
        number: u64,
        first_micro_batch: u64,
        config: &RunConfig,
        model: &TransformerConfig,
        control: Option<Control>,
    ) -> Self {
        let mask = model.learned_dropout.as_ref();
        let penalty = mask.and_then(|mask| mask.penalty.as_ref());
        let step = number - 1;
        let control = control.unwrap_or_default();
        Self {
            number,
            first_micro_batch,
            seed: config.seed,
            accumulate: config.train.accumulate,
            clip: config.train.clip,
            learning_rate: Schedule::new(&config.train).learning_rate(step),
            penalty_coefficient: penalty.map(|penalty| control.coefficient(penalty, step)),
            target_kept: penalty.and_then(|penalty| penalty.target_at(step)),
            floor_weight: penalty.and_then(Penalty::floor_weight),
            noise_spread: mask.map_or(1.0, |mask| mask.noise_at(step)),
            auxiliary_coefficient: auxiliary::coefficient(model, None),
            unit_penalty: model.feed_forward.unit_penalty(),
            reads_masks: false,
            last_checkpoint: None,
        }
    }

    /// Makes the step. `batches` gives a micro-batch by its number in the whole run, on an autodiff
    /// device. A step that fails leaves the model unchanged.
    ///
    /// The step runs on a thread of the kernels' pool. A kernel that is called from another thread puts
    /// that thread to sleep, and waking it takes longer than a small kernel.
    ///
    /// # Errors
    /// The loss or a gradient is not finite, or there is no batch.
    pub(super) fn make(
        &self,
        model: &mut Transformer,
        optimizer: &mut AdamW,
        batches: impl FnMut(u64) -> Result<TokenBatch, DataError> + Send,
    ) -> Result<StepValues, TrainError> {
        rayon::scope(|_| self.make_on_this_thread(model, optimizer, batches))
    }

    fn make_on_this_thread(
        &self,
        model: &mut Transformer,
        optimizer: &mut AdamW,
        mut batches: impl FnMut(u64) -> Result<TokenBatch, DataError>,
    ) -> Result<StepValues, TrainError> {
        let mut gradients = Gradients::default();
        let (mut cross_entropy, mut penalty, mut mask) = (0.0, None, None);
        let mut feed_forwards = Vec::new();
        let mut kept_at_inference = None;
        let mut kept_by_controlled = Vec::new();
        let count = self.accumulate as f64;
        for index in 0..self.accumulate {
            let micro_batch = self.first_micro_batch + index as u64;
            let batch = batches(micro_batch)?;
            let loss = model.loss(batch.inputs, batch.targets, &self.pass(micro_batch));
            cross_entropy += read_scalar(&loss.cross_entropy) / count;
            self.check("loss", cross_entropy)?;
            if self.reads_masks && index + 1 == self.accumulate {
                mask = mask_metrics(&loss, Mask::statistics);
            }
            feed_forwards.extend(feed_forward_metrics(&loss).map(|used| (used, 1.0)));
            if self.target_kept.is_some()
                && let Some(kept) = loss.kept_at_inference()
            {
                *kept_at_inference.get_or_insert(0.0) += read_scalar(&kept) / count;
            }
            if let Some(kept) = loss.kept_by_controlled() {
                add_shares(&mut kept_by_controlled, kept, count);
            }
            let shortfall = loss.shortfall();
            let mut total = loss.cross_entropy;
            if let (Some(term), Some(weight)) = (shortfall, self.floor_weight) {
                total = total + term.mul_scalar(weight);
            }
            if let Some(term) = loss.penalty {
                *penalty.get_or_insert(0.0) += read_scalar(&term) / count;
                if let Some(coefficient) = self.penalty_coefficient {
                    total = total + term.mul_scalar(coefficient);
                }
            }
            if let Some((term, coefficient)) = loss.auxiliary.zip(self.auxiliary_coefficient) {
                total = total + term.mul_scalar(coefficient);
            }
            if let Some((term, coefficient)) = loss.unit_mean.zip(self.unit_penalty) {
                total = total + term.mul_scalar(coefficient);
            }
            gradients.add(model, &total.div_scalar(count));
        }
        let gradient_norm = gradients.norm();
        self.check("norm of the gradients", gradient_norm)?;
        let rates = Rates {
            learning_rate: self.learning_rate,
            gradient_scale: self
                .clip
                .filter(|&most| gradient_norm > most)
                .map_or(1.0, |most| most / gradient_norm),
        };
        gradients.apply(model, optimizer, rates);
        model.move_thresholds(&kept_by_controlled);
        Ok(StepValues {
            cross_entropy,
            penalty,
            kept_at_inference,
            kept_by_controlled,
            gradient_norm,
            mask,
            feed_forward: FeedForwardMetrics::of_batches(&feed_forwards).map(|metrics| {
                FeedForwardMetrics {
                    coefficient: self.auxiliary_coefficient,
                    ..metrics
                }
            }),
        })
    }

    /// The forward pass of a micro-batch, by its number in the whole run.
    fn pass(&self, micro_batch: u64) -> Pass {
        let key = NoiseKey {
            seed: self.seed,
            step: micro_batch,
        };
        if self.noise_spread >= 1.0 {
            return Pass::Train(key);
        }
        let spread = self.noise_spread as f32;
        Pass::TrainWithSpread { key, spread }
    }

    fn check(&self, what: &'static str, value: f64) -> Result<(), TrainError> {
        finite(self.number, what, value, self.last_checkpoint)
    }
}
