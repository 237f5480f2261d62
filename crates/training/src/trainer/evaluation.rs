//! Evaluation during training: mean losses on windows of both splits and of further sets.

use std::collections::BTreeMap;

use burn::tensor::Device;
use data::Tokens;
use data::folder::{DataFolder, Split};
use learned_dropout::mask::Mask;
use learned_dropout::statistics::MaskStatistics;
use learned_dropout::transformer::{Loss, Transformer};
use model::Pass;

use super::auxiliary::feed_forward_metrics;
use super::error::TrainError;
use super::evaluation_sets::EvaluationSet;
use super::evaluation_windows::{Part, TextWindows};
use super::observer::Hooks;
use crate::config::RunConfig;
use crate::metrics::{FeedForwardMetrics, LayerMetrics, MaskMetrics};
use crate::token_batch::read_scalar;

/// The results of an evaluation.
pub(super) struct Evaluation {
    pub(super) train_loss: f64,
    pub(super) validation_loss: f64,
    /// The losses on the further sets.
    pub(super) sets: BTreeMap<String, f64>,
    /// Of the validation split.
    pub(super) mask: Option<MaskMetrics>,
    /// Of the validation split.
    pub(super) feed_forward: Option<FeedForwardMetrics>,
}

/// What an evaluation evaluates.
pub(super) struct Texts<'a> {
    pub(super) config: &'a RunConfig,
    /// Completed steps.
    pub(super) step: u64,
    pub(super) data: &'a DataFolder,
    pub(super) sets: &'a [EvaluationSet],
}

impl Texts<'_> {
    fn windows<'b>(&self, part: Part, tokens: &'b Tokens) -> TextWindows<'b> {
        let validation = self.data.split(Split::Validation);
        TextWindows::new(self.config, self.step, part, tokens, validation)
    }
}

/// Evaluates a model. Gives nothing if the run is stopped meanwhile.
pub(super) fn evaluate(
    model: &Transformer,
    device: &Device,
    texts: &Texts<'_>,
    hooks: &mut Hooks<'_>,
) -> Result<Option<Evaluation>, TrainError> {
    let train = texts.windows(Part::Train, texts.data.split(Split::Train));
    let validation = texts.windows(Part::Validation, texts.data.split(Split::Validation));
    let sets = texts.sets.iter().map(|set| {
        let tokens = set.data.split(Split::Validation);
        texts.windows(Part::Validation, tokens)
    });
    let all: Vec<TextWindows<'_>> = [train, validation].into_iter().chain(sets).collect();
    let batches = all.iter().map(TextWindows::batches).sum();
    let mut done = 0;
    let (mut masks, mut feed_forwards) = (Vec::new(), Vec::new());
    let mut losses = Vec::new();
    for (index, windows) in all.iter().enumerate() {
        let (mut sum, mut shares) = (0.0, 0.0);
        for number in 0..windows.batches() {
            if hooks.stopped() {
                return Ok(None);
            }
            let (batch, share) = windows.batch(number, device)?;
            let loss = model.loss(batch.inputs, batch.targets, &Pass::Evaluate);
            sum += share * read_scalar(&loss.cross_entropy);
            shares += share;
            if index == 1 {
                // The share that changed since the last batch has no meaning: batches are unrelated here.
                let mask = mask_metrics(&loss, Mask::statistics_alone);
                masks.extend(mask.map(|mask| (mask, share)));
                feed_forwards.extend(feed_forward_metrics(&loss).map(|used| (used, share)));
            }
            done += 1;
            hooks.observer.evaluating(done, batches);
        }
        losses.push(sum / shares);
    }
    let names = texts.sets.iter().map(|set| set.name.clone());
    Ok(Some(Evaluation {
        train_loss: losses[0],
        validation_loss: losses[1],
        sets: names.zip(losses.split_off(2)).collect(),
        mask: MaskMetrics::of_batches(&masks),
        feed_forward: FeedForwardMetrics::of_batches(&feed_forwards),
    }))
}

/// The statistics of a forward pass's masks; none without learned masks.
pub(super) fn mask_metrics(
    loss: &Loss,
    measure: impl Fn(&Mask) -> MaskStatistics,
) -> Option<MaskMetrics> {
    let layers = loss.masks.iter().map(|mask| {
        let values = measure(mask).read();
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
            threshold: mask.threshold().map(|threshold| read_scalar(&threshold)),
        }
    });
    MaskMetrics::of_layers(layers.collect())
}
