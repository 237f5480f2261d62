//! Sequences of tokens that grow token by token.

use crate::engine::Engine;
use crate::error::EngineError;
use crate::forward::{Activations, final_norm, forward};
use crate::mask::Mask;
use crate::mask_rounding::MaskRule;
use crate::mask_statistics::{self, MaskStatistics, MaskSums, MaskValues};
use crate::sequence::Sequence;

/// Most tokens of one forward pass: enough to use each weight many times while it is in the cache, and few
/// enough to keep the activations small.
const MOST_TOKENS: usize = 512;

/// One sequence of tokens, with its caches and logits.
///
/// The model has learned positions, so it sees at most `context` tokens. When the window is full, the
/// session drops its first half, computes the last half again from position 0, and continues. A sequence
/// can therefore be longer than the context, at the cost of one prefill of half a context every half
/// context of tokens.
pub struct Session<'a> {
    engine: &'a Engine,
    sequence: [Sequence; 1],
    activations: Activations,
    logits: Vec<f32>,
}

impl<'a> Session<'a> {
    /// An empty session, with masks rounded as the model's evaluation rounds them.
    ///
    /// # Errors
    /// There is not enough memory for its caches: `2 · layers · width · context` values of four bytes, and
    /// `2 · width · context` for each learned mask with an attention of this width.
    pub fn new(engine: &'a Engine) -> Result<Self, EngineError> {
        Ok(Self {
            engine,
            sequence: [engine.new_sequence()?],
            activations: Activations::default(),
            logits: vec![0.0; engine.config().vocabulary],
        })
    }

    /// Sets the rule that masks are rounded by.
    #[must_use]
    pub fn with_mask_rule(mut self, rule: MaskRule) -> Self {
        self.sequence[0].mask_rule = rule;
        self
    }

    /// The tokens that the next prediction sees.
    pub fn window(&self) -> &[u32] {
        &self.sequence[0].window
    }

    /// The logits after the last token, one for each token of the vocabulary; zeros before the
    /// first.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Statistics of the masks of all tokens so far, each counted once; none without learned masks or
    /// tokens.
    pub fn mask_statistics(&self) -> Option<MaskStatistics> {
        let masks = self.engine.masks().zip(&self.sequence[0].sums);
        mask_statistics::statistics(masks.map(|(mask, sums)| (mask.shape.site, mask.layer, *sums)))
    }

    /// Reads many tokens at once. Returns how many of the session's tokens the model no longer sees.
    ///
    /// Afterwards [`logits`](Self::logits) predicts the next token. If the tokens do not fit into the
    /// context, only the last `context` of all tokens stay in the window.
    ///
    /// # Errors
    /// There are no tokens, or the model does not know one of them.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<usize, EngineError> {
        if ids.is_empty() {
            return Err(EngineError::NoTokens);
        }
        self.engine.check_tokens(ids)?;
        let context = self.engine.config().context;
        let window = self.window().len();
        let excess = (window + ids.len()).saturating_sub(context);
        let reread = window.saturating_sub(excess);
        let readable = &ids[ids.len() - ids.len().min(context)..];
        self.sequence[0].seen += (ids.len() - readable.len()) as u64;
        if excess > 0 {
            self.restart(reread);
        }
        self.read(readable, true);
        self.predict();
        Ok(excess)
    }

    /// Reads one token and returns the logits of the next token, one for each token of the vocabulary.
    ///
    /// # Errors
    /// The model does not know the token.
    pub fn decode(&mut self, id: u32) -> Result<&[f32], EngineError> {
        self.engine.check_tokens(&[id])?;
        let context = self.engine.config().context;
        if self.window().len() == context {
            self.restart(context / 2);
        }
        self.read(&[id], true);
        self.predict();
        Ok(&self.logits)
    }

    /// Reads tokens that fit into the context, chunk by chunk. Calls `visit` with each chunk's residual
    /// stream after the final norm, `[tokens, width]`.
    pub(crate) fn read_all(&mut self, ids: &[u32], mut visit: impl FnMut(&[f32]) + Send) {
        for chunk in ids.chunks(MOST_TOKENS) {
            self.read(chunk, true);
            let (engine, hidden) = (self.engine, &self.activations.hidden);
            engine
                .workers
                .run(chunk.len(), || visit(&final_norm(engine, hidden)));
        }
    }

    /// Reads tokens that fit into the context and returns the values of their masks.
    pub(crate) fn read_masks(&mut self, ids: &[u32]) -> Vec<MaskValues> {
        let masks = self.engine.masks().count();
        self.sequence[0].mask_values = Some(vec![Vec::new(); masks]);
        for chunk in ids.chunks(MOST_TOKENS) {
            self.read(chunk, true);
        }
        let values = self.sequence[0].mask_values.take().unwrap_or_default();
        let to_mask_values = |(mask, values): (&Mask, Vec<f32>)| MaskValues {
            site: mask.shape.site,
            layer: mask.shape.site.is_in_blocks().then_some(mask.layer),
            width: mask.shape.values,
            group: mask.shape.group,
            values,
            kept_from: mask.kept_from(),
        };
        self.engine
            .masks()
            .zip(values)
            .map(to_mask_values)
            .collect()
    }

    /// Computes the last `count` tokens of the window again, from position 0.
    fn restart(&mut self, count: usize) {
        let sequence = &mut self.sequence[0];
        let tokens = sequence.window.split_off(sequence.window.len() - count);
        sequence.window.clear();
        sequence.seen -= count as u64;
        self.read(&tokens, false);
    }

    fn read(&mut self, ids: &[u32], measured: bool) {
        let engine = self.engine;
        for chunk in ids.chunks(MOST_TOKENS) {
            engine.workers.run(chunk.len(), || {
                forward(
                    engine,
                    &mut self.activations,
                    &mut self.sequence,
                    &[chunk],
                    measured,
                );
            });
        }
    }

    /// The logits of the last token of the last forward pass.
    fn predict(&mut self) {
        let (engine, hidden) = (self.engine, &self.activations.hidden);
        let last = &hidden[hidden.len() - engine.config().width..];
        let normed = final_norm(engine, last);
        engine
            .workers
            .multiply(&engine.token_embedding, &normed, &mut self.logits);
    }
}

