//! A token that masks were computed for, and its place.

use super::token_class::TokenClass;

/// A token that masks were computed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudiedToken {
    /// Its number in the vocabulary.
    pub id: u32,
    /// The text that is complete with it; empty in the middle of a character.
    pub text: String,
}

/// A token at its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: StudiedToken,
    pub(super) class: TokenClass,
    /// Tokens of its window before it.
    pub(super) position: usize,
}
