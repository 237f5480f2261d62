//! Reading `tokenizer.json`, in the format of the Hugging Face tokenizers library.
//!
//! The file is not read with that library, because the library trusts its input. Here every vocabulary
//! and merge is checked before it is used.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::byte_symbols;

/// How end-of-text is written in a vocabulary.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";

/// How the token of unknown characters is written in a vocabulary.
pub(crate) const UNKNOWN: &str = "<unk>";

/// The content of a `tokenizer.json` of a known kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    /// One token for each byte, its id the byte's value.
    Byte,
    /// One token for each of some characters.
    Characters(Characters),
    /// A byte-level byte-pair encoding.
    BytePairs(BytePairs),
}

/// A vocabulary of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Characters {
    /// The characters in ascending order, as their ids are.
    pub characters: Vec<char>,
    /// What all others become.
    pub others: Others,
}

/// What a vocabulary of characters makes of a character that it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// The token `<unk>`, whose id follows those of the characters.
    Unknown,
    /// Its bytes in UTF-8. Their 256 tokens precede those of the characters. This program no longer
    /// makes such vocabularies, but reads them.
    Bytes,
}

/// The tokens and merges of a byte-level byte-pair encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BytePairs {
    /// The bytes of each token by id, end-of-text included.
    pub tokens: Vec<Vec<u8>>,
    /// Ids of the pairs that become one token, the most important first.
    pub merges: Vec<(u32, u32)>,
    /// The id of end-of-text.
    pub end_of_text: Option<u32>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Option<Value>,
    #[serde(default)]
    pre_tokenizer: Option<PreTokenizer>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct PreTokenizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Model {
    // GPT-2's own file does not name its type.
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: BTreeMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
}

/// Newer files write a merge as two strings, older ones as one with a space between.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// Reads the contents of a `tokenizer.json`; an error is the reason why it cannot be used.
pub(crate) fn parse(contents: &str) -> Result<Definition, String> {
    let file: File = serde_json::from_str(contents).map_err(|error| error.to_string())?;
    let model = &file.model;
    if model.kind.as_deref().unwrap_or("BPE") != "BPE"
        || model.dropout.is_some_and(|rate| rate != 0.0)
        || model
            .continuing_subword_prefix
            .as_deref()
            .is_some_and(|prefix| !prefix.is_empty())
        || model
            .end_of_word_suffix
            .as_deref()
            .is_some_and(|suffix| !suffix.is_empty())
        || model.ignore_merges
        || file.normalizer.is_some()
    {
        return Err(
            "`model` or `normalizer` is of a kind that is not supported: expected a \
                    plain byte-level BPE or one of single characters, and no normalizer"
                .into(),
        );
    }
    let tokens = tokens_by_id(&file)?;
    match &file.pre_tokenizer {
        None if model.byte_fallback => characters(&file, &tokens, Others::Bytes),
        None if model.unk_token.is_some() => characters(&file, &tokens, Others::Unknown),
        Some(pre) if pre.kind == "ByteLevel" && !pre.add_prefix_space => {
            if pre.use_regex {
                byte_pairs(&file, &tokens).map(Definition::BytePairs)
            } else {
                bytes(&file, &tokens)
            }
        }
        _ => Err(
            "`pre_tokenizer` is of a kind that is not supported: expected \"ByteLevel\" \
                  without a prefix space, or null with an `unk_token` or byte fallback"
                .into(),
        ),
    }
}

/// The vocabulary in the order of its ids, which must be 0, 1, 2 and so on without a gap.
fn tokens_by_id(file: &File) -> Result<Vec<&str>, String> {
    let vocabulary = &file.model.vocab;
    let added = file
        .added_tokens
        .iter()
        .filter(|token| !vocabulary.contains_key(&token.content))
        .map(|token| (token.content.as_str(), token.id));
    let all: Vec<(&str, u32)> = vocabulary
        .iter()
        .map(|(token, &id)| (token.as_str(), id))
        .chain(added)
        .collect();
    let mut tokens = vec![None; all.len()];
    for (token, id) in all {
        match tokens.get_mut(id as usize) {
            Some(place @ None) => *place = Some(token),
            Some(Some(other)) => {
                return Err(format!(
                    "tokens {other:?} and {token:?} have the same id {id}"
                ));
            }
            None => {
                return Err(format!(
                    "token {token:?} has id {id}, expected less than the number of tokens, {}",
                    tokens.len()
                ));
            }
        }
    }
    Ok(tokens.into_iter().flatten().collect())
}

