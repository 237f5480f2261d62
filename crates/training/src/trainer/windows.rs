//! Windows of tokens as tensors, at random places that follow from the seed.

use burn::tensor::{Device, Int, Tensor, TensorData};
use data::error::DataError;
use data::folder::{DataFolder, Split};
use model::pass::{NoiseKey, Purpose};

/// Draws batches of windows from the data.
pub(super) struct Windows<'a> {
    pub(super) data: &'a DataFolder,
    pub(super) seed: u64,
    pub(super) batch: usize,
    pub(super) context: usize,
}

/// Token ids and the tokens after them, both `[batch, context]`.
pub(super) struct Batch {
    pub(super) inputs: Tensor<2, Int>,
    pub(super) targets: Tensor<2, Int>,
}

impl Batch {
    /// A batch of ids of the shape `[batch, context]`, row after row.
    pub(super) fn new(
        inputs: Vec<u32>,
        targets: Vec<u32>,
        shape: [usize; 2],
        device: &Device,
    ) -> Self {
        let tensor = |ids: Vec<u32>| {
            // Ids are below 2³¹: no vocabulary is larger than 2²⁴.
            let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
            Tensor::from_data(TensorData::new(ids, shape), device)
        };
        Self {
            inputs: tensor(inputs),
            targets: tensor(targets),
        }
    }
}

impl Windows<'_> {
    /// The training batch of a micro-batch, by its number in the whole run.
    pub(super) fn training(&self, micro_batch: u64, device: &Device) -> Result<Batch, DataError> {
        let key = NoiseKey {
            seed: self.seed,
            step: micro_batch,
        };
        let stream = key.stream(Purpose::TrainingWindows, 0);
        self.draw(Split::Train, device, |window, bound| {
            stream.below(window, bound)
        })
    }

    /// A batch, counted from 0, of the evaluation after `step` steps.
    pub(super) fn evaluation(
        &self,
        split: Split,
        step: u64,
        batch: u64,
        device: &Device,
    ) -> Result<Batch, DataError> {
        let key = NoiseKey {
            seed: self.seed,
            step,
        };
        let stream = key.stream(
            Purpose::EvaluationWindows,
            usize::from(split == Split::Validation),
        );
        let first = batch * self.batch as u64;
        self.draw(split, device, |window, bound| {
            stream.below(first + window, bound)
        })
    }

    /// Fails if a split has no window at all.
    pub(super) fn check(&self) -> Result<(), DataError> {
        for split in [Split::Train, Split::Validation] {
            data::batches::sample(self.data.split(split), 1, self.context, &mut |_| 0)?;
        }
        Ok(())
    }

    fn draw(
        &self,
        split: Split,
        device: &Device,
        random: impl Fn(u64, u64) -> u64,
    ) -> Result<Batch, DataError> {
        let mut window = 0;
        let mut next = |bound| {
            window += 1;
            random(window - 1, bound)
        };
        let drawn =
            data::batches::sample(self.data.split(split), self.batch, self.context, &mut next)?;
        let shape = [self.batch, self.context];
        Ok(Batch::new(drawn.inputs, drawn.targets, shape, device))
    }
}
