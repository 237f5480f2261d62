//! The kinds of forward pass, and the keys of their random numbers.

use kernels::random::Philox;

/// The key of all random numbers of one forward pass.
///
/// Equal keys give equal numbers, on every device and with any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the forward pass in training; below 2⁴⁰.
    pub step: u64,
}

/// The use of a stream of random numbers. Streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Rounding of the learned masks on the feed-forward output.
    Rounding = 0,
    /// Ordinary dropout on the embedding.
    EmbeddingDropout = 1,
    /// Ordinary dropout on attention probabilities.
    AttentionProbabilityDropout = 2,
    /// Ordinary dropout on the attention output.
    AttentionOutputDropout = 3,
    /// Ordinary dropout on the feed-forward output.
    FeedForwardDropout = 4,
    /// Initial weights.
    Initialization = 5,
    /// The windows of training batches.
    TrainingWindows = 6,
    /// The windows of evaluation batches.
    EvaluationWindows = 7,
    /// Rounding of the learned masks on the embedding.
    EmbeddingRounding = 16,
    /// Rounding of the learned masks on attention probabilities.
    ProbabilityRounding = 17,
    /// Rounding of the learned masks on attention heads.
    HeadRounding = 18,
    /// Rounding of the learned masks on the attention output.
    AttentionOutputRounding = 19,
    /// Rounding of the learned masks on the feed-forward's hidden units.
    HiddenRounding = 20,
    /// Dropout of the kept values of the learned masks on the embedding.
    EmbeddingMaskDropout = 24,
    /// Dropout of the kept values of the learned masks on attention probabilities.
    ProbabilityMaskDropout = 25,
    /// Dropout of the kept values of the learned masks on attention heads.
    HeadMaskDropout = 26,
    /// Dropout of the kept values of the learned masks on the attention output.
    AttentionOutputMaskDropout = 27,
    /// Dropout of the kept values of the learned masks on the feed-forward's hidden units.
    HiddenMaskDropout = 28,
    /// Dropout of the kept values of the learned masks on the feed-forward output.
    OutputMaskDropout = 29,
}

/// The place in a model where random numbers are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Their use.
    pub purpose: Purpose,
    /// The number of the block, or [`OUTSIDE_BLOCKS`].
    pub layer: usize,
}

/// The layer number of modules outside the blocks.
pub const OUTSIDE_BLOCKS: usize = 0xFFFF;

impl NoiseKey {
    /// The stream of random numbers for one purpose in one layer.
    pub fn stream(&self, purpose: Purpose, layer: usize) -> Philox {
        let layer = (layer & 0xFFFF) as u64;
        Philox::new(self.seed, self.step << 24 | (purpose as u64) << 16 | layer)
    }

    /// The stream of random numbers at one place.
    pub fn stream_at(&self, place: Place) -> Philox {
        self.stream(place.purpose, place.layer)
    }
}

/// The kind of a forward pass: training, evaluation or sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pass {
    /// Training: ordinary dropout is active and masks are rounded with noise.
    Train(NoiseKey),
    /// Training whose rounding noise lies within `spread / 2` around 0.5.
    TrainWithSpread {
        /// The key of the noise.
        key: NoiseKey,
        /// From 0 to 1. At 0 masks are rounded at 0.5; at 1 this is [`Train`](Self::Train).
        spread: f32,
    },
    /// Training whose rounding noise is the same constant everywhere, without ordinary dropout:
    /// a deterministic pass for comparisons.
    TrainWithConstantNoise(f32),
    /// Evaluation and inference: masks are rounded at 0.5.
    Evaluate,
    /// Inference with masks rounded at random. An element is kept with probability
    /// `M^(1/temperature) / (M^(1/temperature) + (1 − M)^(1/temperature))`. At temperature 1 the
    /// probability is `M`, as in training; near 0 masks are rounded at 0.5.
    Sample {
        /// The key of the noise.
        key: NoiseKey,
        /// The temperature; above 0.
        temperature: f32,
    },
}

impl Pass {
    /// The key of the ordinary dropout; none if the pass has no ordinary dropout.
    pub fn dropout_key(&self) -> Option<NoiseKey> {
        match self {
            Self::Train(key) | Self::TrainWithSpread { key, .. } => Some(*key),
            _ => None,
        }
    }
}
