//! Training and use of a byte-level byte-pair encoding.

use std::collections::HashMap;
use std::ops::Range;

use tokenizers::Model;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::tokenizer::Trainer;

use super::definition::{self, BytePairs, END_OF_TEXT};
use super::{byte_symbols, pieces};

/// Encodes text with the tokens and merges of a [`BytePairs`].
#[derive(Debug)]
pub(crate) struct PairEncoder {
    model: BPE,
}

impl PairEncoder {
    /// An encoder for a checked definition, or the reason why there is none.
    pub fn new(pairs: &BytePairs) -> Result<Self, String> {
        let symbols: Vec<String> = pairs
            .tokens
            .iter()
            .map(|token| byte_symbols::to_symbols(token))
            .collect();
        let merges = pairs
            .merges
            .iter()
            .map(|&(left, right)| {
                (
                    symbols[left as usize].clone(),
                    symbols[right as usize].clone(),
                )
            })
            .collect();
        let vocabulary: tokenizers::models::bpe::Vocab = symbols
            .into_iter()
            .zip(0..)
            .filter(|&(_, id)| Some(id) != pairs.end_of_text)
            .collect();
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .cache_capacity(0)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { model })
    }

    /// The ids of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        // Most pieces of a text occur in it several times.
        let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
        let mut symbols = String::new();
        for piece in pieces::pieces(text) {
            if let Some(before) = seen.get(piece) {
                ids.extend_from_within(before.clone());
                continue;
            }
            symbols.clear();
            symbols.extend(piece.bytes().map(byte_symbols::symbol));
            let tokens = self
                .model
                .tokenize(&symbols)
                .expect("every byte has a token, so that none is ever unknown");
            let start = ids.len();
            ids.extend(tokens.iter().map(|token| token.id));
            seen.insert(piece, start..ids.len());
        }
        ids
    }
}

/// Trains an encoding of at most `tokens` tokens, end-of-text being the last.
///
/// The result depends on the texts' contents alone, not on the number of threads.
pub(crate) fn train(tokens: usize, texts: &[String]) -> Result<BytePairs, String> {
    let alphabet = (0..=255).map(byte_symbols::symbol).collect();
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(tokens - 1)
        .initial_alphabet(alphabet)
        .build();
    trainer
        .feed(texts.iter(), |text| {
            Ok(pieces::pieces(text)
                .map(|piece| byte_symbols::to_symbols(piece.as_bytes()))
                .collect())
        })
        .map_err(|error| error.to_string())?;
    let mut model = BPE::default();
    trainer
        .train(&mut model)
        .map_err(|error| error.to_string())?;
    let mut pairs = definition::trained(&model)?;
    pairs.end_of_text = u32::try_from(pairs.tokens.len()).ok();
    pairs.tokens.push(END_OF_TEXT.into());
    Ok(pairs)
}
