//! What an evaluation says about single tokens.

use std::borrow::Cow;
use std::io;

use burn::tensor::{Int, Tensor};
use data::Tokenizer;
use learned_dropout::transformer::Forward;
use learned_dropout::{Mask, Transformer};
use serde::Serialize;

/// How well one token was predicted. It serializes to a line of `ldrop eval --per-token`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenResult<'a> {
    /// The place of the token in the split, from 0. The first token of a split is not predicted.
    pub position: u64,
    /// Its id.
    pub token: u32,
    /// Its text. What is not UTF-8, as in parts of a letter, is U+FFFD.
    pub text: Cow<'a, str>,
    /// Its bytes as hexadecimal digits; none where the text has all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Cross-entropy, in nats.
    pub loss: f32,
    /// Share of the mask values that were kept for the token before it, from which it was predicted: from 0
    /// to 1, the mean over the masks. None without learned masks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<f32>,
}

/// Receives the result of each token, in the order of the text.
pub(super) type ForEachToken<'a> = dyn FnMut(&TokenResult<'_>) -> io::Result<()> + 'a;

impl<'a> TokenResult<'a> {
    fn new(
        position: u64,
        token: u32,
        tokenizer: &'a Tokenizer,
        loss: f32,
        kept: Option<f32>,
    ) -> Self {
        let bytes = tokenizer.token_bytes(token).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let hexadecimal = || bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = matches!(text, Cow::Owned(_)).then(hexadecimal);
        Self {
            position,
            token,
            text,
            bytes,
            loss,
            kept,
        }
    }
}

/// The results of a batch, token by token.
pub(super) struct BatchResults {
    pub(super) losses: Vec<f32>,
    /// None without learned masks.
    pub(super) kept: Option<Vec<f32>>,
}

impl BatchResults {
    pub(super) fn new(model: &Transformer, forward: &Forward, targets: Tensor<2, Int>) -> Self {
        let losses = model.token_losses(forward, targets).into_data();
        Self {
            losses: losses.iter::<f32>().collect(),
            kept: kept_by_token(&forward.masks),
        }
    }

    /// Gives each token's result to `each`. `position` is the place of the first one.
    pub(super) fn report(
        &self,
        position: u64,
        targets: impl Iterator<Item = u32>,
        tokenizer: &Tokenizer,
        each: &mut ForEachToken<'_>,
    ) -> io::Result<()> {
        for (index, token) in targets.enumerate() {
            let kept = self.kept.as_ref().map(|kept| kept[index]);
            let loss = self.losses[index];
            let position = position + index as u64;
            each(&TokenResult::new(position, token, tokenizer, loss, kept))?;
        }
        Ok(())
    }
}

/// The share of the values that are kept for each token, the mean over the masks.
fn kept_by_token(masks: &[Mask]) -> Option<Vec<f32>> {
    let mut sums: Option<Vec<f32>> = None;
    for mask in masks {
        let kept = mask.kept();
        let [batch, time, values] = kept.dims();
        let data = kept.into_data();
        let kept: Vec<f32> = data.iter::<f32>().collect();
        let sums = sums.get_or_insert_with(|| vec![0.0; batch * time]);
        for (sum, kept) in sums.iter_mut().zip(kept.chunks(values)) {
            *sum += kept.iter().sum::<f32>() / values as f32;
        }
    }
    let count = masks.len() as f32;
    sums.map(|sums| sums.into_iter().map(|sum| sum / count).collect())
}
