//! The exponentials of a chunk of tokens, saved for the gradient of the weight.

use super::shape::{BLOCK, STRIDE};
use crate::matrix::View;
use crate::product::{Engine, LeftOperand, Precision};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;

/// Exponentials of `tokens` tokens and all blocks of the vocabulary. If they are not saved, there
/// is room for the logits of one block only.
///
/// If products take pairs of bf16 values, exponentials are rounded and transposed while they are in
/// the cache: `[block, BLOCK, units]`, with two tokens in a unit. Else they stay where the products
/// write the logits: `[block, token, STRIDE]`.
pub(super) struct SavedExponentials {
    values: Scratch,
    tokens: usize,
    engine: Engine,
    rounded: bool,
}

impl SavedExponentials {
    pub(super) fn new(tokens: usize, blocks: Option<usize>, precision: Precision) -> Self {
        let engine = Engine::for_precision(precision);
        let room = if engine.takes_pairs() {
            // Each tile has its own buffer for logits.
            blocks.unwrap_or(0) * BLOCK * engine.units(tokens)
        } else {
            blocks.unwrap_or(1) * tokens * STRIDE
        };
        Self {
            values: scratch(room),
            tokens,
            engine,
            rounded: precision == Precision::Bf16,
        }
    }

    /// The places of all exponentials, which several tasks write.
    pub(super) fn places(&mut self) -> Places<'_> {
        Places {
            tokens: self.tokens,
            engine: self.engine,
            rounded: self.rounded,
            values: Shared::new(&mut self.values),
        }
    }

    /// The exponentials of a block of `rows` words as a left operand, `[words, tokens]`.
    pub(super) fn block(&self, block: usize, rows: usize) -> LeftOperand<'_> {
        if self.engine.takes_pairs() {
            let of_block = BLOCK * self.engine.units(self.tokens);
            let values = &self.values[block * of_block..][..of_block];
            return LeftOperand::from_packed(values, BLOCK, self.tokens, self.engine);
        }
        let values = &self.values[block * self.tokens * STRIDE..];
        let view = View::new(values, self.tokens, rows, STRIDE).transposed();
        LeftOperand::new(view, self.engine, self.rounded)
    }
}

/// The places of exponentials.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    tokens: usize,
    engine: Engine,
    rounded: bool,
    values: Shared<'a>,
}

impl<'a> Places<'a> {
    /// Where the logits of a tile of tokens are written, `[token, STRIDE]`: the place of their
    /// exponentials, or a buffer that the tile uses for every block.
    ///
    /// # Safety
    /// No other task asks for this block and these tokens.
    pub(super) unsafe fn logits<'b>(
        &self,
        block: usize,
        (first, tokens): (usize, usize),
        buffer: &'b mut Option<Scratch>,
    ) -> &'b mut [f32]
    where
        'a: 'b,
    {
        if self.engine.takes_pairs() {
            return buffer.get_or_insert_with(|| scratch(tokens * STRIDE));
        }
        let from = (block * self.tokens + first) * STRIDE;
        // SAFETY: the caller guarantees it.
        unsafe { self.values.slice(from, tokens * STRIDE) }
    }

    /// Room for the exponentials of a tile of tokens and one block, as a left operand.
    pub(super) fn left_operands(&self, tokens: usize) -> LeftExponentials {
        let room = LeftOperand::packed_len(tokens, BLOCK, self.engine);
        let engine = self.engine;
        LeftExponentials {
            values: engine.takes_pairs().then(|| scratch(room)),
            tokens,
            engine,
            rounded: self.rounded,
        }
    }

    /// Saves the exponentials of some tokens and a block of `rows` words, unless they are in their
    /// place already. The first token is a multiple of [`GROUP`](super::shape::GROUP). With the
    /// last token the rest of the units is filled up.
    ///
    /// # Safety
    /// As for [`logits`](Self::logits).
    pub(super) unsafe fn save(
        &self,
        block: usize,
        (first, tokens): (usize, usize),
        rows: usize,
        exponentials: &[f32],
    ) {
        if !self.engine.takes_pairs() {
            return;
        }
        let left = View::new(exponentials, tokens, rows, STRIDE).transposed();
        let from = block * BLOCK * self.engine.units(self.tokens);
        let operand = (self.tokens, self.engine);
        // SAFETY: these units of these rows belong to these tokens alone.
        unsafe { LeftOperand::pack_terms(self.values, from, operand, first, left) };
    }
}

/// The exponentials of a tile of tokens and one block, as the left operand of the gradient of the
/// hidden state: packed as pairs, or in their place.
pub(super) struct LeftExponentials {
    values: Option<Scratch>,
    tokens: usize,
    engine: Engine,
    rounded: bool,
}

impl LeftExponentials {
    /// Packs the exponentials of some tokens, `[token, STRIDE]`, from the tile's token `first` on.
    pub(super) fn pack(&mut self, first: usize, rows: usize, exponentials: &[f32]) {
        if let Some(values) = &mut self.values {
            let units = self.engine.units(rows);
            let view = View::new(exponentials, exponentials.len() / STRIDE, rows, STRIDE);
            LeftOperand::pack_rows(&mut values[first * units..], view, self.engine);
        }
    }

    /// The operand `[tokens, rows]`. `exponentials` are those of all tokens of the tile.
    pub(super) fn operand<'a>(&'a self, rows: usize, exponentials: &'a [f32]) -> LeftOperand<'a> {
        match &self.values {
            Some(values) => {
                let tokens = LeftOperand::padded_rows(self.tokens, self.engine);
                LeftOperand::from_packed(values, tokens, rows, self.engine)
            }
            None => {
                let view = View::new(exponentials, self.tokens, rows, STRIDE);
                LeftOperand::new(view, self.engine, self.rounded)
            }
        }
    }
}
