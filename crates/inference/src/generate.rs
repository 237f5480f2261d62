//! Text generation: continues a prompt token by token.

use std::ops::ControlFlow;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::mask_rounding::{MaskRule, MaskSampling};
use crate::mask_statistics::MaskStatistics;
use crate::sampling::{Sampler, SamplingOptions};
use crate::session::Session;

/// How text is generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// The options for choosing each token.
    pub sampling: SamplingOptions,
    /// The token that ends the text. Generation stops when it is chosen and does not output it.
    pub end_of_text: Option<u32>,
    /// How the learned masks are rounded.
    pub mask_rule: MaskRule,
}

impl Default for GenerateOptions {
    /// 256 tokens by the model's own probabilities; no token ends the text.
    fn default() -> Self {
        Self {
            max_tokens: 256,
            sampling: SamplingOptions::default(),
            end_of_text: None,
            mask_rule: MaskRule::Model,
        }
    }
}

impl GenerateOptions {
    /// Checks the options, as [`generate`] does before it begins.
    ///
    /// # Errors
    /// A sampling option is out of range, or the temperature of the masks is not a finite number
    /// above 0.
    pub fn check(&self) -> Result<(), EngineError> {
        Sampler::new(self.sampling)?;
        match self.mask_rule {
            MaskRule::Sampled(MaskSampling { temperature, .. })
                if !(temperature > 0.0 && temperature.is_finite()) =>
            {
                Err(EngineError::MaskTemperature { found: temperature })
            }
            _ => Ok(()),
        }
    }
}

/// Why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model chose the token that ends the text.
    EndOfText,
    /// The largest number of tokens was reached.
    MaxTokens,
    /// The caller stopped it.
    Caller,
}

/// The result of generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Number of generated tokens.
    pub tokens: usize,
    /// Number of tokens at the beginning of the prompt that did not fit into the context, so that the model
    /// never saw them.
    pub dropped: usize,
    /// Why generation stopped.
    pub stop: StopReason,
    /// Statistics of the masks of the prompt and of the generated tokens; none without learned masks.
    pub masks: Option<MaskStatistics>,
}

/// Continues a prompt. Calls `on_token` with each token as soon as it is chosen; `Break` stops the
/// generation.
///
/// A prompt longer than the context is cut to its last tokens. The text may become longer than
/// the context: see [`Session`].
///
/// # Errors
/// The prompt is empty or has a token outside the vocabulary, an option is out of range, or no logit is
/// usable.
pub fn generate(
    engine: &Engine,
    prompt: &[u32],
    options: &GenerateOptions,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Generated, EngineError> {
    options.check()?;
    let mut sampler = Sampler::new(options.sampling)?;
    let mut session = Session::new(engine)?.with_mask_rule(options.mask_rule);
    let dropped = session.prefill(prompt)?;
    let mut tokens = 0;
    let stop = loop {
        if tokens == options.max_tokens {
            break StopReason::MaxTokens;
        }
        let id = sampler.sample(session.logits())?;
        if options.end_of_text == Some(id) {
            break StopReason::EndOfText;
        }
        tokens += 1;
        if on_token(id).is_break() {
            break StopReason::Caller;
        }
        if tokens < options.max_tokens {
            session.decode(id)?;
        }
    };
    Ok(Generated {
        tokens,
        dropped,
        stop,
        masks: session.mask_statistics(),
    })
}