/// Several sequences that are extended together, so that weights are read once for all of them.
///
/// When the window of a sequence is full, it continues as in a [`Session`].
pub struct Batch<'a> {
    engine: &'a Engine,
    sequences: Vec<Sequence>,
    activations: Activations,
    logits: Vec<f32>,
}

impl<'a> Batch<'a> {
    /// Empty sequences.
    ///
    /// # Errors
    /// There is not enough memory for their caches; see [`Session::new`].
    pub fn new(engine: &'a Engine, sequences: usize) -> Result<Self, EngineError> {
        let sequences: Result<Vec<_>, _> = (0..sequences).map(|_| engine.new_sequence()).collect();
        let sequences = sequences?;
        Ok(Self {
            engine,
            logits: vec![0.0; sequences.len() * engine.config().vocabulary],
            sequences,
            activations: Activations::default(),
        })
    }

    /// Sets the rule that masks are rounded by.
    #[must_use]
    pub fn with_mask_rule(mut self, rule: MaskRule) -> Self {
        for sequence in &mut self.sequences {
            sequence.mask_rule = rule;
        }
        self
    }

    /// Reads one token of each sequence and returns the logits of the next tokens,
    /// `[sequences, vocabulary]`.
    ///
    /// # Errors
    /// The model does not know a token.
    ///
    /// # Panics
    /// If there is not one token for each sequence.
    pub fn decode(&mut self, ids: &[u32]) -> Result<&[f32], EngineError> {
        assert_eq!(ids.len(), self.sequences.len(), "a token for each sequence");
        let engine = self.engine;
        engine.check_tokens(ids)?;
        let context = engine.config().context;
        for sequence in &mut self.sequences {
            if sequence.window.len() == context {
                let keep = context / 2;
                let tokens = sequence.window.split_off(context - keep);
                sequence.window.clear();
                sequence.seen -= keep as u64;
                for chunk in tokens.chunks(MOST_TOKENS) {
                    let sequence = std::slice::from_mut(sequence);
                    engine.workers.run(chunk.len(), || {
                        forward(engine, &mut self.activations, sequence, &[chunk], false);
                    });
                }
            }
        }
        let ids: Vec<&[u32]> = ids.chunks(1).collect();
        engine.workers.run(ids.len(), || {
            forward(
                engine,
                &mut self.activations,
                &mut self.sequences,
                &ids,
                true,
            );
            let normed = final_norm(engine, &self.activations.hidden);
            engine
                .workers
                .multiply(&engine.token_embedding, &normed, &mut self.logits);
        });
        Ok(&self.logits)
    }

    /// Statistics of the masks of all tokens of all sequences so far; none without learned masks or tokens.
    pub fn mask_statistics(&self) -> Option<MaskStatistics> {
        let masks = self.engine.masks().map(|mask| {
            let mut sums = MaskSums::default();
            for sequence in &self.sequences {
                sums.add(sequence.sums[mask.number]);
            }
            (mask.shape.site, mask.layer, sums)
        });
        mask_statistics::statistics(masks)
    }
}
