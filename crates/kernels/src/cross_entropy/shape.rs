//! The shape of an output layer, and the parts that it is computed in.

use crate::product::{Engine, Precision};

/// Rows of the weight in a block of the vocabulary.
pub(super) const BLOCK: usize = 512;

/// Distance between the rows of logits. It is not a power of two, so that the values of a column lie
/// in many different sets of the cache.
pub(super) const STRIDE: usize = BLOCK + 16;

/// Tokens whose exponentials are computed and packed while they lie in a near cache. Pairs of bf16
/// values then fill a whole cache line for each word. Operands take whole tiles: a multiple of 32.
pub(super) const GROUP: usize = 32;

/// Tiles of a chunk, whose exponentials are saved at a time. Four threads share them evenly, and the
/// chunk's part of the gradient of the weight stays in the second-level cache.
const TILES: usize = 4;

/// The most tokens of a tile, which one thread takes through the vocabulary at a time. Its data stays
/// in the second-level cache. Smaller tiles read the weight, which fits into no cache, more often.
fn most_tokens(precision: Precision) -> usize {
    // Processors with a tile unit have 2 MiB of that cache, and multiply faster than memory delivers
    // the weight.
    if Engine::for_precision(precision).is_amx() {
        192
    } else {
        96
    }
}

/// The shape of an output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of tokens.
    pub tokens: usize,
    /// Channels of a token.
    pub width: usize,
    /// Rows of the weight.
    pub vocabulary: usize,
}

impl Shape {
    pub(super) fn check(&self, hidden: &[f32], weight: &[f32], targets: &[u32]) {
        assert!(
            self.tokens > 0 && self.width > 0 && self.vocabulary > 0,
            "an empty output layer"
        );
        assert_eq!(hidden.len(), self.tokens * self.width, "hidden state");
        assert_eq!(weight.len(), self.vocabulary * self.width, "weight");
        assert_eq!(targets.len(), self.tokens, "one target per token");
        let known = targets
            .iter()
            .all(|&target| (target as usize) < self.vocabulary);
        assert!(known, "targets below the vocabulary");
    }

    /// Blocks of the vocabulary.
    pub(super) fn blocks(&self) -> usize {
        self.vocabulary.div_ceil(BLOCK)
    }

    /// Tokens of a chunk: whole tiles, and the same number for all chunks but the last.
    pub(super) fn chunk(&self, precision: Precision) -> usize {
        let chunks = self.tokens.div_ceil(TILES * most_tokens(precision));
        TILES * tile_of_chunk(self.tokens.div_ceil(chunks), precision)
    }
}

/// Tokens of a tile in a chunk of `chunk` tokens: an even number of tokens, in whole tiles of the
/// engine.
pub(super) fn tile_of_chunk(chunk: usize, precision: Precision) -> usize {
    let rows = Engine::for_precision(precision).rows();
    chunk.div_ceil(TILES).next_multiple_of(rows)
}
