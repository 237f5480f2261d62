//! The weights of a transformer, laid out for decoding, and the threads that work on it.

use learned_dropout::weights::{self, Weights};
use learned_dropout::{MaskConfig, TransformerConfig};

use crate::error::EngineError;

/// A model that is ready to decode. Sessions share it; it never changes.
#[derive(Debug)]
pub struct Engine {
    config: TransformerConfig,
    pub(crate) token_embedding: Vec<f32>,
    pub(crate) positional_embedding: Vec<f32>,
    pub(crate) mask_embedding: Option<MaskEmbedding>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Vec<f32>,
    threads: usize,
    pool: Option<rayon::ThreadPool>,
}

/// Makes the input that all masks share, from the embedding.
#[derive(Debug)]
pub(crate) struct MaskEmbedding {
    pub query_key_value: Vec<f32>,
    pub output: Vec<f32>,
}

/// The weights of one block.
#[derive(Debug)]
pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query_key_value: Vec<f32>,
    pub attention_output: Vec<f32>,
    pub feed_forward_norm: Vec<f32>,
    pub up: Vec<f32>,
    pub down: Vec<f32>,
    pub mask: Option<BlockMask>,
}

/// The weights of one block's learned mask.
#[derive(Debug)]
pub(crate) struct BlockMask {
    pub query_key_value: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Engine {
    /// An engine for a model's weights, which it takes over.
    ///
    /// `threads` is how many threads work on one token; 0 stands for all that the machine has.
    /// The results have the same bits for any number of them.
    ///
    /// # Errors
    /// The configuration describes no model, the weights are not those of the configuration, or
    /// the threads could not be started.
    pub fn new(
        config: TransformerConfig,
        mut weights: Weights,
        threads: usize,
    ) -> Result<Self, EngineError> {
        config
            .validate()
            .map_err(|problems| EngineError::Impossible { problems })?;
        let masks = config.learned_dropout.as_ref();
        if let Some(problem) = masks.and_then(MaskConfig::beyond_published) {
            return Err(EngineError::Unsupported { problem });
        }
        for spec in weights::layout(&config) {
            let (name, expected) = (spec.name, spec.shape);
            match weights.get(&name) {
                None => return Err(EngineError::Missing { name, expected }),
                Some(tensor)
                    if tensor.shape != expected
                        || tensor.values.len() != expected.iter().product::<usize>() =>
                {
                    let found = tensor.shape.clone();
                    return Err(EngineError::Shape {
                        name,
                        expected,
                        found,
                    });
                }
                Some(_) => {}
            }
        }
        let mut take = |name: String| {
            weights
                .remove(&name)
                .map(|tensor| tensor.values)
                .expect("checked against the layout")
        };
        let (threads, pool) = start_threads(threads)?;
        Ok(Self {
            token_embedding: take("token_embedding.weight".into()),
            positional_embedding: take("positional_embedding.weight".into()),
            mask_embedding: config.masks_from_embedding().then(|| MaskEmbedding {
                query_key_value: take("mask_embedding.query_key_value.weight".into()),
                output: take("mask_embedding.output.weight".into()),
            }),
            blocks: (0..config.layers)
                .map(|layer| Block::take(layer, config.learned_dropout.is_some(), &mut take))
                .collect(),
            final_norm: take("final_norm.weight".into()),
            config,
            threads,
            pool,
        })
    }

    /// The model's configuration.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// How many threads work on one token.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs work inside the engine's threads.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
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

impl Block {
    fn take(layer: usize, masked: bool, take: &mut impl FnMut(String) -> Vec<f32>) -> Self {
        let mut take = |suffix: &str| take(format!("blocks.{layer}.{suffix}"));
        Self {
            attention_norm: take("attention_norm.weight"),
            query_key_value: take("attention.query_key_value.weight"),
            attention_output: take("attention.output.weight"),
            feed_forward_norm: take("feed_forward_norm.weight"),
            up: take("feed_forward.up.weight"),
            down: take("feed_forward.down.weight"),
            mask: masked.then(|| BlockMask {
                query_key_value: take("feed_forward.learned_dropout.query_key_value.weight"),
                shift: take("feed_forward.learned_dropout.shift"),
            }),
        }
    }
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
        .thread_name(|index| format!("decode-{index}"))
        .build()
        .map_err(|error| EngineError::Threads {
            threads,
            reason: error.to_string(),
        })?;
    Ok((threads, Some(pool)))
}
