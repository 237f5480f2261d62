//! Use of a byte-level byte-pair encoding.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::definition::BytePairs;
use super::pieces;

/// The longest piece, in bytes, whose best pair is found by looking at all of them. A longer one takes
/// a heap, so that the time grows in proportion to `n log n` and not to the square.
const LONGEST_SCAN: usize = 48;

/// What is known of pairs of tokens.
pub(crate) type PairMap<T> = HashMap<u64, T, BuildHasherDefault<PairHasher>>;

/// The key of a pair in a [`PairMap`].
pub(crate) fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Hashes the key of a pair by one multiplication.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // 2^64 divided by the golden ratio; the tables use both the low and the high bits.
        let product = u128::from(value ^ 0x243F_6A88_85A3_08D3) * 0x9E37_79B9_7F4A_7C15_u128;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

/// A merge: a lower rank comes first.
#[derive(Clone, Copy, Debug)]
struct Merge {
    rank: u32,
    token: u32,
}

/// Encodes text with the tokens and merges of a [`BytePairs`].
#[derive(Debug)]
pub(crate) struct PairEncoder {
    of_bytes: [u32; 256],
    merges: PairMap<Merge>,
}

impl PairEncoder {
    /// An encoder for a checked definition, or the reason why there is none.
    pub fn new(pairs: &BytePairs) -> Result<Self, String> {
        let ids: HashMap<&[u8], u32> = pairs
            .tokens
            .iter()
            .map(Vec::as_slice)
            .zip(0..)
            .filter(|&(_, id)| Some(id) != pairs.end_of_text)
            .collect();
        let mut of_bytes = [0; 256];
        for (byte, id) in (0..=255_u8).zip(&mut of_bytes) {
            *id = *ids
                .get([byte].as_slice())
                .ok_or_else(|| format!("no token stands for byte {byte}"))?;
        }
        let mut merges = PairMap::default();
        merges.reserve(pairs.merges.len());
        for (rank, &(left, right)) in (0..).zip(&pairs.merges) {
            let bytes = [left, right].map(|id| pairs.tokens[id as usize].as_slice());
            let token = *ids
                .get(bytes.concat().as_slice())
                .ok_or_else(|| format!("merge {rank} makes no token of the vocabulary"))?;
            // Of a pair that is named twice, the last one counts, as in the tokenizers library.
            merges.insert(key(left, right), Merge { rank, token });
        }
        Ok(Self { of_bytes, merges })
    }

