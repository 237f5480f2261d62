//! Writing `tokenizer.json`, in the format of the Hugging Face tokenizers library.

use serde::Serialize;

use super::byte_symbols;
use super::definition::{Definition, END_OF_TEXT, Others, UNKNOWN, fallback};

/// The contents of the `tokenizer.json` with this definition.
pub(crate) fn contents(definition: &Definition) -> String {
    let byte_level = |use_regex: bool| Part::ByteLevel {
        add_prefix_space: false,
        trim_offsets: true,
        use_regex,
    };
    let others = match definition {
        Definition::Characters(characters) => Some(characters.others),
        Definition::Byte | Definition::BytePairs(_) => None,
    };
    let (pre_tokenizer, decoder) = match others {
        None => {
            let has_pieces = matches!(definition, Definition::BytePairs(_));
            (Some(byte_level(has_pieces)), byte_level(true))
        }
        Some(others) => {
            let first = match others {
                Others::Unknown => Part::Replace {
                    pattern: Pattern::String(UNKNOWN),
                    content: "\u{FFFD}",
                },
                Others::Bytes => Part::ByteFallback {},
            };
            let decoders = vec![first, Part::Fuse {}];
            (None, Part::Sequence { decoders })
        }
    };
    let tokens = symbols(definition);
    let pairs = match definition {
        Definition::BytePairs(pairs) => Some(pairs),
        Definition::Byte | Definition::Characters(_) => None,
    };
    let merges = pairs.map_or(&[][..], |pairs| &pairs.merges);
    let merges = merges
        .iter()
        .map(|&(left, right)| {
            [
                tokens[left as usize].as_str(),
                tokens[right as usize].as_str(),
            ]
        })
        .collect();
    let end_of_text = pairs.and_then(|pairs| pairs.end_of_text);
    let file = File {
        version: "1.0",
        truncation: (),
        padding: (),
        added_tokens: end_of_text.map(AddedToken::special).into_iter().collect(),
        normalizer: (),
        pre_tokenizer,
        post_processor: (),
        decoder,
        model: Model {
            kind: "BPE",
            dropout: (),
            unk_token: (others == Some(Others::Unknown)).then_some(UNKNOWN),
            continuing_subword_prefix: (),
            end_of_word_suffix: (),
            fuse_unk: false,
            byte_fallback: others == Some(Others::Bytes),
            ignore_merges: false,
            vocab: InOrder(&tokens),
            merges,
        },
    };
    let mut text = serde_json::to_string_pretty(&file).expect("strings and numbers serialize");
    text.push('\n');
    text
}

/// How the tokens are written, by id.
fn symbols(definition: &Definition) -> Vec<String> {
    match definition {
        Definition::Byte => (0..=255)
            .map(|byte| byte_symbols::to_symbols(&[byte]))
            .collect(),
        Definition::Characters(vocabulary) => {
            let own = vocabulary.characters.iter().map(char::to_string);
            match vocabulary.others {
                Others::Unknown => own.chain([UNKNOWN.into()]).collect(),
                Others::Bytes => (0..=255).map(fallback).chain(own).collect(),
            }
        }
        Definition::BytePairs(pairs) => (0..)
            .zip(&pairs.tokens)
            .map(|(id, token)| match pairs.end_of_text {
                Some(end) if end == id => END_OF_TEXT.into(),
                _ => byte_symbols::to_symbols(token),
            })
            .collect(),
    }
}

#[derive(Serialize)]
struct File<'a> {
    version: &'static str,
    truncation: (),
    padding: (),
    added_tokens: Vec<AddedToken>,
    normalizer: (),
    pre_tokenizer: Option<Part>,
    post_processor: (),
    decoder: Part,
    model: Model<'a>,
}

#[derive(Serialize)]
struct AddedToken {
    id: u32,
    content: &'static str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl AddedToken {
    fn special(id: u32) -> Self {
        Self {
            id,
            content: END_OF_TEXT,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Part {
    ByteLevel {
        add_prefix_space: bool,
        trim_offsets: bool,
        use_regex: bool,
    },
    ByteFallback {},
    Replace {
        pattern: Pattern,
        content: &'static str,
    },
    Fuse {},
    Sequence {
        decoders: Vec<Part>,
    },
}

#[derive(Serialize)]
enum Pattern {
    String(&'static str),
}

#[derive(Serialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: (),
    unk_token: Option<&'static str>,
    continuing_subword_prefix: (),
    end_of_word_suffix: (),
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: InOrder<'a>,
    merges: Vec<[&'a str; 2]>,
}

/// A vocabulary as a JSON object in the order of its ids.
struct InOrder<'a>(&'a [String]);

impl Serialize for InOrder<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(0_u32..))
    }
}
