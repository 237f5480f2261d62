//! The windows of tokens that an evaluation reads.

use burn::tensor::Device;
use data::error::DataError;
use data::{Tokens, batches};
use model::pass::{NoiseKey, Purpose};

use crate::config::{EvaluateConfig, EvaluationBatches, EvaluationWindows, RunConfig};
use crate::token_batch::TokenBatch;

/// A text of an evaluation, among all that it evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The run's training split.
    Train,
    /// The run's validation split, or that of a further set.
    Validation,
}

/// Batches of windows of one text.
pub(super) struct TextWindows<'a> {
    tokens: &'a Tokens,
    context: usize,
    batch: u64,
    choice: Choice,
}

enum Choice {
    /// At random places.
    Random {
        key: NoiseKey,
        layer: usize,
        batches: u64,
    },
    /// So many of the windows that follow one another, at even distances.
    Spread { windows: u64 },
    /// All windows that follow one another. The last one may be shorter.
    All,
}

impl<'a> TextWindows<'a> {
    /// The windows of a text for the evaluation after `step` steps. `validation` is the run's validation
    /// split; "all" takes as many windows of the training split as that one has.
    pub(super) fn new(
        config: &RunConfig,
        step: u64,
        part: Part,
        tokens: &'a Tokens,
        validation: &Tokens,
    ) -> Self {
        let (context, batch) = (config.model.context, config.train.batch as u64);
        let EvaluateConfig {
            batches, windows, ..
        } = config.train.evaluate;
        let wanted = match batches {
            EvaluationBatches::Number(batches) => batches.saturating_mul(batch),
            EvaluationBatches::All if part == Part::Train => all_windows(validation, context),
            EvaluationBatches::All => u64::MAX,
        };
        let choice = match (windows, batches) {
            (EvaluationWindows::Random, EvaluationBatches::Number(batches)) => {
                let key = NoiseKey {
                    seed: config.seed,
                    step,
                };
                let layer = usize::from(part == Part::Validation);
                Choice::Random {
                    key,
                    layer,
                    batches,
                }
            }
            _ if wanted <= whole_windows(tokens, context) => Choice::Spread { windows: wanted },
            _ => Choice::All,
        };
        Self {
            tokens,
            context,
            batch,
            choice,
        }
    }

    /// The number of batches.
    pub(super) fn batches(&self) -> u64 {
        let whole = whole_windows(self.tokens, self.context);
        match self.choice {
            Choice::Random { batches, .. } => batches,
            Choice::Spread { windows } => windows.div_ceil(self.batch),
            Choice::All => {
                let shorter = all_windows(self.tokens, self.context) - whole;
                whole.div_ceil(self.batch) + shorter
            }
        }
    }

    /// The batch with a number from 0, and the share of its tokens in those of a full batch.
    pub(super) fn batch(
        &self,
        number: u64,
        device: &Device,
    ) -> Result<(TokenBatch, f64), DataError> {
        let first = number * self.batch;
        let context = self.context as u64;
        let whole = whole_windows(self.tokens, self.context);
        match &self.choice {
            Choice::Random { key, layer, .. } => {
                let stream = key.stream(Purpose::EvaluationWindows, *layer);
                let place = |window, places| stream.below(window, places);
                self.read(first..first + self.batch, self.context, device, place)
            }
            Choice::Spread { windows } => {
                // In the middle of as many equal parts of the text.
                let place = |window, _| (2 * window + 1) * whole / (2 * windows) * context;
                let last = (first + self.batch).min(*windows);
                self.read(first..last, self.context, device, place)
            }
            Choice::All if first < whole => {
                let last = (first + self.batch).min(whole);
                let place = |window, _| window * context;
                self.read(first..last, self.context, device, place)
            }
            Choice::All => {
                let rest = (self.tokens.len() - 1) % self.context;
                self.read(0..1, rest, device, |_, _| whole * context)
            }
        }
    }

    /// Reads windows of a length. `place` gives the first token of a window from its number and the
    /// number of possible places.
    fn read(
        &self,
        windows: std::ops::Range<u64>,
        length: usize,
        device: &Device,
        place: impl Fn(u64, u64) -> u64,
    ) -> Result<(TokenBatch, f64), DataError> {
        let shape = [(windows.end - windows.start) as usize, length];
        let mut numbers = windows;
        let mut next = |places| place(numbers.next().unwrap_or_default(), places);
        let read = batches::sample(self.tokens, shape[0], length, &mut next)?;
        let share = (shape[0] * length) as f64 / (self.batch * self.context as u64) as f64;
        let batch = TokenBatch::new(read.inputs, read.targets, shape, device);
        Ok((batch, share))
    }
}

/// Windows that follow one another and have the full length.
fn whole_windows(tokens: &Tokens, context: usize) -> u64 {
    crate::config::whole_windows(tokens.len() as u64, context)
}

/// Windows that follow one another. The last one may be shorter.
fn all_windows(tokens: &Tokens, context: usize) -> u64 {
    tokens.len().saturating_sub(1).div_ceil(context) as u64
}
