//! Training of a byte-level byte-pair encoding.
//!
//! The most frequent pair of neighbouring tokens becomes a new token, again and again. The tokens of all
//! different pieces of the text stand in one array, with the places of every pair beside it. So a
//! merge takes time in proportion to the number of places that it changes, however long a piece is.

use std::collections::{BinaryHeap, HashMap};

use rayon::prelude::*;

use super::definition::{BytePairs, END_OF_TEXT};
use super::pair_encoder::{PairMap, key};
use super::{byte_symbols, pieces};

/// The most bytes of a trained token. Without a limit, a megabyte of one letter would become tokens of
/// half a megabyte, a quarter, and so on, which no other text contains.
pub(crate) const LONGEST_TOKEN: usize = 256;

/// Between two pieces.
const BOUNDARY: u32 = u32::MAX;
/// Inside a token.
const INSIDE: u32 = u32::MAX - 1;

/// Trains an encoding of at most `tokens` tokens, end-of-text being the last.
///
/// Of equally frequent pairs, the one with the lower ids becomes a token first. The result depends on
/// the texts' contents alone, not on the number of threads.
pub(crate) fn train(tokens: usize, texts: &[String]) -> Result<BytePairs, String> {
    let mut training = Training::new(&frequencies(texts))?;
    while training.tokens.len() < tokens - 1 {
        let Some((left, right)) = training.most_frequent() else {
            break;
        };
        training.merge(left, right);
    }
    let end_of_text = u32::try_from(training.tokens.len()).ok();
    training.tokens.push(END_OF_TEXT.into());
    Ok(BytePairs {
        tokens: training.tokens,
        merges: training.merges,
        end_of_text,
    })
}

/// How often each piece occurs.
fn frequencies(texts: &[String]) -> HashMap<&str, u32> {
    texts
        .par_iter()
        .fold(HashMap::new, |mut found: HashMap<&str, u32>, text| {
            for piece in pieces::pieces(text) {
                *found.entry(piece).or_default() += 1;
            }
            found
        })
        .reduce(HashMap::new, |first, second| {
            let (mut all, fewer) = if first.len() < second.len() {
                (second, first)
            } else {
                (first, second)
            };
            for (piece, count) in fewer {
                *all.entry(piece).or_default() += count;
            }
            all
        })
}

/// Where a pair of tokens stands.
#[derive(Default)]
struct Places {
    /// How often the pair occurs in the text. Pairs that share a token count each: `aaa` has two.
    count: u64,
    /// Where its first token begins; some of these places hold other tokens by now.
    starts: Vec<u32>,
}

struct Training {
    /// The first and the last place of each token hold its id, those between them [`INSIDE`].
    symbols: Vec<u32>,
    /// How often the piece around each place occurs in the text.
    weights: Vec<u32>,
    pairs: PairMap<Places>,
    /// Pairs with the count that they had when they were put in. The key is inverted, so that the lowest
    /// one comes first.
    queue: BinaryHeap<(u64, u64)>,
    tokens: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    merges: Vec<(u32, u32)>,
}

impl Training {
    fn new(frequencies: &HashMap<&str, u32>) -> Result<Self, String> {
        let length: usize = frequencies.keys().map(|piece| piece.len() + 1).sum();
        if u32::try_from(length).is_err() {
            return Err(format!(
                "its text has {length} bytes of different words, expected less than 4 GiB"
            ));
        }
        let mut bytes: Vec<u8> = (0..=255).collect();
        bytes.sort_unstable_by_key(|&byte| byte_symbols::symbol(byte));
        let mut of_bytes = [0; 256];
        for (&byte, id) in bytes.iter().zip(0..) {
            of_bytes[usize::from(byte)] = id;
        }
        let mut symbols = Vec::with_capacity(length + 1);
        let mut weights = Vec::with_capacity(length + 1);
        symbols.push(BOUNDARY);
        weights.push(0);
        for (piece, &count) in frequencies {
            symbols.extend(piece.bytes().map(|byte| of_bytes[usize::from(byte)]));
            symbols.push(BOUNDARY);
            weights.resize(symbols.len(), count);
        }
        let mut pairs: PairMap<Places> = PairMap::default();
        for (start, pair) in (0_u32..).zip(symbols.windows(2)) {
            if pair[0] != BOUNDARY && pair[1] != BOUNDARY {
                let places = pairs.entry(key(pair[0], pair[1])).or_default();
                places.count += u64::from(weights[start as usize]);
                places.starts.push(start);
            }
        }
        let queue = pairs
            .iter()
            .map(|(&pair, places)| (places.count, !pair))
            .collect();
        let tokens: Vec<Vec<u8>> = bytes.into_iter().map(|byte| vec![byte]).collect();
        Ok(Self {
            symbols,
            weights,
            pairs,
            queue,
            ids: tokens.iter().cloned().zip(0..).collect(),
            tokens,
            merges: Vec::new(),
        })
    }

