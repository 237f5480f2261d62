//! The keys of a configuration, determined from the types that it is read into.
//!
//! serde reports a type's keys only in the error about an unknown key. So each table is read with a key that
//! no table has, and the error lists the known keys. A derived list of fields or a JSON schema (`schemars`)
//! would need another derive on every type, also on types of other crates.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::deserialize::{Failure, attempt};
use super::document::{Node, Value};
use super::problem::Origin;

/// A key that no table has. It sorts first in every table, so it fails first.
const NO_KEY: &str = "\0";

/// The full paths of all keys of `T`, with dots between tables and without the numbers of elements in
/// lists. Only values and lists have keys; tables are part of theirs.
pub(crate) fn keys_of<T: DeserializeOwned>() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    collect::<T>(&[], &mut keys);
    keys
}

/// Adds to some keys the paths of their tables.
pub(crate) fn with_tables(keys: BTreeSet<String>) -> BTreeSet<String> {
    let tables = |key: &String| -> Vec<String> {
        let ends = key.match_indices('.');
        ends.map(|(end, _)| key[..end].to_string()).collect()
    };
    let tables: Vec<String> = keys.iter().flat_map(tables).collect();
    keys.into_iter().chain(tables).collect()
}

/// Adds the keys of the table under a path. Returns false if there is no table.
fn collect<T: DeserializeOwned>(path: &[&str], keys: &mut BTreeSet<String>) -> bool {
    match first_failure::<T>(path, &[(NO_KEY, "")]) {
        Some(Failure::UnknownKey { known, .. }) => {
            collect_keys::<T>(path, known, keys);
            true
        }
        // A table with a `kind`; each kind has its own keys.
        Some(Failure::MissingKey(tag)) => {
            collect_keys::<T>(path, &[tag], keys);
            let kinds = match first_failure::<T>(path, &[(tag, NO_KEY)]) {
                Some(Failure::UnknownWord { known, .. }) => known,
                _ => &[],
            };
            for kind in kinds {
                if let Some(Failure::UnknownKey { known, .. }) =
                    first_failure::<T>(path, &[(NO_KEY, ""), (tag, kind)])
                {
                    collect_keys::<T>(path, known, keys);
                }
            }
            true
        }
        _ => false,
    }
}

/// Adds the keys of a table. For a key that holds a table or a list of tables, adds the keys of that table
/// instead.
fn collect_keys<T: DeserializeOwned>(table: &[&str], known: &[&str], keys: &mut BTreeSet<String>) {
    for key in known {
        let path = [table, &[key]].concat();
        let element = [table, &[key, "0"]].concat();
        if !collect::<T>(&path, keys) && !collect::<T>(&element, keys) {
            let names = path.iter().filter(|&&name| name != "0");
            keys.insert(names.copied().collect::<Vec<_>>().join("."));
        }
    }
}

/// The first failure of reading `T` from a document in which the table under `path` has these values; none
/// if the failure is not in this table.
fn first_failure<T: DeserializeOwned>(path: &[&str], values: &[(&str, &str)]) -> Option<Failure> {
    let node = |value| Node {
        value,
        origin: Origin::Nowhere,
    };
    let value = |text: &str| node(Value::String(text.into()));
    let table = values.iter().map(|&(key, text)| (key.into(), value(text)));
    let table = node(Value::Table(table.collect()));
    let document = path.iter().rev().fold(table, |inner, &key| match key {
        "0" => node(Value::Array(vec![inner])),
        _ => node(Value::Table([(key.into(), inner)].into())),
    });
    let (place, failure) = attempt::<T>(&document).err()?;
    let place = place.iter().map(String::as_str);
    let here = place.take_while(|key| values.iter().all(|(own, _)| own != key));
    here.eq(path.iter().copied()).then_some(failure)
}

/// The values of a configuration by their full paths.
pub(crate) fn values_of(config: &impl Serialize) -> BTreeMap<String, toml::Value> {
    fn walk(prefix: &str, value: toml::Value, into: &mut BTreeMap<String, toml::Value>) {
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    let path = if prefix.is_empty() {
                        key
                    } else {
                        format!("{prefix}.{key}")
                    };
                    walk(&path, value, into);
                }
            }
            value => {
                into.insert(prefix.into(), value);
            }
        }
    }
    let mut values = BTreeMap::new();
    // Serialization fails only for a path that is not Unicode; such a path equals no other.
    if let Ok(value) = toml::Value::try_from(config) {
        walk("", value, &mut values);
    }
    values
}
