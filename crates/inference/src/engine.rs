//! The weights of a transformer, laid out for decoding, and the threads that work on it.

mod parts;

use kernels::decode::{Columns, FeedForward, Format, Matrix};
use kernels::level::Level;
use kernels::product::Precision;
use kernels::team::Team;
use model::layout::layout;
use model::weights::Weights;
use model::{CutInputs, MaskConfig, MaskInput, Site, TransformerConfig};

use crate::error::EngineError;
use crate::experts::Experts;
use crate::linear::Linear;
use crate::mask::Mask;
use parts::Parts;

/// Tokens of a forward pass up to which weights are read as they are stored; with more it pays to
/// pack them.
pub(crate) const FEW_TOKENS: usize = 16;

/// How an engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// How many threads work on one token; 0 stands for all that the machine has. The results have
    /// the same bits for any number of them.
    pub threads: usize,
    /// What the matrices are stored as. Sums are f32 in any case.
    pub format: Format,
    /// Computes what the masks drop, too. The results are the same but for rounding.
    pub dense: bool,
}

impl Default for EngineOptions {
    /// f32, on all threads, without what the masks drop.
    fn default() -> Self {
        Self {
            threads: 0,
            format: Format::F32,
            dense: false,
        }
    }
}

/// Thresholds below which inputs of linear layers are taken as 0, as
/// `learned_dropout::threshold_sparsity` finds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Which inputs have thresholds.
    pub inputs: CutInputs,
    /// The share of the inputs that is expected to be below them, from 0 to 1.
    pub sparsity: f64,
    /// The thresholds, in the order of the layers in a forward pass.
    pub values: Vec<f32>,
}

/// The format in which this machine runs a model fastest: 16 bits, unless the model fits into the
/// cache, or the processor is slow with them.
pub fn fastest_format(config: &TransformerConfig) -> Format {
    if 4 * config.parameters() < CACHE || Level::current() == Level::Portable {
        return Format::F32;
    }
    match Precision::fastest() {
        Precision::Bf16 => Format::Bf16,
        Precision::F32 => Format::F16,
    }
}

/// Bytes of weights that need not come from memory for each token.
const CACHE: usize = 32 << 20;

/// A model that is ready to decode. Sessions share it; it never changes.
pub struct Engine {
    config: TransformerConfig,
    /// Also the output layer.
    pub(crate) token_embedding: Matrix,
    pub(crate) positional_embedding: Vec<f32>,
    pub(crate) mask_embedding: Option<MaskEmbedding>,
    /// The mask on the embedding.
    pub(crate) embedding_mask: Option<Mask>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Vec<f32>,
    options: EngineOptions,
    precision: Precision,
    team: Team,
    pool: Option<rayon::ThreadPool>,
}

/// Makes the input that all masks share, from the embedding.
pub(crate) struct MaskEmbedding {
    pub query_key_value: Matrix,
    pub output: Matrix,
}

/// The weights of one block.
pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query_key_value: Linear,
    pub attention_output: Output,
    pub feed_forward_norm: Vec<f32>,
    pub feed_forward: Hidden,
    masks: Vec<Mask>,
}

/// The layer behind the heads.
pub(crate) enum Output {
    /// Of all heads.
    Whole(Linear),
    /// Of heads that can be left out.
    ByHead(Columns),
}

/// The two layers of a feed-forward.
pub(crate) enum Hidden {
    /// Unit by unit; groups of units can be left out.
    Fused(FeedForward),
    /// Layer by layer, for masks on the hidden units that do not leave any out, and for small inputs
    /// that are taken as 0.
    Layers { up: Linear, down: Linear },
    /// With ReLU between.
    Relu { up: Linear, down: Linear },
    /// Of which each token uses some.
    Experts(Experts),
}

impl Engine {
    /// An engine for a model's weights in f32, which it takes over; `threads` is that of
    /// [`EngineOptions`].
    ///
    /// # Errors
    /// The configuration describes no model, the weights are not those of the configuration, or
    /// the threads could not be started.
    pub fn new(
        config: TransformerConfig,
        weights: Weights,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let options = EngineOptions {
            threads,
            ..EngineOptions::default()
        };
        Self::with_options(config, weights, options)
    }

    /// An engine for a model's weights, which it takes over.
    ///
    /// # Errors
    /// As [`new`](Self::new), or a weight is too large for the format.
    pub fn with_options(
        config: TransformerConfig,
        weights: Weights,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        Self::make(config, weights, options, None)
    }

