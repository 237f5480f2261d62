//! Reads values of a document with serde.
//!
//! The path to an error comes from `serde_path_to_error`. The deserializer is our own because the errors of
//! `toml` are only texts. Here an error must hold the unknown key and the known ones, to suggest the
//! nearest, and the missing key, to continue without it. `serde_ignored` finds unknown keys, but neither
//! the known ones nor unknown keys in a table with a `kind`.

use std::fmt::Display;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Segment;

use super::document::{Node, Value};
use super::nearest::quoted;

/// Reads a document as a `T`. If that fails, returns the path to the first error, and the error.
pub(super) fn attempt<T: DeserializeOwned>(document: &Node) -> Result<T, (Vec<String>, Failure)> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let segments = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            _ => None,
        });
        let mut path: Vec<String> = segments.collect();
        let failure = error.into_inner();
        // serde reads a table with a `kind` before it knows the fields. The path of the error then ends at
        // the table, and only the field's name tells the key.
        if let Failure::UnknownKey { key, .. } = &failure
            && path.last() != Some(key)
        {
            path.push(key.clone());
            if document.get(path.iter().map(String::as_str)).is_none() {
                path.pop();
            }
        }
        (path, failure)
    })
}

/// The first thing that serde could not read.
#[derive(Debug)]
pub(crate) enum Failure {
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

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl std::error::Error for Failure {}

impl Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let table_for_list = matches!(found, Unexpected::Map);
        let expected = match expected.to_string().as_str() {
            "usize" | "u64" | "u32" | "u16" => "a whole number of at least 0".into(),
            "f64" | "f32" => "a number".into(),
            other if other.starts_with("struct ") => "a table".into(),
            other if other.starts_with("internally tagged enum ") => {
                "a table with the key `kind`".into()
            }
            "a sequence" if table_for_list => {
                "a list; the head of each table of a list is [[…]]".into()
            }
            "a sequence" => "a list".into(),
            "path string" | "variant identifier" => "a string".into(),
            other => other.to_string(),
        };
        let found = match found {
            Unexpected::Map => "a table".into(),
            Unexpected::Seq => "a list".into(),
            other => other.to_string(),
        };
        Self::Type { found, expected }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey {
            key: field.into(),
            known,
        }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownWord {
            word: variant.into(),
            known,
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingKey(field)
    }
}

impl<'de> IntoDeserializer<'de, Failure> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
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
            Value::Unusable(text) => Err(Error::invalid_type(
                Unexpected::Other(&format!("`{text}`")),
                &visitor,
            )),
            Value::Array(nodes) => {
                let mut left = nodes.iter();
                let value = visitor.visit_seq(SeqDeserializer::new(left.by_ref()))?;
                match left.len() {
                    0 => Ok(value),
                    over => Err(Error::custom(format!(
                        "{} values where {} are expected",
                        nodes.len(),
                        nodes.len() - over
                    ))),
                }
            }
            Value::Table(table) => {
                let entries = table.iter().map(|(key, node)| (key.as_str(), node));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Value::Placeholder => visitor.visit_i64(1),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Placeholder => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Placeholder => visitor.visit_borrowed_str(""),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Placeholder => visitor.visit_seq(SeqDeserializer::new([0_u8; 0].into_iter())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Placeholder => {
                let nothing: [(&str, &str); 0] = [];
                visitor.visit_map(MapDeserializer::new(nothing.into_iter()))
            }
            // serde would read the elements as the fields, in their order.
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &"a table")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match (&self.value, variants) {
            (Value::String(word), _) => visitor.visit_enum(BorrowedStrDeserializer::new(word)),
            (Value::Placeholder, [first, ..]) => {
                visitor.visit_enum(BorrowedStrDeserializer::new(first))
            }
            _ => self
                .deserialize_any(visitor)
                .map_err(|failure| match failure {
                    Failure::Type { found, .. } => Failure::Type {
                        found,
                        expected: format!("one of {}", quoted(variants)),
                    },
                    other => other,
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

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct map identifier ignored_any
    }
}
