//! A reader of pickles that builds plain values and executes nothing.
//!
//! A pickle is a program for a stack machine. Calls and objects are not evaluated, but stored as the name
//! of the class, its arguments and its state. All values are in one table and refer to each other by
//! number. Time and memory therefore grow only with the length of the pickle, however often it repeats or
//! nests a value.

use super::pickle_machine;
use super::pickle_value::{Id, PickleError, Value};

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// Reads a pickle of protocol 0 to 5.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PickleError> {
        let (values, root) = pickle_machine::run(bytes)?;
        Ok(Self { values, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The entry of a dictionary under a text key; the last one if there are several.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        self.entries(dict)?
            .filter(|(name, _)| *name == key)
            .map(|(_, id)| id)
            .last()
    }

    /// The entries of a dictionary with text keys, or the attributes of an object.
    pub(super) fn entries(&self, id: Id) -> Option<impl Iterator<Item = (&str, Id)>> {
        let pairs = match self.value(id) {
            Value::Dict(pairs) => pairs,
            Value::Object {
                state: Some(state), ..
            } => match self.value(*state) {
                Value::Dict(pairs) => pairs,
                // (attributes, slots): classes with slots have no or few attributes.
                Value::Sequence(parts) => parts.iter().rev().find_map(|&id| self.dict(id))?,
                _ => return None,
            },
            _ => return None,
        };
        Some(
            pairs
                .iter()
                .filter_map(|&(key, value)| match self.value(key) {
                    Value::Text(key) => Some((key.as_str(), value)),
                    _ => None,
                }),
        )
    }

    fn dict(&self, id: Id) -> Option<&Vec<(Id, Id)>> {
        match self.value(id) {
            Value::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
