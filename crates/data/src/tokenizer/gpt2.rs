//! GPT-2's byte-pair encoding, whose vocabulary is built into the program.

use std::collections::HashMap;
use std::sync::LazyLock;

use tiktoken::CoreBpe;

use super::definition::BytePairs;
use super::token_table::TokenTable;

/// The id of end-of-text, which is the last one.
pub(crate) const END_OF_TEXT: u32 = 50_256;
/// The number of tokens.
pub(crate) const VOCABULARY: u32 = 50_257;

/// The fast encoder.
pub(crate) fn encoder() -> &'static CoreBpe {
    tiktoken::get_encoding("gpt2").expect("the vocabulary is compiled in")
}

/// The bytes of every token.
pub(crate) fn table() -> TokenTable {
    let encoder = encoder();
    (0..VOCABULARY).map(|id| encoder.decode(&[id])).collect()
}

/// The vocabulary and merges, which the ranks of the tokens determine.
///
/// A token of two bytes or more was made by merging two tokens of lower rank; which two is found
/// by encoding its bytes with the tokens of lower rank alone.
pub(crate) fn byte_pairs() -> &'static BytePairs {
    static PAIRS: LazyLock<BytePairs> = LazyLock::new(|| {
        let tokens: Vec<Vec<u8>> = table().iter().map(<[u8]>::to_vec).collect();
        let ranks: HashMap<&[u8], u32> = tokens
            .iter()
            .map(Vec::as_slice)
            .zip(0..)
            .filter(|&(_, id)| id != END_OF_TEXT)
            .collect();
        let merges = (0..END_OF_TEXT)
            .filter(|&id| tokens[id as usize].len() > 1)
            .map(|id| parents(&tokens[id as usize], id, &ranks))
            .collect();
        BytePairs {
            merges,
            tokens,
            end_of_text: Some(END_OF_TEXT),
        }
    });
    &PAIRS
}

/// The two tokens below `rank` that a token is merged from.
fn parents(token: &[u8], rank: u32, ranks: &HashMap<&[u8], u32>) -> (u32, u32) {
    let mut cuts: Vec<usize> = (0..=token.len()).collect();
    while cuts.len() > 3 {
        let (_, first) = cuts
            .windows(3)
            .enumerate()
            .filter_map(|(index, cut)| Some((*ranks.get(&token[cut[0]..cut[2]])?, index)))
            .filter(|&(lower, _)| lower < rank)
            .min()
            .expect("every token of the vocabulary is a merge of two others");
        cuts.remove(first + 1);
    }
    let id = |range: std::ops::Range<usize>| ranks[&token[range]];
    (id(cuts[0]..cuts[1]), id(cuts[1]..cuts[2]))
}
