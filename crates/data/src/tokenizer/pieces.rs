//! GPT-2's division of text into pieces; bytes are merged within a piece only.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// GPT-2's pattern without its look-ahead `\s+(?!\S)`, which [`next_piece`] replaces: so the engine
/// needs no backtracking and takes linear time on any text.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+")
        .expect("the pattern is valid")
});

/// The pieces of a text, in order; together they are the whole text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let piece = next_piece(text, position)?;
        position = piece.end;
        Some(&text[piece])
    })
}

fn next_piece(text: &str, position: usize) -> Option<Range<usize>> {
    let mut piece = PATTERN.find_at(text, position)?.range();
    // The last character of white space belongs to the word that follows.
    if piece.end < text.len()
        && let Some(last) = text[piece.clone()].chars().next_back()
        && last.is_whitespace()
        && piece.len() > last.len_utf8()
    {
        piece.end -= last.len_utf8();
    }
    Some(piece)
}

/// The place to cut a text of more than `length` bytes so that the pieces of both parts are those of
/// the whole text.
///
/// Any place before white space that follows another character will do: no piece crosses it, and none
/// depends on the text before. If there is no such place in the first `length` bytes (for example in a
/// megabyte without a space), the cut is at the last character boundary.
pub(crate) fn cut(text: &str, length: usize) -> usize {
    if text.len() <= length {
        return text.len();
    }
    let end = text.floor_char_boundary(length);
    let mut later_is_space = text[end..].chars().next().is_some_and(char::is_whitespace);
    for (position, character) in text[..end].char_indices().rev() {
        let is_space = character.is_whitespace();
        if later_is_space && !is_space {
            return position + character.len_utf8();
        }
        later_is_space = is_space;
    }
    // One character may be longer than `length`; an empty cut would never make progress.
    if end == 0 {
        text.chars().next().map_or(0, char::len_utf8)
    } else {
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collected(text: &str) -> Vec<&str> {
        pieces(text).collect()
    }

    #[test]
    fn words_keep_the_space_before_them() {
        assert_eq!(
            collected("I'll go  home, 42!"),
            ["I", "'ll", " go", " ", " home", ",", " 42", "!"]
        );
        assert_eq!(collected("a \n\n b\n"), ["a", " \n\n", " b", "\n"]);
        assert_eq!(collected("don'T  "), ["don", "'", "T", "  "]);
        assert_eq!(collected(""), [""; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_pieces_are_those_of_the_tokenizers_crate(
            text in "([ \t\r\n\u{3000}]{0,3}|[a-z'’]{0,4}|\\PC{0,3}|[0-9٣½]{0,2}|'(s|ll|T)){0,12}"
        ) {
            use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
            let theirs = tokenizers::pre_tokenizers::byte_level::ByteLevel::new(false, false, true);
            let mut divided = PreTokenizedString::from(text.as_str());
            theirs.pre_tokenize(&mut divided).unwrap();
            let expected: Vec<&str> = divided
                .get_splits(OffsetReferential::Original, OffsetType::Byte)
                .into_iter()
                .map(|(_, (start, end), _)| &text[start..end])
                .collect();
            prop_assert_eq!(collected(&text), expected);
        }

        #[test]
        fn a_cut_changes_no_piece(text in "([ \n]{0,2}|[a-z'é]{1,4}){2,12}", length in 1_usize..30) {
            let at = cut(&text, length);
            prop_assert!(at > 0 || text.is_empty());
            prop_assert!(at <= length.max(4));
            if text[..at].chars().next_back().is_some_and(|c| !c.is_whitespace())
                && text[at..].chars().next().is_some_and(char::is_whitespace)
            {
                let mut parts = collected(&text[..at]);
                parts.extend(collected(&text[at..]));
                prop_assert_eq!(parts, collected(&text));
            }
        }
    }
}
