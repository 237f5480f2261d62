//! A `tokenizer.json`.
//!
//! A tokenizer that is read encodes any text to ids below its vocabulary and decodes them to the same
//! text, but for characters that it does not know, whole and piece by piece, and is itself written and
//! read again unchanged.

use data::{TextStream, Tokenizer};

use crate::place;

/// Texts with words, numbers, white space of several kinds, long repetitions and special tokens.
const TEXTS: [&str; 6] = [
    "",
    "I'll say it once: \"don't\"  panic,\n\n\tthen 42 more.",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "naïve الشمس 中文 🦀\u{200d}\u{feff}\u{a0}\r\n",
    "<|endoftext|> <0x00> \u{0}\u{1}",
    "ab ab abc abcd abcde",
];

/// Reads a tokenizer and uses it.
pub fn run(bytes: &[u8]) {
    let path = place::file("tokenizer.json", bytes);
    let tokenizer = match Tokenizer::from_file(&path) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("tokenizer.json"), "{message}");
            return;
        }
    };
    check(&tokenizer, bytes);
    let written = tokenizer.to_json();
    let again = place::file("tokenizer.json", written.as_bytes());
    let again = Tokenizer::from_file(again).expect("what was written can be read");
    assert_eq!(again.to_json(), written);
    assert_eq!(again.kind(), tokenizer.kind());
}

/// Checks that a tokenizer keeps texts, among them the beginning of some bytes.
pub(crate) fn check(tokenizer: &Tokenizer, bytes: &[u8]) {
    let own = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    for text in TEXTS.into_iter().chain([own.as_ref()]) {
        let ids = tokenizer.encode(text);
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary()));
        let text = kept(tokenizer, text);
        assert_eq!(tokenizer.decode(&ids), text);
        let mut stream = TextStream::new(tokenizer);
        let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, text);
    }
    let vocabulary = u32::try_from(tokenizer.vocabulary()).expect("ids have 32 bits");
    assert!(tokenizer.token_bytes(vocabulary).is_none());
    assert!((0..vocabulary).all(|id| tokenizer.token_bytes(id).is_some()));
    assert!(tokenizer.end_of_text().is_none_or(|id| id < vocabulary));
}

/// A text with U+FFFD in the place of each character that a tokenizer does not know.
fn kept(tokenizer: &Tokenizer, text: &str) -> String {
    let Some(unknown) = tokenizer.unknown() else {
        return text.into();
    };
    let kept = |character: char| {
        let ids = tokenizer.encode(character.encode_utf8(&mut [0; 4]));
        if ids == [unknown] {
            '\u{FFFD}'
        } else {
            character
        }
    };
    text.chars().map(kept).collect()
}