    /// An engine that takes small inputs of linear layers as 0 and does not read their weights for
    /// few tokens at a time.
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options), or there are other layers than thresholds, or the
    /// model has experts or learned masks.
    pub fn with_thresholds(
        config: TransformerConfig,
        weights: Weights,
        options: EngineOptions,
        thresholds: &Thresholds,
    ) -> Result<Self, EngineError> {
        let of_block = match thresholds.inputs {
            CutInputs::Hidden => 1,
            CutInputs::All => 4,
        };
        let expected = match config.learned_dropout {
            None if config.feed_forward.experts().is_none() => of_block * config.layers,
            _ => 0,
        };
        let found = thresholds.values.len();
        if found != expected || found == 0 {
            return Err(EngineError::Thresholds { expected, found });
        }
        Self::make(config, weights, options, Some(thresholds))
    }

    fn make(
        config: TransformerConfig,
        mut weights: Weights,
        options: EngineOptions,
        thresholds: Option<&Thresholds>,
    ) -> Result<Self, EngineError> {
        config
            .validate()
            .map_err(|problems| EngineError::Impossible { problems })?;
        check(&config, &weights, options.format)?;
        let (threads, pool) = start_threads(options.threads)?;
        let mut parts = Parts {
            config: &config,
            weights: &mut weights,
            options,
            thresholds,
            masks: 0,
        };
        let (width, vocabulary) = (config.width, config.vocabulary);
        let token_embedding = parts.matrix("token_embedding.weight".into(), vocabulary, width);
        let positional_embedding = parts.vector("positional_embedding.weight".into());
        let mask_embedding = config.masks_from_embedding().then(|| MaskEmbedding {
            query_key_value: parts.matrix(
                "mask_embedding.query_key_value.weight".into(),
                3 * width,
                width,
            ),
            output: parts.matrix("mask_embedding.output.weight".into(), width, width),
        });
        let embedding_mask = parts.mask(Site::Embedding, 0);
        let blocks = (0..config.layers).map(|layer| parts.block(layer)).collect();
        Ok(Self {
            token_embedding,
            positional_embedding,
            mask_embedding,
            embedding_mask,
            blocks,
            final_norm: parts.vector("final_norm.weight".into()),
            config,
            precision: match options.format {
                Format::F32 => Precision::F32,
                Format::Bf16 | Format::F16 => Precision::fastest(),
            },
            options: EngineOptions { threads, ..options },
            team: Team::new(threads),
            pool,
        })
    }

    /// The model's configuration.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// How many threads work on one token.
    pub fn threads(&self) -> usize {
        self.options.threads
    }

    /// How it computes.
    pub fn options(&self) -> EngineOptions {
        self.options
    }

    /// What many tokens at a time are multiplied in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether heads that a mask drops are left out.
    pub(crate) fn skips_heads(&self) -> bool {
        let masks = self.config.learned_dropout.as_ref();
        !self.options.dense && masks.is_some_and(skips)
    }

    pub(crate) fn team(&self) -> &Team {
        &self.team
    }

    /// `y = x · matrixᵀ`; must run inside the engine's threads.
    pub(crate) fn multiply(&self, matrix: &Matrix, x: &[f32], y: &mut [f32]) {
        if x.len() <= FEW_TOKENS * matrix.inputs() {
            matrix.multiply(&self.team, y, x);
        } else {
            matrix.multiply_many(y, x, self.precision);
        }
    }

    /// Runs work on `tokens` tokens inside the engine's threads.
    pub(crate) fn run<T: Send>(&self, tokens: usize, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) if tokens > 1 => pool.install(work),
            _ => work(),
        }
    }

    /// All masks, in the order of their numbers.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &Mask> {
        let of_blocks = self.blocks.iter().flat_map(|block| &block.masks);
        self.embedding_mask.iter().chain(of_blocks)
    }

    /// Refuses tokens that the model does not know.
    pub(crate) fn check_tokens(&self, ids: &[u32]) -> Result<(), EngineError> {
        let vocabulary = self.config.vocabulary;
        match ids.iter().position(|&id| id as usize >= vocabulary) {
            Some(position) => Err(EngineError::Token {
                position,
                id: ids[position],
                vocabulary,
            }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("config", &self.config)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Block {
    pub(crate) fn mask(&self, site: Site) -> Option<&Mask> {
        self.masks.iter().find(|mask| mask.shape.site == site)
    }
}

/// Whether what masks drop need not be computed: they are known before it, and drop values whole.
fn skips(mask: &MaskConfig) -> bool {
    mask.input != MaskInput::Hidden && mask.rounding.is_binary()
}

/// Refuses weights that are not those of the configuration, or too large for the format.
fn check(config: &TransformerConfig, weights: &Weights, format: Format) -> Result<(), EngineError> {
    /// The largest finite value of IEEE half precision.
    const LARGEST_HALF: f32 = 65_504.0;
    for spec in layout(config) {
        let (name, expected) = (spec.name, spec.shape);
        let Some(tensor) = weights.get(&name) else {
            return Err(EngineError::Missing { name, expected });
        };
        if tensor.shape != expected || tensor.values.len() != expected.iter().product::<usize>() {
            let found = tensor.shape.clone();
            return Err(EngineError::Shape {
                name,
                expected,
                found,
            });
        }
        let too_large = |value: &&f32| value.abs() > LARGEST_HALF;
        if format == Format::F16
            && let Some(&value) = tensor.values.iter().find(too_large)
        {
            return Err(EngineError::TooLarge { name, value });
        }
    }
    Ok(())
}

fn start_threads(threads: usize) -> Result<(usize, Option<rayon::ThreadPool>), EngineError> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    if threads == 1 {
        return Ok((1, None));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("prefill-{index}"))
        .build()
        .map_err(|error| EngineError::Threads {
            threads,
            reason: error.to_string(),
        })?;
    Ok((threads, Some(pool)))
}
