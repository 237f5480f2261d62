//! How well a trained model predicts a whole part of a data folder.
//!
//! [`evaluate`] predicts every token once and reports the loss, the perplexity, the bits per byte,
//! the kept share of the masks, and the operations that a model with experts or ReLU executes with them.
//! [`thresholds`] takes small inputs of a dense model as 0 before it is evaluated.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use data::{DataFolder, Split};
//! use learned_dropout::Transformer;
//! use learned_dropout_training::evaluation::{EvaluationOptions, evaluate};
//! use learned_dropout_training::stored_model::StoredModel;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stored = StoredModel::find("runs/quickstart".as_ref())?;
//! let (config, weights) = stored.read()?;
//! let data = DataFolder::open("data/quickstart")?;
//! let tokenizer = stored.tokenizer_for(&config, &data)?;
//! let model = Transformer::from_weights(&config, &weights, &Device::flex());
//! let evaluation = evaluate(
//!     &model,
//!     data.split(Split::Validation),
//!     &tokenizer,
//!     EvaluationOptions::default(),
//!     &mut |_tokens| {},
//! )?;
//! println!("{:.4} nats per token", evaluation.loss);
//! # Ok(())
//! # }
//! ```

pub mod thresholds;
mod token_results;

use std::io;

use burn::tensor::{Device, Tensor};
use data::error::DataError;
use data::{Tokenizer, Tokens, Window, windows};
use learned_dropout::Transformer;
use learned_dropout::feed_forward::Activity;
use model::{Pass, Site, TransformerConfig};
use serde::Serialize;

use crate::flops;
use crate::metrics::UsedShares;
use crate::token_batch::{TokenBatch, read_scalar};
pub use token_results::TokenResult;
use token_results::{BatchResults, ForEachToken};

/// How an evaluation reads the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// Windows of one forward pass, at least 1. The result does not depend on it but for rounding.
    pub batch: usize,
    /// Where to stop: the evaluation ends with the first window that reaches this many tokens.
    pub max_tokens: u64,
}

impl Default for EvaluationOptions {
    /// Batches of 16 windows, and all tokens.
    fn default() -> Self {
        Self {
            batch: 16,
            max_tokens: u64::MAX,
        }
    }
}

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// The tokens cannot be read, or there are fewer than two.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The text has tokens that the model does not know.
    #[error(
        "the tokenizer has {tokenizer} tokens, the model knows {model}; prepare the text with the \
         model's tokenizer"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Tokens that the model knows.
        model: usize,
    },
    /// A batch of no windows was asked for.
    #[error("an evaluation needs at least one window in a batch")]
    EmptyBatch,
    /// The receiver of the tokens' results failed.
    #[error("the results of the tokens cannot be written: {0}")]
    Receiver(#[from] io::Error),
}

/// How well a model predicted a text. It serializes to what `ldrop eval --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats per token.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
    /// Cross-entropy of all predicted tokens, in bits, over the bytes of their text. End-of-text
    /// tokens have no text; none where no token has any. None too where there are `unknown_tokens`:
    /// who predicts that a character is unknown has not predicted its bytes.
    pub bits_per_byte: Option<f64>,
    /// Number of predicted tokens.
    pub tokens: u64,
    /// How many of them are characters that the tokenizer does not know
    /// ([`Tokenizer::unknown`](data::Tokenizer::unknown)).
    pub unknown_tokens: u64,
    /// Share of kept mask values, from 0 to 1: the mean over the masks. None without learned masks.
    pub kept: Option<f64>,
    /// What was executed, where the model does not use all of itself for every token.
    #[serde(flatten)]
    pub executed: Option<ExecutedShare>,
}

/// How much of itself a model used for a token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExecutedShare {
    /// Share, from 0 to 1, of the experts, of the kept hidden units, or of the inputs of layers that
    /// were used.
    pub density: f64,
    /// Floating-point operations of the forward pass.
    pub forward_flops_per_token: ForwardFlops,
}

