//! Evaluation: mean losses on random batches of both splits.

use burn::tensor::Device;
use data::folder::Split;
use learned_dropout::transformer::{Loss, Transformer};
use model::Pass;

use super::auxiliary::feed_forward_metrics;
use super::error::TrainError;
use super::observer::Hooks;
use super::scalar::scalar;
use super::windows::Windows;
use crate::metrics::{FeedForwardMetrics, LayerMetrics, MaskMetrics};

/// What an evaluation measured.
pub(super) struct Evaluation {
    pub(super) train_loss: f64,
    pub(super) validation_loss: f64,
    /// Of the validation split.
    pub(super) mask: Option<MaskMetrics>,
    /// Of the validation split.
    pub(super) feed_forward: Option<FeedForwardMetrics>,
}

/// Evaluates a model after `step` steps on `batches` batches of each split.
///
/// Gives nothing if it was stopped on the way.
pub(super) fn evaluate(
    model: &Transformer,
    device: &Device,
    windows: &Windows<'_>,
    (step, batches): (u64, u64),
    hooks: &mut Hooks<'_>,
) -> Result<Option<Evaluation>, TrainError> {
    let mut losses = [0.0; 2];
    let (mut masks, mut feed_forwards) = (Vec::new(), Vec::new());
    for (index, split) in [Split::Train, Split::Validation].into_iter().enumerate() {
        for number in 0..batches {
            if hooks.stopped() {
                return Ok(None);
            }
            let batch = windows.evaluation(split, step, number, device)?;
            let loss = model.loss(batch.inputs, batch.targets, &Pass::Evaluate);
            losses[index] += scalar(&loss.cross_entropy);
            if split == Split::Validation {
                masks.extend(mask_metrics(&loss));
                feed_forwards.extend(feed_forward_metrics(&loss));
            }
            hooks
                .observer
                .evaluating(index as u64 * batches + number + 1, 2 * batches);
        }
    }
    let [train_loss, validation_loss] = losses.map(|sum| sum / batches as f64);
    let mut mask = MaskMetrics::of_batches(&masks);
    // Here neighbouring batches have nothing to do with each other.
    if let Some(mask) = &mut mask {
        mask.layers
            .iter_mut()
            .chain([&mut mask.mean])
            .for_each(|layer| layer.changed = None);
    }
    Ok(Some(Evaluation {
        train_loss,
        validation_loss,
        mask,
        feed_forward: FeedForwardMetrics::of_batches(&feed_forwards),
    }))
}

/// The statistics of a forward pass's masks; none without learned masks.
pub(super) fn mask_metrics(loss: &Loss) -> Option<MaskMetrics> {
    let layers = loss.masks.iter().map(|mask| {
        let values = mask.statistics().read();
        LayerMetrics {
            site: Some(mask.site()),
            block: mask.site().is_in_blocks().then(|| mask.layer()),
            kept: values.kept.into(),
            near_one: values.near_one.into(),
            near_zero: values.near_zero.into(),
            entropy: values.entropy.into(),
            penalty: values.penalty.into(),
            never_kept: values.never_kept.into(),
            always_kept: values.always_kept.into(),
            changed: values.changed.map(f64::from),
        }
    });
    MaskMetrics::of_layers(layers.collect())
}