fn bytes(file: &File, tokens: &[&str]) -> Result<Definition, String> {
    let plain = tokens.len() == 256
        && (0..=255).zip(tokens).all(|(byte, &token)| {
            byte_symbols::to_bytes(token).is_some_and(|bytes| bytes == [byte])
        });
    if plain && file.model.merges.is_empty() && file.added_tokens.is_empty() {
        Ok(Definition::Byte)
    } else {
        Err("a vocabulary that is not divided into pieces must be the 256 bytes in order".into())
    }
}

fn characters(file: &File, tokens: &[&str], others: Others) -> Result<Definition, String> {
    if !file.model.merges.is_empty() || !file.added_tokens.is_empty() {
        return Err("a vocabulary of characters has neither merges nor added tokens".into());
    }
    let single = match others {
        Others::Unknown => before_unknown(&file.model, tokens)?,
        Others::Bytes => behind_bytes(tokens)?,
    };
    let mut characters = Vec::with_capacity(single.len());
    for token in single {
        let mut of_token = token.chars();
        match (of_token.next(), of_token.next()) {
            (Some(character), None) if characters.last().is_none_or(|&last| last < character) => {
                characters.push(character);
            }
            _ => {
                return Err(format!(
                    "token {token:?} is not one character in ascending order"
                ));
            }
        }
    }
    Ok(Definition::Characters(Characters { characters, others }))
}

/// The tokens of a vocabulary of characters before its last, which must be the unknown token.
fn before_unknown<'a>(model: &Model, tokens: &'a [&'a str]) -> Result<&'a [&'a str], String> {
    if model.unk_token.as_deref() != Some(UNKNOWN) || model.fuse_unk {
        return Err(format!(
            "expected `unk_token` to be \"{UNKNOWN}\" and `fuse_unk` to be false"
        ));
    }
    match tokens.split_last() {
        Some((&UNKNOWN, single)) => Ok(single),
        _ => Err(format!("expected {UNKNOWN} as the last token")),
    }
}

/// The tokens of a vocabulary of characters behind those of the bytes.
fn behind_bytes<'a>(tokens: &'a [&'a str]) -> Result<&'a [&'a str], String> {
    match tokens.split_at_checked(256) {
        Some((bytes, single)) if (0..=255).map(fallback).eq(bytes.iter().copied()) => Ok(single),
        _ => Err("expected the tokens <0x00> to <0xFF> as ids 0 to 255".into()),
    }
}

fn byte_pairs(file: &File, tokens: &[&str]) -> Result<BytePairs, String> {
    if let Some(other) = file
        .added_tokens
        .iter()
        .find(|token| token.content != END_OF_TEXT)
    {
        return Err(format!(
            "added token {:?} is not supported: expected {END_OF_TEXT} alone",
            other.content
        ));
    }
    let added = file.added_tokens.first();
    let end_of_text = match added {
        Some(token) if tokens.get(token.id as usize) == Some(&END_OF_TEXT) => Some(token.id),
        Some(token) => {
            return Err(format!(
                "`added_tokens` gives {END_OF_TEXT} id {}, `vocab` another",
                token.id
            ));
        }
        None => None,
    };
    let mut of_tokens = Vec::with_capacity(tokens.len());
    for (id, token) in (0..).zip(tokens) {
        of_tokens.push(if Some(id) == end_of_text {
            END_OF_TEXT.into()
        } else {
            byte_symbols::to_bytes(token)
                .filter(|bytes| !bytes.is_empty())
                .ok_or_else(|| format!("token {token:?} is not written in byte symbols"))?
        });
    }
    let ids: HashMap<&str, u32> = tokens
        .iter()
        .copied()
        .zip(0..)
        .filter(|&(_, id)| Some(id) != end_of_text)
        .collect();
    if let Some(byte) =
        (0..=255).find(|&byte| !ids.contains_key(byte_symbols::to_symbols(&[byte]).as_str()))
    {
        return Err(format!("no token stands for byte {byte}"));
    }
    let id_of = |token: &str| {
        ids.get(token)
            .copied()
            .ok_or_else(|| format!("a merge needs {token:?}, which is no token"))
    };
    let mut merges = Vec::with_capacity(file.model.merges.len());
    for merge in &file.model.merges {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
            Merge::Line(line) => line
                .split_once(' ')
                .ok_or_else(|| format!("merge {line:?} is not two tokens with a space between"))?,
        };
        id_of(&format!("{left}{right}"))?;
        merges.push((id_of(left)?, id_of(right)?));
    }
    Ok(BytePairs {
        tokens: of_tokens,
        merges,
        end_of_text,
    })
}

/// How the token of a byte is written in a vocabulary of characters.
pub(crate) fn fallback(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}