    /// The ids of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        // Most pieces of a text occur in it several times.
        let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
        for piece in pieces::pieces(text) {
            if let Some(before) = seen.get(piece) {
                ids.extend_from_within(before.clone());
                continue;
            }
            let start = ids.len();
            let symbols = piece.bytes().map(|byte| self.of_bytes[usize::from(byte)]);
            ids.extend(symbols);
            if piece.len() <= LONGEST_SCAN {
                self.merge_by_scan(&mut ids, start);
            } else {
                self.merge_by_heap(&mut ids, start);
            }
            seen.insert(piece, start..ids.len());
        }
        ids
    }

    fn merge(&self, left: u32, right: u32) -> Option<Merge> {
        self.merges.get(&key(left, right)).copied()
    }

    /// Merges the symbols from `start` on, the pair of the lowest rank first, and of equal pairs the
    /// leftmost.
    fn merge_by_scan(&self, symbols: &mut Vec<u32>, start: usize) {
        const NONE: Merge = Merge {
            rank: u32::MAX,
            token: 0,
        };
        // The merge of each symbol with the next one.
        let mut merges = [NONE; LONGEST_SCAN];
        let mut count = symbols.len() - start;
        let of_pair = |symbols: &[u32], at: usize| {
            let pair = symbols.get(start + at).zip(symbols.get(start + at + 1));
            pair.and_then(|(&left, &right)| self.merge(left, right))
                .unwrap_or(NONE)
        };
        for (at, merge) in merges.iter_mut().enumerate().take(count.saturating_sub(1)) {
            *merge = of_pair(symbols, at);
        }
        while count > 1 {
            let pairs = merges[..count - 1].iter().enumerate();
            let Some((at, best)) = pairs.min_by_key(|(_, merge)| merge.rank) else {
                return;
            };
            if best.rank == u32::MAX {
                return;
            }
            symbols[start + at] = best.token;
            symbols.remove(start + at + 1);
            merges.copy_within(at + 1..count, at);
            count -= 1;
            merges[at] = of_pair(symbols, at);
            if at > 0 {
                merges[at - 1] = of_pair(symbols, at - 1);
            }
        }
    }

    /// Does the same as [`merge_by_scan`](Self::merge_by_scan) for any number of symbols.
    fn merge_by_heap(&self, symbols: &mut Vec<u32>, start: usize) {
        /// In place of a symbol that was merged into the one before it.
        const GONE: u32 = u32::MAX;
        let list = &mut symbols[start..];
        let count = list.len();
        // The symbols that are left are a list with links in both directions.
        let mut next: Vec<usize> = (1..=count).collect();
        let mut previous: Vec<usize> = (0..count).map(|at| at.wrapping_sub(1)).collect();
        let mut heap: BinaryHeap<Reverse<(u32, usize, u32, u32)>> = BinaryHeap::new();
        for (at, pair) in list.windows(2).enumerate() {
            if let Some(merge) = self.merge(pair[0], pair[1]) {
                heap.push(Reverse((merge.rank, at, pair[0], pair[1])));
            }
        }
        while let Some(Reverse((_, at, left, right))) = heap.pop() {
            let other = next[at];
            // The pair may have been changed by another merge.
            if list[at] != left || list.get(other) != Some(&right) {
                continue;
            }
            let Some(merge) = self.merge(left, right) else {
                continue;
            };
            list[at] = merge.token;
            list[other] = GONE;
            next[at] = next[other];
            if let Some(back) = previous.get_mut(next[at]) {
                *back = at;
            }
            let neighbours = [(previous[at], at), (at, next[at])];
            for (first, second) in neighbours {
                if let (Some(&left), Some(&right)) = (list.get(first), list.get(second))
                    && let Some(merge) = self.merge(left, right)
                {
                    heap.push(Reverse((merge.rank, first, left, right)));
                }
            }
        }
        let mut kept = start;
        for at in start..symbols.len() {
            if symbols[at] != GONE {
                symbols[kept] = symbols[at];
                kept += 1;
            }
        }
        symbols.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::tests::long_words;
    use crate::tokenizer::{Tokenizer, pair_trainer};

    /// Merges as the definition of the encoding says, in time that grows with the square of the length.
    fn plainly(encoder: &PairEncoder, piece: &[u8]) -> Vec<u32> {
        let ids = |&byte: &u8| encoder.of_bytes[usize::from(byte)];
        let mut symbols: Vec<u32> = piece.iter().map(ids).collect();
        loop {
            let pairs = symbols.windows(2).enumerate();
            let merges = pairs.filter_map(|(at, pair)| {
                let merge = encoder.merge(pair[0], pair[1])?;
                Some((merge.rank, at, merge.token))
            });
            let Some((_, at, token)) = merges.min() else {
                return symbols;
            };
            symbols.splice(at..at + 2, [token]);
        }
    }

    fn encoder(tokens: usize, texts: &[String]) -> PairEncoder {
        PairEncoder::new(&pair_trainer::train(tokens, texts).unwrap()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn both_ways_of_merging_follow_the_definition(
            training in "[ab]{1,200}[a-d]{1,100}",
            piece in "[a-e]{0,3}([ab]{0,60}|[a-d]{0,60}|(ab){0,40}|(aab){0,40}|a{0,90})",
            tokens in 258_usize..400,
        ) {
            let encoder = encoder(tokens, &[training]);
            let expected = plainly(&encoder, piece.as_bytes());
            let mut found = vec![7];
            found.extend(piece.bytes().map(|byte| encoder.of_bytes[usize::from(byte)]));
            encoder.merge_by_heap(&mut found, 1);
            prop_assert_eq!(&found[1..], &expected);
            prop_assert_eq!(encoder.encode(&piece), expected);
            if piece.len() <= LONGEST_SCAN {
                found.truncate(1);
                found.extend(piece.bytes().map(|byte| encoder.of_bytes[usize::from(byte)]));
                encoder.merge_by_scan(&mut found, 1);
                prop_assert_eq!(&found[1..], plainly(&encoder, piece.as_bytes()));
            }
        }
    }

    #[test]
    fn long_words_take_no_more_than_seconds() {
        let texts = long_words();
        for tokenizer in [Tokenizer::gpt2(), Tokenizer::train(600, &texts).unwrap()] {
            for text in &texts {
                let begin = Instant::now();
                let ids = tokenizer.encode(text);
                // A square of a million steps would take many minutes.
                assert!(begin.elapsed() < Duration::from_secs(30));
                assert!(ids.len() < text.len());
                assert_eq!(&tokenizer.decode(&ids), text);
            }
        }
    }
}
