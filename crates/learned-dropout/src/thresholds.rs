//! Moves the thresholds of a transformer's masks.

use model::mask_control::{ControlOver, MaskControl};
use model::{MaskConfig, Site};

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
        let Some(settings) = self.config().learned_dropout.clone() else {
            assert!(kept.is_empty(), "a model without masks");
            return;
        };
        let sites: Vec<Site> = self.controlled_masks().map(|mask| mask.site).collect();
        assert_eq!(sites.len(), kept.len(), "one share for each mask");
        let shares = sites.iter().zip(kept).map(|(&site, &own)| {
            let of_site = sites.iter().zip(kept).filter(|(other, _)| **other == site);
            match over(&settings, site) {
                Some(ControlOver::Site) => mean(of_site.map(|(_, &kept)| kept)),
                _ => own,
            }
        });
        let shares: Vec<f64> = shares.collect();
        for (mask, share) in self.controlled_masks_mut().zip(shares) {
            mask.move_threshold(share);
        }
    }

    fn controlled_masks(&self) -> impl Iterator<Item = &LearnedDropout> {
        let blocks = self.blocks.iter();
        let of_blocks =
            blocks.flat_map(|block| block.attention.masks().chain(block.feed_forward.masks()));
        let all = self.embedding_learned_dropout.iter().chain(of_blocks);
        all.filter(|mask| mask.threshold.is_some())
    }

    fn controlled_masks_mut(&mut self) -> impl Iterator<Item = &mut LearnedDropout> {
        let blocks = self.blocks.iter_mut();
        let of_blocks = blocks.flat_map(|block| {
            let attention = block.attention.masks_mut();
            attention.chain(block.feed_forward.masks_mut())
        });
        let all = self.embedding_learned_dropout.iter_mut().chain(of_blocks);
        all.filter(|mask| mask.threshold.is_some())
    }
}

/// Which masks share the threshold of the masks at a site.
fn over(settings: &MaskConfig, site: Site) -> Option<ControlOver> {
    match settings.for_site(site).control? {
        MaskControl::Threshold(control) => Some(control.over),
    }
}

fn mean(shares: impl Iterator<Item = f64> + Clone) -> f64 {
    shares.clone().sum::<f64>() / shares.count() as f64
}
