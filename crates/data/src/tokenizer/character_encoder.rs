//! Use of a vocabulary of characters.

use std::collections::HashMap;

use super::definition::{Characters, Others};
use super::token_table::TokenTable;

/// Encodes text character by character.
#[derive(Debug)]
pub(crate) struct CharacterEncoder {
    definition: Characters,
    ids: HashMap<char, u32>,
    /// The id of the unknown token.
    unknown: Option<u32>,
}

impl CharacterEncoder {
    /// The encoder of a vocabulary.
    pub fn new(definition: Characters) -> Self {
        let first = match definition.others {
            Others::Unknown => 0,
            Others::Bytes => 256,
        };
        // There are about a million characters.
        let after = first + definition.characters.len() as u32;
        Self {
            ids: definition.characters.iter().copied().zip(first..).collect(),
            unknown: (definition.others == Others::Unknown).then_some(after),
            definition,
        }
    }

    /// The vocabulary.
    pub fn definition(&self) -> &Characters {
        &self.definition
    }

    /// The id of the token that every other character becomes; none if these become their bytes.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The bytes of all tokens. Nobody knows those of the unknown token: they are U+FFFD.
    pub fn table(&self) -> TokenTable {
        let own = self.definition.characters.iter();
        let own = own.map(|character| character.to_string().into_bytes());
        match self.definition.others {
            Others::Unknown => {
                let unknown = char::REPLACEMENT_CHARACTER.to_string().into_bytes();
                own.chain([unknown]).collect()
            }
            Others::Bytes => (0..=255_u8).map(|byte| vec![byte]).chain(own).collect(),
        }
    }

    /// Encodes a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut encoded = Vec::with_capacity(text.len());
        for character in text.chars() {
            match self.ids.get(&character).copied().or(self.unknown) {
                Some(id) => encoded.push(id),
                None => {
                    let mut buffer = [0; 4];
                    encoded.extend(character.encode_utf8(&mut buffer).bytes().map(u32::from));
                }
            }
        }
        encoded
    }
}
