//! Counts of the characters that a tokenizer does not know.

use std::collections::BTreeMap;

use crate::sources::{LeftOut, Reason};

/// How often each character became the unknown token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnknownCharacters(BTreeMap<char, u64>);

impl UnknownCharacters {
    /// Counts the characters of a text whose ids are `unknown`. Each character is one token.
    pub fn add(&mut self, text: &str, ids: &[u32], unknown: u32) {
        // Most texts have none, and looking at the ids alone is faster.
        if !ids.contains(&unknown) {
            return;
        }
        for (character, &id) in text.chars().zip(ids) {
            if id == unknown {
                *self.0.entry(character).or_default() += 1;
            }
        }
    }

    /// Adds other counts.
    pub fn append(&mut self, other: &Self) {
        for (&character, count) in &other.0 {
            *self.0.entry(character).or_default() += count;
        }
    }

    /// The number of all of them.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The most frequent ones with their numbers, as they are named in messages; equally frequent ones
    /// by code point.
    pub fn most_frequent(&self, most: usize) -> Vec<String> {
        let mut counts: Vec<(char, u64)> = self.0.iter().map(|(&of, &count)| (of, count)).collect();
        counts.sort_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
        let named = counts.into_iter().take(most).map(|(character, count)| {
            format!(
                "{character:?} (U+{:04X}): {count} times",
                u32::from(character)
            )
        });
        named.collect()
    }

    /// Reports them, the most frequent ones as examples.
    pub fn report(&self, left_out: &mut LeftOut) {
        left_out.add_tally(Reason::UnknownCharacter, self.count(), |most| {
            self.most_frequent(most)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_ones_come_first() {
        let mut counts = UnknownCharacters::default();
        counts.add("aäböcä", &[0, 9, 1, 9, 2, 9], 9);
        counts.add("abc", &[0, 1, 2], 9);
        let mut more = UnknownCharacters::default();
        more.add("\n\u{301}öü", &[9, 9, 9, 9], 9);
        counts.append(&more);
        assert_eq!(counts.count(), 7);
        assert_eq!(
            counts.most_frequent(3),
            [
                "'ä' (U+00E4): 2 times",
                "'ö' (U+00F6): 2 times",
                "'\\n' (U+000A): 1 times"
            ]
        );
    }
}
