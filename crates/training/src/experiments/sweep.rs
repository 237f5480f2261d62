//! Sweeps: lists of values for keys of a configuration, and the settings that a search tries of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::config::document::{Node, Value as DocumentValue};

/// Values by the keys of a configuration, with dots between tables.
pub type Setting = BTreeMap<String, Value>;

/// The most runs of a search.
pub(super) const MOST_RUNS: u64 = 10_000;
/// The most swept keys of an arm, and the most values of a key: limits far above real ones.
pub(super) const MOST_KEYS: usize = 20;
pub(super) const MOST_VALUES: usize = 1000;

/// The most draws for each of the random settings.
const MOST_DRAWS: u64 = 1000;

/// A key with the values that are tried.
#[derive(Clone, Debug)]
pub(super) struct SweptKey {
    pub(super) key: String,
    pub(super) values: Vec<Node>,
}

/// Number of all combinations of the values.
pub(super) fn combinations(keys: &[SweptKey]) -> u64 {
    let counts = keys.iter().map(|key| key.values.len() as u64);
    counts.fold(1, u64::saturating_mul)
}

/// The settings that are tried, each as the number of a value for each key: all combinations, the last key
/// changing fastest, or so many random ones.
///
/// Each random setting takes from each list the value with the smallest hash of seed, number of the setting,
/// key and value. So more samples only add settings, and a new value in a list changes only the settings that
/// now take it. Settings that were drawn before are left out.
pub(super) fn settings(keys: &[SweptKey], samples: Option<u64>, seed: u64) -> Vec<Vec<usize>> {
    let all = combinations(keys);
    let Some(samples) = samples.filter(|&samples| samples < all) else {
        return (0..all).map(|number| combination(keys, number)).collect();
    };
    let names: Vec<Vec<u64>> = keys.iter().map(hashes).collect();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    // A fraction of these draws finds nearly all combinations, however many samples there are to be.
    for draw in 0..MOST_DRAWS * samples {
        if found.len() as u64 >= samples {
            break;
        }
        let taken: Vec<usize> = names.iter().map(|of| drawn(of, draw, seed)).collect();
        if seen.insert(taken.clone()) {
            found.push(taken);
        }
    }
    found
}

/// The combination of a number; the last key changes fastest.
fn combination(keys: &[SweptKey], mut number: u64) -> Vec<usize> {
    let mut taken = vec![0; keys.len()];
    for (taken, key) in taken.iter_mut().zip(keys).rev() {
        let count = key.values.len() as u64;
        *taken = (number % count) as usize;
        number /= count;
    }
    taken
}

fn hashes(key: &SweptKey) -> Vec<u64> {
    let hash =
        |node: &Node| xxh3_64(format!("{}={}", key.key, shown(&json(&node.value))).as_bytes());
    key.values.iter().map(hash).collect()
}

fn drawn(names: &[u64], draw: u64, seed: u64) -> usize {
    let hash = |&index: &usize| {
        let name: u64 = names[index];
        let bytes = [name.to_le_bytes(), draw.to_le_bytes()].concat();
        xxh3_64_with_seed(&bytes, seed)
    };
    (0..names.len()).min_by_key(hash).unwrap_or(0)
}

/// A value of a document as JSON. What JSON has no numbers for becomes text.
pub(super) fn json(value: &DocumentValue) -> Value {
    match value {
        DocumentValue::Boolean(value) => Value::Bool(*value),
        DocumentValue::Integer(value) => Value::from(*value),
        DocumentValue::Float(value) if value.is_finite() => Value::from(*value),
        DocumentValue::Float(value) => Value::String(value.to_string()),
        DocumentValue::String(text) | DocumentValue::Unusable(text) => Value::String(text.clone()),
        DocumentValue::Array(nodes) => nodes.iter().map(|node| json(&node.value)).collect(),
        DocumentValue::Table(table) => table
            .iter()
            .map(|(key, node)| (key.clone(), json(&node.value)))
            .collect(),
        DocumentValue::Placeholder => Value::Null,
    }
}

/// A value as a reader sees it, and as values are compared: 1 and 1.0 are the same number.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or(number.to_string(), shown_number),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(shown).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(table) => {
            let pair = |(key, value)| format!("{key} = {}", shown(value));
            let pairs: Vec<String> = table.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// Very small and very large numbers with a power of ten.
fn shown_number(number: f64) -> String {
    match number.abs() {
        size if size != 0.0 && !(1e-3..1e7).contains(&size) => format!("{number:e}"),
        _ => number.to_string(),
    }
}

/// A text that is the same for settings with the same values.
pub(super) fn identity(setting: &Setting) -> String {
    let pair = |(key, value): (&String, &Value)| format!("{key}={}\0", shown(value));
    setting.iter().map(pair).collect()
}

/// The different ones of some values: numbers in their order, others in that in which they come.
pub(crate) fn distinct<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let mut seen = BTreeSet::new();
    let mut distinct: Vec<&Value> = values.filter(|value| seen.insert(shown(value))).collect();
    if distinct.iter().all(|value| value.is_number()) {
        let number = |value: &&Value| value.as_f64().unwrap_or(0.0);
        distinct.sort_by(|left, right| number(left).total_cmp(&number(right)));
    }
    distinct
}

