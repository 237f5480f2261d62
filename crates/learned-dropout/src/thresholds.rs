//! Moves the thresholds of a transformer's masks.

use model::Site;
use model::mask_control::{ControlOver, MaskControl};

use crate::learned_dropout::LearnedDropout;
use crate::transformer::Transformer;

impl Transformer {
    /// Moves the thresholds of the masks with a control after an optimizer step.
    ///
    /// `kept` holds the share that each of them kept in the step, in the order of the forward pass: the mean of
    /// [`Loss::kept_by_controlled`](crate::transformer::Loss::kept_by_controlled) over its micro-batches.
    ///
    /// # Panics
    /// If the number of shares is not that of the masks with a control.
    pub fn move_thresholds(&mut self, kept: &[f64]) {
        let masks: Vec<&mut LearnedDropout> = self.controlled_masks().collect();
        assert_eq!(masks.len(), kept.len(), "one share for each mask");
        let sites: Vec<Site> = masks.iter().map(|mask| mask.site).collect();
        for (mask, &own) in masks.into_iter().zip(kept) {
            let share = match &mask.config.control {
                Some(MaskControl::Threshold(control)) if control.over == ControlOver::Site => {
                    let of_site = sites.iter().zip(kept);
                    mean(of_site.filter_map(|(&site, &kept)| (site == mask.site).then_some(kept)))
                }
                _ => own,
            };
            mask.move_threshold(share);
        }
    }

    fn controlled_masks(&mut self) -> impl Iterator<Item = &mut LearnedDropout> {
        let blocks = self.blocks.iter_mut();
        let of_blocks = blocks.flat_map(|block| {
            let attention = block.attention.masks_mut();
            attention.chain(block.feed_forward.masks_mut())
        });
        let all = self.embedding_learned_dropout.iter_mut().chain(of_blocks);
        all.filter(|mask| mask.threshold.is_some())
    }
}

fn mean(shares: impl Iterator<Item = f64> + Clone) -> f64 {
    shares.clone().sum::<f64>() / shares.count() as f64
}
