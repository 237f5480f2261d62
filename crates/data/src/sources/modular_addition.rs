//! Addition modulo a number: a small task that is not language, with a known set of examples.
//!
//! Each pair of numbers makes a document: an equation "a+b=c" with c = (a + b) mod p. A number is one
//! letter, so it is one token with the tokenizer `char`. With part of the pairs held back for
//! validation, this is the task on which Power et al., "Grokking: Generalization Beyond Overfitting on
//! Small Algorithmic Datasets" (2022), saw models generalize long after they knew the training pairs by
//! heart.
//!
//! A language model also learns which equation follows which. So that there is nothing to learn from
//! that, every pair occurs sixteen times, each time after another one. The pairs are divided into twenty
//! parts, and all passes over a part come before the next part. So a division by position at any
//! multiple of 5% leaves no pair on both sides if p² is a multiple of 20, and otherwise at most one.

use xxhash_rust::xxh3::xxh3_64;

use super::input_stream::SharedMeter;
use super::pipeline::{Emit, Halt, RawDocument};

/// The letter of 0: from here on there are 336 letters of extended Latin alphabets.
const FIRST_LETTER: u32 = 0x100;

/// The largest modulus: as many numbers as there are letters.
pub(super) const LARGEST: u32 = 336;

/// Parts that the pairs are divided into.
const PARTS: usize = 20;

/// Number of times that each pair occurs.
const PASSES: u32 = 16;

/// Emits all pairs, part by part.
pub(super) fn read(modulus: u32, meter: &SharedMeter, emit: &mut Emit<'_>) -> Result<(), Halt> {
    let mut pairs: Vec<(u32, u32)> = (0..modulus)
        .flat_map(|a| (0..modulus).map(move |b| (a, b)))
        .collect();
    mix(&mut pairs, 0);
    for part in parts(&pairs) {
        for pass in 1..=PASSES {
            let mut part = part.to_vec();
            mix(&mut part, pass);
            for (a, b) in part {
                let text = equation(a, b, modulus);
                meter.borrow_mut().update(text.as_bytes());
                emit(RawDocument::Text {
                    text,
                    continues: false,
                })?;
            }
        }
    }
    Ok(())
}

/// Sorts pairs pseudo-randomly; the order is the same for the same pass.
fn mix(pairs: &mut [(u32, u32)], pass: u32) {
    pairs.sort_by_cached_key(|(a, b)| xxh3_64(format!("{a}+{b}, pass {pass}").as_bytes()));
}

/// Divides the pairs into parts whose sizes differ by at most one.
fn parts(pairs: &[(u32, u32)]) -> impl Iterator<Item = &[(u32, u32)]> {
    let bound = |part: usize| part * pairs.len() / PARTS;
    (0..PARTS).map(move |part| &pairs[bound(part)..bound(part + 1)])
}

fn equation(a: u32, b: u32, modulus: u32) -> String {
    let letter = |number| char::from_u32(FIRST_LETTER + number).expect("a letter");
    let sum = letter((a + b) % modulus);
    format!("{}+{}={sum}", letter(a), letter(b))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn documents(modulus: u32) -> Vec<String> {
        let mut documents = Vec::new();
        let outcome = read(modulus, &SharedMeter::default(), &mut |document| {
            if let RawDocument::Text { text, .. } = document {
                documents.push(text);
            }
            Ok(())
        });
        assert!(outcome.is_ok());
        documents
    }

    #[test]
    fn every_pair_comes_as_often_with_its_sum() {
        // Ā, ā and Ă are 0, 1 and 2.
        let all = BTreeSet::from([
            "Ā+Ā=Ā", "Ā+ā=ā", "Ā+Ă=Ă", "ā+Ā=ā", "ā+ā=Ă", "ā+Ă=Ā", "Ă+Ā=Ă", "Ă+ā=Ā", "Ă+Ă=ā",
        ]);
        let found = documents(3);
        assert_eq!(found.len(), 9 * PASSES as usize);
        for text in all {
            let count = found.iter().filter(|found| *found == text).count();
            assert_eq!(count, PASSES as usize, "{text}");
        }
    }

    #[test]
    fn a_division_by_position_divides_the_pairs() {
        let found = documents(20);
        for percent in [5, 10, 30, 50, 95] {
            let (train, validation) = found.split_at(found.len() * (100 - percent) / 100);
            let train: BTreeSet<&String> = train.iter().collect();
            assert!(
                !validation.iter().any(|text| train.contains(text)),
                "{percent}%"
            );
        }
    }

    #[test]
    fn what_follows_an_equation_is_mixed_and_letters_are_letters() {
        let found = documents(100);
        let first = &found[0];
        let follows = |index: usize| found.get(index + 1);
        let places = (0..found.len()).filter(|&index| &found[index] == first);
        assert!(places.filter_map(follows).collect::<BTreeSet<_>>().len() > 10);
        let mut letters = found.iter().flat_map(|text| text.chars());
        assert!(letters.all(|letter| letter.is_alphabetic() || "+=".contains(letter)));
    }
}
