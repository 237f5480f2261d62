//! Reads a document into any serde type and gathers everything that is wrong with it.
//!
//! serde stops at the first error. Here the key that caused it is removed and the reading starts
//! again, until nothing is wrong any more; so types may come from any crate, and a new key of
//! theirs is known here at once.

use std::fmt::Display;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::document::{Node, Value};
use super::problem::{Problem, suggestion, unknown_key};

/// More problems than anyone reads; it bounds the work on a hostile file.
const MOST_PROBLEMS: usize = 50;

/// Reads `node` as a `T`, whose keys must all be optional to serde.
///
/// Returns the value with every faulty key left out (if it could be read at all), and the
/// problems. `everywhere` are the full paths of all known keys, for suggestions.
pub(crate) fn read<T: DeserializeOwned>(
    node: &Node,
    everywhere: &[String],
) -> (Option<T>, Vec<Problem>) {
    let mut node = node.clone();
    let mut problems = Vec::new();
    loop {
        let failure = match T::deserialize(&node) {
            Ok(value) => return (Some(value), problems),
            Err(failure) => failure,
        };
        let problem = failure.problem(&node, everywhere);
        let path: Vec<String> = failure.full_path(&node);
        problems.push(problem);
        if problems.len() >= MOST_PROBLEMS || !node.remove(&path) {
            return (None, problems);
        }
    }
}

/// The first thing that serde could not read.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Keys from the innermost to the outermost.
    path: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    UnknownWord {
        word: String,
        known: &'static [&'static str],
    },
    MissingKey(&'static str),
    Type {
        found: String,
        expected: String,
    },
    Other(String),
}

impl Failure {
    fn new(kind: Kind) -> Self {
        Self {
            path: Vec::new(),
            kind,
        }
    }

    fn under(mut self, key: &str) -> Self {
        self.path.push(key.into());
        self
    }

    /// The keys from the outermost to the one that is wrong.
    fn full_path(&self, root: &Node) -> Vec<String> {
        let mut path: Vec<String> = self.path.iter().rev().cloned().collect();
        // A tagged enum reads its table before its fields are known: the failure stands at the
        // table, and only the field's name tells which key it is.
        if let Kind::UnknownKey { key, .. } = &self.kind
            && path.last() != Some(key)
        {
            let parts: Vec<&str> = path
                .iter()
                .map(String::as_str)
                .chain([key.as_str()])
                .collect();
            if root.get(&parts).is_some() {
                path.push(key.clone());
            }
        }
        path
    }

    fn problem(&self, root: &Node, everywhere: &[String]) -> Problem {
        let path = self.full_path(root);
        let key = path.join(".");
        let message = match &self.kind {
            Kind::UnknownKey { key, known } => {
                let table = &path[..path.len().saturating_sub(1)];
                unknown_key(&table.join("."), key, known, everywhere)
            }
            Kind::UnknownWord { word, known } => {
                format!("`{key}` is \"{word}\": {}", suggestion(word, known))
            }
            Kind::MissingKey(missing) => format!("`{key}.{missing}` is missing"),
            Kind::Type { found, expected } => format!("`{key}` is {found}: expected {expected}"),
            Kind::Other(message) => format!("`{key}`: {message}"),
        };
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let origin = root
            .get(&parts)
            .map(|node| node.origin.clone())
            .unwrap_or_default();
        Problem {
            key,
            origin,
            message,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "usize" | "u64" | "u32" => "a whole number of at least 0".into(),
            "f64" | "f32" => "a number".into(),
            other if other.starts_with("struct ") => "a table".into(),
            other => other.to_string(),
        };
        Self::new(Kind::Type {
            found: found.to_string(),
            expected,
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey {
            key: field.into(),
            known,
        })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord {
            word: variant.into(),
            known,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::MissingKey(field))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Unusable(text) => Err(serde::de::Error::invalid_type(
                Unexpected::Other(&format!("`{text}`")),
                &visitor,
            )),
            Value::Array(nodes) => {
                let mut items = Items {
                    nodes: nodes.iter(),
                };
                let value = visitor.visit_seq(&mut items)?;
                match items.nodes.len() {
                    0 => Ok(value),
                    over => Err(serde::de::Error::custom(format!(
                        "{} values where {} are expected",
                        nodes.len(),
                        nodes.len() - over
                    ))),
                }
            }
            Value::Table(table) => visitor.visit_map(Entries {
                entries: table.iter(),
                next: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.value {
            Value::String(word) => visitor.visit_enum(Word(word)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The elements of an array.
struct Items<'de> {
    nodes: std::slice::Iter<'de, Node>,
}

impl<'de> SeqAccess<'de> for &mut Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        self.nodes
            .next()
            .map(|node| seed.deserialize(node))
            .transpose()
    }
}

/// The entries of a table.
struct Entries<'de> {
    entries: std::collections::btree_map::Iter<'de, String, Node>,
    next: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let Some((key, node)) = self.entries.next() else {
            return Ok(None);
        };
        self.next = Some((key, node));
        seed.deserialize(StrDeserializer::new(key))
            .map(Some)
            .map_err(|error: Failure| error.under(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, node)) = self.next.take() else {
            return Err(serde::de::Error::custom(
                "a value was asked for before its key",
            ));
        };
        seed.deserialize(node).map_err(|error| error.under(key))
    }
}

/// A string that names one of several alternatives.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        Ok((seed.deserialize(StrDeserializer::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Failure> {
        Err(serde::de::Error::custom(format!(
            "\"{}\" needs more than its name",
            self.0
        )))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Failure> {
        Err(serde::de::Error::custom(format!(
            "\"{}\" needs more than its name",
            self.0
        )))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Failure> {
        Err(serde::de::Error::custom(format!(
            "\"{}\" needs more than its name",
            self.0
        )))
    }
}