/// A setting in words, by the shortest names of its keys: `learning_rate 2e-3, dropout 0.1`.
pub fn in_words(setting: &Setting) -> String {
    let keys: Vec<&str> = setting.keys().map(String::as_str).collect();
    in_words_of(setting, &keys)
}

/// The values of these keys in words, those that the setting has, in this order.
pub(crate) fn in_words_of(setting: &Setting, keys: &[&str]) -> String {
    let known = keys.iter().filter(|key| setting.contains_key(**key));
    let known: Vec<&str> = known.copied().collect();
    let names = short_names(known.iter().copied());
    let pairs = names.iter().zip(known.iter().map(|key| &setting[*key]));
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name} {}", shown(value)))
        .collect();
    pairs.join(", ")
}

/// The last parts of some keys: as few of each as tell it from the others.
pub fn short_names<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let keys: Vec<&str> = keys.into_iter().collect();
    let short = |key: &&'a str| -> &'a str {
        let dots = key.rmatch_indices('.').map(|(dot, _)| &key[dot + 1..]);
        let is_unique = |name: &&str| {
            let ends = |of: &&&str| **of == *name || of.ends_with(&format!(".{name}"));
            keys.iter().filter(ends).count() == 1
        };
        dots.into_iter().find(is_unique).unwrap_or(key)
    };
    keys.iter().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn key(name: &str, values: &[f64]) -> SweptKey {
        let node = |&value: &f64| Node {
            value: DocumentValue::Float(value),
            origin: Origin::Nowhere,
        };
        SweptKey {
            key: name.into(),
            values: values.iter().map(node).collect(),
        }
    }

    #[test]
    fn all_combinations_in_the_order_of_the_lists() {
        let keys = [key("a", &[1.0, 2.0]), key("b", &[3.0, 4.0, 5.0])];
        let expected = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]];
        assert_eq!(settings(&keys, None, 1), expected);
        assert_eq!(settings(&keys, Some(6), 1), expected);
        assert_eq!(settings(&keys, Some(100), 1), expected);
        assert_eq!(settings(&[], None, 1), [[0; 0]]);
    }

    #[test]
    fn numbers_of_combinations_do_not_overflow() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let keys: Vec<SweptKey> = (0..20)
            .map(|of| key(&format!("key-{of}"), &values))
            .collect();
        assert_eq!(combinations(&keys), u64::MAX);
        assert_eq!(settings(&keys, Some(5), 1).len(), 5);
    }

    #[test]
    fn more_samples_and_more_values_only_add() {
        let keys = |rates: &[f64]| [key("rate", rates), key("dropout", &[0.0, 0.1, 0.2, 0.3])];
        let before = keys(&[1.0, 2.0, 3.0]);
        let twelve = settings(&before, None, 7);
        let mut some = settings(&before, Some(5), 7);
        assert!(settings(&before, Some(9), 7).starts_with(&some));
        assert_ne!(settings(&before, Some(5), 8), some, "another seed");
        // A further value: a setting either takes it or is what it was.
        let after = settings(&keys(&[1.0, 2.0, 3.0, 4.0]), Some(8), 7);
        let old: Vec<_> = after.iter().filter(|taken| taken[0] < 3).cloned().collect();
        let all_old = settings(&before, Some(11), 7);
        assert!(old.len() < 8 && old.iter().all(|of| all_old.contains(of)));
        some.sort();
        some.dedup();
        assert_eq!(some.len(), 5, "each only once");
        // All but one of twelve are found although most draws repeat.
        let most = settings(&before, Some(11), 7);
        assert!(most.iter().all(|of| twelve.contains(of)) && most.len() == 11);
    }

    /// Worked out by a program in Python, with the package `xxhash`.
    #[test]
    fn random_settings_are_those_of_another_program() {
        let keys = [
            key("rate", &[1.0, 2.0, 3.0]),
            key("dropout", &[0.0, 0.1, 0.2, 0.3]),
        ];
        let expected = [[2, 1], [1, 3], [2, 3], [0, 2], [2, 0]];
        assert_eq!(settings(&keys, Some(5), 7), expected);
    }

    #[test]
    fn names_and_numbers_are_short() {
        let keys = ["train.schedule.warmup", "model.width", "model.mask.width"];
        assert_eq!(
            short_names(keys),
            ["warmup", "model.width", "mask.width"],
            "`width` would be either"
        );
        let texts = [1e-3, 3e-4, 0.25, 2.0, 1e7, 0.0].map(|of| shown(&Value::from(of)));
        assert_eq!(texts, ["0.001", "3e-4", "0.25", "2", "1e7", "0"]);
        assert_eq!(shown(&Value::from(2)), "2");
        let setting = |value: Value| Setting::from([("a.b".to_string(), value)]);
        assert_eq!(identity(&setting(2.into())), identity(&setting(2.0.into())));
        assert_ne!(identity(&setting(2.into())), identity(&setting("3".into())));
        assert_eq!(
            in_words(&setting(serde_json::json!([0.9, 1e-5]))),
            "b [0.9, 1e-5]"
        );
    }
}