    /// Finds the most frequent pair; of equal ones, the one of the lowest ids.
    fn most_frequent(&mut self) -> Option<(u32, u32)> {
        while let Some((count, inverted)) = self.queue.pop() {
            let Some(places) = self.pairs.get(&!inverted) else {
                continue;
            };
            match places.count {
                0 => {
                    self.pairs.remove(&!inverted);
                }
                now if now == count => {
                    return Some(((!inverted >> 32) as u32, !inverted as u32));
                }
                now => self.queue.push((now, inverted)),
            }
        }
        None
    }

    /// Makes one token of a pair wherever it stands.
    fn merge(&mut self, left: u32, right: u32) {
        let Some(places) = self.pairs.remove(&key(left, right)) else {
            return;
        };
        let bytes = [left, right]
            .map(|id| self.tokens[id as usize].as_slice())
            .concat();
        let [left_length, length] = [self.length(left), bytes.len()];
        let token = match self.ids.get(&bytes) {
            Some(&token) => token,
            None => {
                let token = self.tokens.len() as u32;
                self.tokens.push(bytes.clone());
                self.ids.insert(bytes, token);
                token
            }
        };
        self.merges.push((left, right));
        let mut starts = places.starts;
        // In a run such as `aaa`, the first pair is the one that is merged.
        starts.sort_unstable();
        let mut grown: Vec<u64> = Vec::new();
        for start in starts {
            let first = start as usize;
            let second = first + left_length;
            if self.symbols[first] != left || self.symbols[second] != right {
                continue;
            }
            let end = first + length;
            let (before, after) = (self.symbols[first - 1], self.symbols[end]);
            let weight = u64::from(self.weights[first]);
            self.symbols[second - 1] = INSIDE;
            self.symbols[second] = INSIDE;
            self.symbols[first] = token;
            self.symbols[end - 1] = token;
            if before != BOUNDARY {
                self.lessen(before, left, weight);
                let start = first - self.length(before);
                self.add(before, token, weight, start, &mut grown);
            }
            if after != BOUNDARY {
                self.lessen(right, after, weight);
                self.add(token, after, weight, first, &mut grown);
            }
        }
        grown.sort_unstable();
        grown.dedup();
        for pair in grown {
            if let Some(places) = self.pairs.get(&pair) {
                self.queue.push((places.count, !pair));
            }
        }
    }

    fn length(&self, token: u32) -> usize {
        self.tokens[token as usize].len()
    }

    fn lessen(&mut self, left: u32, right: u32, weight: u64) {
        // Pairs that are too long are not counted, and the pair that is being merged not any more.
        if let Some(places) = self.pairs.get_mut(&key(left, right)) {
            places.count = places.count.saturating_sub(weight);
        }
    }

