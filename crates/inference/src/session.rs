//! One sequence of tokens: its key-value caches and the forward pass that extends it.

use crate::activations::{Activations, Place};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::mask::{self, MaskSampling, MaskStatistics, MaskSums};
use crate::numeric::attention::KeyValueCache;
use crate::numeric::elementwise::{add, layer_norm};
use crate::numeric::product::project;

/// Tokens that one forward pass takes at most: enough to use each weight many times while it is
/// in the cache, and few enough to keep the activations small.
const MOST_TOKENS: usize = 128;

/// One sequence of tokens and all that was computed for it.
///
/// The model has learned positions, so it sees at most `context` tokens. When the window is full,
/// the session keeps its last half, computes that again from position 0, and goes on. That costs
/// one prefill of half a context every half context of tokens, and a sequence never ends for lack
/// of positions.
#[derive(Debug)]
pub struct Session<'a> {
    engine: &'a Engine,
    /// The tokens whose keys and values are in the caches.
    window: Vec<u32>,
    /// Tokens that were given since the session began.
    seen: u64,
    mask_sampling: Option<MaskSampling>,
    embedding_cache: Option<KeyValueCache>,
    attention_caches: Vec<KeyValueCache>,
    mask_caches: Vec<KeyValueCache>,
    sums: Vec<MaskSums>,
    activations: Activations,
    logits: Vec<f32>,
}

impl<'a> Session<'a> {
    /// An empty session, with masks rounded as the model's evaluation rounds them.
    ///
    /// # Errors
    /// There is not enough memory for its caches: `4 · layers · width · context` values of four
    /// bytes with learned masks, half of it without.
    pub fn new(engine: &'a Engine) -> Result<Self, EngineError> {
        let config = engine.config();
        let memory = EngineError::Memory {
            context: config.context,
        };
        let cache = || KeyValueCache::new(config.width, config.context);
        let caches = |count: usize| (0..count).map(|_| cache()).collect::<Option<Vec<_>>>();
        let masks = if config.learned_dropout.is_some() {
            config.layers
        } else {
            0
        };
        let embeddings = usize::from(config.masks_from_embedding());
        let (Some(attention_caches), Some(mask_caches), Some(mut embedding_caches)) =
            (caches(config.layers), caches(masks), caches(embeddings))
        else {
            return Err(memory);
        };
        Ok(Self {
            engine,
            window: Vec::new(),
            seen: 0,
            mask_sampling: None,
            embedding_cache: embedding_caches.pop(),
            attention_caches,
            mask_caches,
            sums: vec![MaskSums::default(); config.layers],
            activations: Activations::default(),
            logits: vec![0.0; config.vocabulary],
        })
    }

    /// Rounds masks at random from here on; see [`MaskSampling`].
    #[must_use]
    pub fn with_mask_sampling(mut self, sampling: Option<MaskSampling>) -> Self {
        self.mask_sampling = sampling;
        self
    }

    /// The tokens that the next prediction sees.
    pub fn window(&self) -> &[u32] {
        &self.window
    }

    /// The logits after the last token, one for each token of the vocabulary; zeros before the
    /// first.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// What was measured of the masks of all tokens so far, each counted once; none without
    /// learned masks or tokens.
    pub fn mask_statistics(&self) -> Option<MaskStatistics> {
        mask::statistics(&self.sums)
    }

    /// Reads many tokens at once and returns how many tokens, earlier ones included, the model
    /// no longer sees.
    ///
    /// Afterwards [`logits`](Self::logits) predicts the token that follows. Where the tokens do
    /// not fit into the context, the last `context` of all tokens are kept.
    ///
    /// # Errors
    /// There are no tokens, or the model does not know one of them.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<usize, EngineError> {
        if ids.is_empty() {
            return Err(EngineError::NoTokens);
        }
        self.engine.check_tokens(ids)?;
        let context = self.engine.config().context;
        let excess = (self.window.len() + ids.len()).saturating_sub(context);
        let kept_before = self.window.len().saturating_sub(excess);
        let unseen = &ids[ids.len() - ids.len().min(context)..];
        self.seen += (ids.len() - unseen.len()) as u64;
        if excess > 0 {
            self.restart(kept_before);
        }
        let engine = self.engine;
        engine.run(|| {
            for part in unseen.chunks(MOST_TOKENS) {
                self.forward(part, true);
            }
            self.predict();
        });
        Ok(excess)
    }

    /// Reads one token and returns the logits of the token that follows it, one for each token
    /// of the vocabulary.
    ///
    /// # Errors
    /// The model does not know the token.
    pub fn decode(&mut self, id: u32) -> Result<&[f32], EngineError> {
        self.engine.check_tokens(&[id])?;
        let context = self.engine.config().context;
        if self.window.len() == context {
            self.restart(context / 2);
        }
        let engine = self.engine;
        engine.run(|| {
            self.forward(&[id], true);
            self.predict();
        });
        Ok(&self.logits)
    }

    /// Reads tokens that fit into the context, in one go, and hands the residual stream of each
    /// part, after the final norm, to `look`: `[tokens, width]`.
    pub(crate) fn read_all(&mut self, ids: &[u32], mut look: impl FnMut(&[f32]) + Send) {
        let engine = self.engine;
        engine.run(|| {
            for part in ids.chunks(MOST_TOKENS) {
                self.forward(part, true);
                let activations = &mut self.activations;
                layer_norm(
                    &activations.hidden,
                    &engine.final_norm,
                    &mut activations.normed,
                );
                look(&activations.normed);
            }
        });
    }

    /// Computes the last `keep` tokens of the window again, from position 0.
    fn restart(&mut self, keep: usize) {
        let tokens = self.window.split_off(self.window.len() - keep);
        self.window.clear();
        self.seen -= keep as u64;
        let engine = self.engine;
        engine.run(|| {
            for part in tokens.chunks(MOST_TOKENS) {
                self.forward(part, false);
            }
        });
    }

    /// The logits of the last token of the last forward pass.
    fn predict(&mut self) {
        let engine = self.engine;
        let width = engine.config().width;
        let Activations { hidden, normed, .. } = &mut self.activations;
        let last = hidden.len() - width;
        layer_norm(&hidden[last..], &engine.final_norm, &mut normed[..width]);
        let threads = engine.threads();
        project(
            threads,
            &normed[..width],
            width,
            &engine.token_embedding,
            &mut self.logits,
        );
    }

    /// Appends tokens to the window and computes their residual stream. `measured` tells whether
    /// they count in the statistics.
    fn forward(&mut self, ids: &[u32], measured: bool) {
        let engine = self.engine;
        let start = self.window.len();
        self.activations.embed(engine, start, ids);
        if let (Some(weights), Some(cache)) = (&engine.mask_embedding, &mut self.embedding_cache) {
            self.activations.embed_masks(engine, weights, cache, start);
        }
        for (layer, block) in engine.blocks.iter().enumerate() {
            let cache = &mut self.attention_caches[layer];
            self.activations.attention(engine, block, cache, start);
            self.activations.feed_forward(engine, block);
            if let Some(weights) = &block.mask {
                let place = Place {
                    layer,
                    token: self.seen,
                    sampling: self.mask_sampling,
                };
                let cache = &mut self.mask_caches[layer];
                let sums = self.activations.mask(engine, weights, cache, start, place);
                if measured {
                    self.sums[layer].add(sums);
                }
            }
            add(&mut self.activations.hidden, &self.activations.output);
        }
        self.window.extend_from_slice(ids);
        self.seen += ids.len() as u64;
    }
}
