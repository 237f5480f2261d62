//! The exponentials of a chunk of tokens, held until the gradient of the weight is made of them.

use super::shape::{BLOCK, STRIDE};
use crate::matrix::View;
use crate::product::{Engine, LeftOperand, Precision};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;

/// Room for the exponentials of `tokens` tokens, block by block of the vocabulary; for those of one block,
/// where they are not to be held.
///
/// Where products take pairs of bf16 values, they are rounded and turned while they lie in the cache:
/// `[block, BLOCK, units]`, a unit two tokens. Else they stay where the products put the logits:
/// `[block, token, STRIDE]`.
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
            // Every tile has a buffer of its own for the logits.
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

    /// The places of all exponentials, to be written by several tasks.
    pub(super) fn places(&mut self) -> Places<'_> {
        Places {
            tokens: self.tokens,
            engine: self.engine,
            rounded: self.rounded,
            values: Shared::new(&mut self.values),
        }
    }

    /// The exponentials of a block of `rows` words, `[words, tokens]`, as a left operand.
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

/// Where exponentials go.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    tokens: usize,
    engine: Engine,
    rounded: bool,
    values: Shared<'a>,
}

impl<'a> Places<'a> {
    /// Where the logits of a tile of tokens are made, `[token, STRIDE]`: in their place, or in a buffer
    /// that the tile uses for every block.
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
        // SAFETY: passed on to the caller.
        unsafe { self.values.slice(from, tokens * STRIDE) }
    }

    /// Room for the exponentials of a tile of tokens and one block as left operands.
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

    /// Takes the exponentials of some tokens and a block of `rows` words, unless they are in their
    /// place. The first token is a multiple of [`GROUP`](super::shape::GROUP), and with the last one what is left of
    /// the units is filled up.
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

/// The exponentials of a tile of tokens and one block as the left operand of the gradient of the hidden
/// state: in pairs, or as they are.
pub(super) struct LeftExponentials {
    values: Option<Scratch>,
    tokens: usize,
    engine: Engine,
    rounded: bool,
}

impl LeftExponentials {
    /// Takes the exponentials of some tokens, `[token, STRIDE]`, from the tile's token `first` on.
    pub(super) fn pack(&mut self, first: usize, rows: usize, exponentials: &[f32]) {
        if let Some(values) = &mut self.values {
            let units = self.engine.units(rows);
            let view = View::new(exponentials, exponentials.len() / STRIDE, rows, STRIDE);
            LeftOperand::pack_rows(&mut values[first * units..], view, self.engine);
        }
    }

    /// The operand, `[tokens, rows]`; `exponentials` are those of all tokens.
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
