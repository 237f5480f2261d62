//! Random windows of training tokens as tensors. Their places follow from the seed alone.

use burn::tensor::Device;
use data::error::DataError;
use data::folder::{DataFolder, Split};
use model::pass::{NoiseKey, Purpose};

use crate::token_batch::TokenBatch;

/// Draws batches of windows from the data.
pub(super) struct Windows<'a> {
    pub(super) data: &'a DataFolder,
    pub(super) seed: u64,
    pub(super) batch: usize,
    pub(super) context: usize,
}

impl Windows<'_> {
    /// The micro-batch with this number in the whole run.
    pub(super) fn training(
        &self,
        micro_batch: u64,
        device: &Device,
    ) -> Result<TokenBatch, DataError> {
        let key = NoiseKey {
            seed: self.seed,
            step: micro_batch,
        };
        let stream = key.stream(Purpose::TrainingWindows, 0);
        let mut window = 0;
        let mut next = |bound| {
            window += 1;
            stream.below(window - 1, bound)
        };
        let tokens = self.data.split(Split::Train);
        let drawn = data::batches::sample(tokens, self.batch, self.context, &mut next)?;
        let shape = [self.batch, self.context];
        Ok(TokenBatch::new(drawn.inputs, drawn.targets, shape, device))
    }

    /// Fails if a split is too short for a window.
    pub(super) fn check(&self) -> Result<(), DataError> {
        for split in [Split::Train, Split::Validation] {
            data::batches::sample(self.data.split(split), 1, self.context, &mut |_| 0)?;
        }
        Ok(())
    }
}