    fn add(&mut self, left: u32, right: u32, weight: u64, start: usize, grown: &mut Vec<u64>) {
        if self.length(left) + self.length(right) > LONGEST_TOKEN {
            return;
        }
        let places = self.pairs.entry(key(left, right)).or_default();
        places.count += weight;
        places.starts.push(start as u32);
        grown.push(key(left, right));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::tokenizer::Trainer;

    use super::*;
    use crate::tokenizer::tests::long_words;

    /// Trains by counting all pairs again after each merge.
    fn plainly(tokens: usize, texts: &[String]) -> Vec<Vec<u8>> {
        let mut found: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
        found.sort_by_key(|token| byte_symbols::symbol(token[0]));
        let mut words: Vec<Vec<usize>> = texts
            .iter()
            .flat_map(|text| pieces::pieces(text))
            .map(|piece| {
                let id = |byte| found.iter().position(|token| *token == [byte]).unwrap();
                piece.bytes().map(id).collect()
            })
            .collect();
        while found.len() < tokens - 1 {
            let mut counts: HashMap<(usize, usize), u64> = HashMap::new();
            for pair in words.iter().flat_map(|word| word.windows(2)) {
                if found[pair[0]].len() + found[pair[1]].len() <= LONGEST_TOKEN {
                    *counts.entry((pair[0], pair[1])).or_default() += 1;
                }
            }
            let best = counts
                .into_iter()
                .max_by_key(|&(pair, count)| (count, std::cmp::Reverse(pair)));
            let Some(((left, right), _)) = best else {
                break;
            };
            let bytes = [found[left].as_slice(), &found[right]].concat();
            let known = found.iter().position(|token| *token == bytes);
            let token = known.unwrap_or(found.len());
            if known.is_none() {
                found.push(bytes);
            }
            for word in &mut words {
                let mut at = 0;
                while at + 1 < word.len() {
                    if (word[at], word[at + 1]) == (left, right) {
                        word.splice(at..at + 2, [token]);
                    }
                    at += 1;
                }
            }
        }
        found.push(END_OF_TEXT.into());
        found
    }

    #[test]
    fn every_merge_is_that_of_the_most_frequent_pair() {
        use proptest::prelude::*;
        use proptest::strategy::ValueTree;
        let texts = "(a{0,40}|(ab){0,20}|[abc ]{0,30}|é{0,9}|(abcab){0,9}){1,6}";
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..200 {
            let texts = prop::collection::vec(texts, 1..4);
            let texts: Vec<String> = texts.new_tree(&mut runner).unwrap().current();
            for tokens in [257, 262, 300] {
                let found = train(tokens, &texts).unwrap();
                assert_eq!(found.tokens, plainly(tokens, &texts), "{texts:?}");
            }
        }
    }

    #[test]
    fn the_tokenizers_crate_trains_the_same() {
        let text: String = include_str!("pair_trainer.rs").repeat(2) + include_str!("mod.rs");
        let texts = [text];
        let alphabet = (0..=255).map(byte_symbols::symbol).collect();
        let mut trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(1199)
            .initial_alphabet(alphabet)
            .build();
        let symbols = |piece: &str| byte_symbols::to_symbols(piece.as_bytes());
        trainer
            .feed(texts.iter(), |text| {
                Ok(pieces::pieces(text).map(symbols).collect())
            })
            .unwrap();
        let mut model = BPE::default();
        trainer.train(&mut model).unwrap();
        let found = train(1200, &texts).unwrap();
        assert_eq!(found.tokens.len(), 1200);
        let theirs = model.get_vocab();
        for (token, id) in found.tokens[..1199].iter().zip(0..) {
            assert_eq!(theirs.get(&byte_symbols::to_symbols(token)), Some(&id));
        }
    }

    #[test]
    fn tokens_of_one_letter_have_a_limit() {
        let found = train(400, &["a".repeat(1000)]).unwrap();
        let longest = found.tokens.iter().map(Vec::len).max();
        assert_eq!(longest, Some(LONGEST_TOKEN));
    }

    #[test]
    fn long_words_take_no_more_than_seconds() {
        for text in long_words() {
            let begin = Instant::now();
            train(2000, &[text]).unwrap();
            // A square of a million steps would take many minutes.
            assert!(begin.elapsed() < Duration::from_secs(30));
        }
    }
}
