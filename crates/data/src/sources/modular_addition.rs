//! Addition modulo a prime: a small task that is no language, of which every example is known.
//!
//! Each pair of numbers is a document, "a+b=c" with c = (a + b) mod p, in an order that looks random
//! and is always the same. A number is one letter, so that with the tokenizer `char` it is one token.
//! With part of the pairs held back for validation, this is the task on which Power et al.,
//! "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets" (2022), saw models
//! generalize long after they knew the training pairs by heart.

use xxhash_rust::xxh3::xxh3_64;

use super::input_stream::SharedMeter;
use super::pipeline::{Emit, Halt, RawDocument};

/// The letter of 0: from here on there are 336 letters of extended Latin alphabets.
const FIRST_LETTER: u32 = 0x100;

/// The largest modulus: as many numbers as there are letters.
pub(super) const LARGEST: u32 = 336;

/// Emits all pairs.
pub(super) fn read(modulus: u32, meter: &SharedMeter, emit: &mut Emit<'_>) -> Result<(), Halt> {
    let mut pairs: Vec<(u32, u32)> = (0..modulus)
        .flat_map(|a| (0..modulus).map(move |b| (a, b)))
        .collect();
    pairs.sort_by_cached_key(|(a, b)| xxh3_64(format!("{a}+{b}").as_bytes()));
    for (a, b) in pairs {
        let text = equation(a, b, modulus);
        meter.borrow_mut().update(text.as_bytes());
        emit(RawDocument::Text {
            text,
            continues: false,
        })?;
    }
    Ok(())
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
    fn every_pair_comes_once_with_its_sum() {
        // Ā, ā and Ă are 0, 1 and 2.
        let all = BTreeSet::from([
            "Ā+Ā=Ā", "Ā+ā=ā", "Ā+Ă=Ă", "ā+Ā=ā", "ā+ā=Ă", "ā+Ă=Ā", "Ă+Ā=Ă", "Ă+ā=Ā", "Ă+Ă=ā",
        ]);
        let found = documents(3);
        assert_eq!(found.len(), 9);
        assert_eq!(
            found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            all
        );
    }

    #[test]
    fn the_order_is_mixed_and_letters_are_letters() {
        let found = documents(LARGEST);
        let firsts = found[..100].iter().map(|text| text.chars().next());
        assert!(firsts.collect::<BTreeSet<_>>().len() > 50);
        let mut letters = found.iter().flat_map(|text| text.chars());
        assert!(letters.all(|letter| letter.is_alphabetic() || "+=".contains(letter)));
    }
}
