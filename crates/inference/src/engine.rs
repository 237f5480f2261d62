//! The weights of a transformer, laid out for decoding, and the threads that work on it.

use kernels::decode::{Format, Matrix};
use kernels::product::Precision;
use model::layout::layout;
use model::weights::Weights;
use model::{CutInputs, Site, TransformerConfig};

use crate::builder::Builder;
use crate::error::EngineError;
use crate::layers::{Block, MaskEmbedding};
use crate::mask::Mask;
use crate::options::{EngineOptions, Thresholds};
use crate::sequence::Sequence;
use crate::workers::Workers;

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
    pub(crate) workers: Workers,
}

impl Engine {
    /// Creates an engine that stores a model's weights in f32; for `threads` see [`EngineOptions`].
    ///
    /// # Errors
    /// The configuration is not valid, the weights do not fit it, or the threads could not be started.
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

    /// Creates an engine for a model's weights.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), or a weight is too large for the format.
    pub fn with_options(
        config: TransformerConfig,
        weights: Weights,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        Self::build(config, weights, options, None)
    }

    /// Creates an engine that sets small inputs of linear layers to 0. For few tokens at a time, it does not
    /// read the weights of these inputs.
    ///
    /// # Errors
    /// Those of [`with_options`](Self::with_options), or the number of thresholds is not that of the layers,
    /// or the model has experts or learned masks.
    pub fn with_thresholds(
        config: TransformerConfig,
        weights: Weights,
        options: EngineOptions,
        thresholds: &Thresholds,
    ) -> Result<Self, EngineError> {
        let per_block = match thresholds.inputs {
            CutInputs::Hidden => 1,
            CutInputs::All => 4,
        };
        let expected = match config.learned_dropout {
            None if config.feed_forward.experts().is_none() => per_block * config.layers,
            _ => 0,
        };
        let found = thresholds.values.len();
        if found != expected || found == 0 {
            return Err(EngineError::Thresholds { expected, found });
        }
        Self::build(config, weights, options, Some(thresholds))
    }

    fn build(
        config: TransformerConfig,
        mut weights: Weights,
        options: EngineOptions,
        thresholds: Option<&Thresholds>,
    ) -> Result<Self, EngineError> {
        config
            .validate()
            .map_err(|problems| EngineError::Impossible { problems })?;
        check(&config, &weights, options.format)?;
        let precision = match options.format {
            Format::F32 => Precision::F32,
            Format::Bf16 | Format::F16 => Precision::fastest(),
        };
        let workers = Workers::start(options.threads, precision)?;
        let mut builder = Builder {
            config: &config,
            weights: &mut weights,
            options,
            thresholds,
            masks: 0,
        };
        let (width, vocabulary) = (config.width, config.vocabulary);
        let token_embedding = builder.matrix("token_embedding.weight".into(), vocabulary, width);
        let positional_embedding = builder.vector("positional_embedding.weight".into());
        let mask_embedding = config.masks_from_embedding().then(|| MaskEmbedding {
            query_key_value: builder.matrix(
                "mask_embedding.query_key_value.weight".into(),
                3 * width,
                width,
            ),
            output: builder.matrix("mask_embedding.output.weight".into(), width, width),
        });
        let embedding_mask = builder.mask(Site::Embedding, 0);
        let blocks = (0..config.layers)
            .map(|layer| builder.block(layer))
            .collect();
        Ok(Self {
            token_embedding,
            positional_embedding,
            mask_embedding,
            embedding_mask,
            blocks,
            final_norm: builder.vector("final_norm.weight".into()),
            config,
            options: EngineOptions {
                threads: workers.threads(),
                ..options
            },
            workers,
        })
    }

    /// The model's configuration.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.options.threads
    }

    /// The options, with the actual number of threads.
    pub fn options(&self) -> EngineOptions {
        self.options
    }

    /// The precision of products with many tokens at a time.
    pub fn precision(&self) -> Precision {
        self.workers.precision()
    }

    /// Whether heads that a mask drops are left out before the attention, with their queries.
    pub(crate) fn skips_heads(&self) -> bool {
        self.options
            .leaves_out_dropped(&self.config, Site::AttentionHeads)
    }

    /// All masks, in the order of their numbers.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &Mask> {
        let block_masks = self.blocks.iter().flat_map(|block| &block.masks);
        self.embedding_mask.iter().chain(block_masks)
    }

    /// An empty sequence.
    pub(crate) fn new_sequence(&self) -> Result<Sequence, EngineError> {
        Sequence::new(&self.config, self.masks().map(|mask| mask.shape))
    }

    /// Returns an error if a token is outside the vocabulary.
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

/// Returns an error if the weights do not fit the configuration, or one is too large for the format.
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