/// Floating-point operations of the forward pass per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ForwardFlops {
    /// Where everything is computed.
    pub dense: u64,
    /// Where what was not used is left out.
    pub executed: u64,
}

/// Predicts the tokens of a text, each but the first once, in windows as long as the model's
/// context that do not overlap.
///
/// `tokenizer` is the one that made the tokens. `progress` receives the number of tokens predicted
/// so far.
///
/// # Errors
/// The tokens cannot be read, there are fewer than two, or the model does not know all tokens of
/// the tokenizer.
pub fn evaluate(
    model: &Transformer,
    tokens: &Tokens,
    tokenizer: &Tokenizer,
    options: EvaluationOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Evaluation, EvaluationError> {
    evaluate_batches(model, tokens, tokenizer, options, progress, None)
}

/// [`evaluate`], and gives the result of each token to `each`, in the order of the text.
///
/// # Errors
/// Those of [`evaluate`], and that of `each`, which ends the evaluation.
pub fn evaluate_tokens(
    model: &Transformer,
    tokens: &Tokens,
    tokenizer: &Tokenizer,
    options: EvaluationOptions,
    progress: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(&TokenResult<'_>) -> io::Result<()>,
) -> Result<Evaluation, EvaluationError> {
    evaluate_batches(model, tokens, tokenizer, options, progress, Some(each))
}

fn evaluate_batches(
    model: &Transformer,
    tokens: &Tokens,
    tokenizer: &Tokenizer,
    options: EvaluationOptions,
    progress: &mut dyn FnMut(u64),
    mut each: Option<&mut ForEachToken<'_>>,
) -> Result<Evaluation, EvaluationError> {
    let config = model.config();
    if options.batch == 0 {
        return Err(EvaluationError::EmptyBatch);
    }
    if tokenizer.vocabulary() > config.vocabulary {
        return Err(EvaluationError::Vocabulary {
            tokenizer: tokenizer.vocabulary(),
            model: config.vocabulary,
        });
    }
    let context = config.context;
    let device = device_of(model);
    let mut sums = Sums::default();
    let mut batch: Vec<Window> = Vec::new();
    for window in windows(tokens, context)? {
        let window = window?;
        let is_whole = window.inputs.len() == context;
        // Windows of one batch have one length; only the last window of a text may be shorter.
        if !is_whole || batch.len() == options.batch {
            let batch = std::mem::take(&mut batch);
            sums.add(model, &batch, tokenizer, &device, each.as_deref_mut())?;
            progress(sums.tokens);
        }
        batch.push(window);
        if sums.tokens + (batch.len() * context) as u64 >= options.max_tokens {
            break;
        }
    }
    sums.add(model, &batch, tokenizer, &device, each)?;
    progress(sums.tokens);
    Ok(sums.evaluation(config))
}

/// The device that holds a model.
fn device_of(model: &Transformer) -> Device {
    model.token_embedding.weight.val().device()
}

/// Sums over all predicted tokens.
#[derive(Default)]
struct Sums {
    loss: f64,
    /// Of the shares of mask values that are kept, mask by mask in the order of the forward pass; empty without
    /// masks.
    kept: Vec<(Site, f64)>,
    tokens: u64,
    bytes: u64,
    unknown: u64,
    /// Of the densities of feed-forwards that do not use all of themselves, layer by layer; empty without these.
    densities: Vec<f64>,
    /// Of the shares of the hidden units of used experts that are not 0, layer by layer; empty without experts with
    /// ReLU.
    unit_densities: Vec<f64>,
}

impl Sums {
    fn add(
        &mut self,
        model: &Transformer,
        batch: &[Window],
        tokenizer: &Tokenizer,
        device: &Device,
        each: Option<&mut ForEachToken<'_>>,
    ) -> io::Result<()> {
        let Some(first) = batch.first() else {
            return Ok(());
        };
        let shape = [batch.len(), first.inputs.len()];
        let inputs = batch.iter().flat_map(|window| &window.inputs);
        let targets = batch.iter().flat_map(|window| &window.targets).copied();
        let ids = TokenBatch::new(
            inputs.copied().collect(),
            targets.clone().collect(),
            shape,
            device,
        );
        let count = (shape[0] * shape[1]) as u64;
        let (masks, activities) = match each {
            None => {
                let loss = model.loss(ids.inputs, ids.targets, &Pass::Evaluate);
                self.loss += read_scalar(&loss.cross_entropy) * count as f64;
                (loss.masks, loss.activities)
            }
            Some(each) => {
                let forward = model.forward(ids.inputs, &Pass::Evaluate);
                let results = BatchResults::new(model, &forward, ids.targets);
                self.loss += sum(&results.losses);
                // The first token of the text is no target.
                results.report(self.tokens + 1, targets.clone(), tokenizer, each)?;
                (forward.masks, forward.activities)
            }
        };
        self.tokens += count;
        if self.kept.is_empty() {
            self.kept = masks.iter().map(|mask| (mask.site(), 0.0)).collect();
        }
        for ((_, sum), mask) in self.kept.iter_mut().zip(&masks) {
            *sum += read_scalar(&mask.kept_at_inference()) * count as f64;
        }
        let shares = activities.iter();
        let shares = shares.map(|activity| activity.shares.clone().mean());
        add_weighted(&mut self.densities, shares, count);
        let units = activities.iter().filter_map(Activity::unit_density);
        add_weighted(&mut self.unit_densities, units, count);
        let unknown = tokenizer.unknown();
        let is_unknown = |id: &u32| Some(*id) == unknown;
        self.unknown += targets.clone().filter(is_unknown).count() as u64;
        let end_of_text = tokenizer.end_of_text();
        self.bytes += targets
            .filter(|&id| Some(id) != end_of_text)
            .map(|id| tokenizer.token_bytes(id).map_or(0, <[u8]>::len) as u64)
            .sum::<u64>();
        Ok(())
    }

    fn evaluation(&self, config: &TransformerConfig) -> Evaluation {
        let loss = self.loss / self.tokens as f64;
        let bits = self.loss / std::f64::consts::LN_2;
        Evaluation {
            loss,
            perplexity: loss.exp(),
            bits_per_byte: (self.bytes > 0 && self.unknown == 0).then(|| bits / self.bytes as f64),
            tokens: self.tokens,
            unknown_tokens: self.unknown,
            kept: self.mean(self.kept.iter().map(|(_, sum)| sum)),
            executed: self.executed(config),
        }
    }

    fn executed(&self, config: &TransformerConfig) -> Option<ExecutedShare> {
        let density = self.mean(self.densities.iter())?;
        let share = |sum: &f64| sum / self.tokens as f64;
        let kept = self.kept.iter().map(|(site, sum)| (*site, share(sum)));
        let used = UsedShares::new(kept, Some(density))
            .with_densities(self.densities.iter().map(share).collect())
            .with_unit_densities(self.unit_densities.iter().map(share).collect());
        Some(ExecutedShare {
            density,
            forward_flops_per_token: ForwardFlops {
                dense: flops::forward_per_token(config) as u64,
                executed: flops::executed_per_token(config, &used) as u64,
            },
        })
    }

    /// The mean over masks or layers of their shares, from the sums over all tokens; none if there are none.
    fn mean<'a>(&self, sums: impl ExactSizeIterator<Item = &'a f64>) -> Option<f64> {
        let count = sums.len() as f64 * self.tokens as f64;
        (count > 0.0).then(|| sums.sum::<f64>() / count)
    }
}

/// Adds the share of each layer in a batch of `count` tokens to the layer's sum.
fn add_weighted(sums: &mut Vec<f64>, shares: impl Iterator<Item = Tensor<1>>, count: u64) {
    for (layer, share) in shares.enumerate() {
        if layer == sums.len() {
            sums.push(0.0);
        }
        sums[layer] += read_scalar(&share) * count as f64;
    }
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}
