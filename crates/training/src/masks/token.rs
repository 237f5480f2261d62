//! A token that masks were computed for, and its place.

use super::token_class::TokenClass;

/// A token that masks were computed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudiedToken {
    /// Its id in the vocabulary.
    pub id: u32,
    /// The text that the token completes; empty in the middle of a character.
    pub text: String,
}

/// A token and its position.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: StudiedToken,
    pub(super) class: TokenClass,
    /// Number of tokens before it in its window.
    pub(super) position: usize,
}
