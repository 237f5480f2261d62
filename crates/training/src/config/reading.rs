//! Reads a document into any serde type and collects all problems.
//!
//! serde stops at the first error. Here the key that caused it is removed and the document is read again,
//! until there are no more errors. So types may come from any crate, and new keys need no change here.
//! `eserde` also collects all errors, but every type would have to derive its trait, and it reports no
//! lines.

use std::collections::HashSet;

use model::Checks;
use serde::de::DeserializeOwned;

use super::deserialize::{Failure, attempt};
use super::document::{Node, Value};
use super::keys::{keys_of, with_tables};
use super::nearest::{suggestion, unknown_key};
use super::problem::Problem;

/// Most problems that are collected, which bounds the work for a malicious file.
pub(crate) const MOST_PROBLEMS: usize = 50;

/// The result of reading a document.
pub(crate) struct Reading<T> {
    /// The value, without wrong keys; none if it could not be read.
    pub(crate) value: Option<T>,
    /// The document without wrong keys, and with placeholders for missing ones.
    pub(crate) understood: Node,
    /// All problems.
    pub(crate) problems: Vec<Problem>,
}

/// Reads a document as a `T`.
pub(crate) fn read<T: DeserializeOwned>(document: &Node) -> Reading<T> {
    let mut understood = document.clone();
    let (mut problems, mut missing) = (Vec::new(), Vec::new());
    let mut placeholders = HashSet::new();
    let value = loop {
        let (path, failure) = match attempt::<T>(&understood) {
            Ok(value) => break Some(value),
            Err(failure) => failure,
        };
        let progress = if let Failure::MissingKey(key) = failure {
            let full: Vec<String> = path.iter().cloned().chain([key.to_string()]).collect();
            let problem = problem::<T>(&failure, document, &full);
            if !is_known(&problem.key, problems.iter().chain(&missing)) {
                missing.push(problem);
            }
            understood.add_placeholder(&path, key);
            placeholders.insert(full) || understood.remove(&path)
        } else {
            let problem = problem::<T>(&failure, document, &path);
            // The value that cannot be read may be a placeholder.
            if !is_known(&problem.key, problems.iter().chain(&missing)) {
                problems.push(problem);
            }
            understood.remove(&path)
        };
        if !progress || problems.len() + missing.len() >= MOST_PROBLEMS {
            break None;
        }
    };
    problems.extend(missing);
    Reading {
        value,
        understood,
        problems,
    }
}

/// Whether there is a problem with a key or with a table around it.
fn is_known<'a>(key: &str, problems: impl IntoIterator<Item = &'a Problem>) -> bool {
    let mut problems = problems.into_iter();
    problems.any(|problem| is_within(key, &problem.key))
}

/// Whether there is a problem with a key, a table around it or an element of it.
pub(crate) fn is_unreadable(key: &str, problems: &[Problem]) -> bool {
    let of_element = |problem: &Problem| is_within(&problem.key, key);
    is_known(key, problems) || problems.iter().any(of_element)
}

/// Whether a key is equal to `whole` or is inside this table or list.
pub(crate) fn is_within(key: &str, whole: &str) -> bool {
    let rest = key.strip_prefix(whole);
    !whole.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Adds the problems that checks found in the values of a document, each with its place. It skips values that
/// already have a problem, since the checked value may be a placeholder.
pub(crate) fn add_check_problems(problems: &mut Vec<Problem>, document: &Node, checks: Checks) {
    for mut found in checks.finish().err().unwrap_or_default() {
        if is_unreadable(&found.key, problems) {
            continue;
        }
        let path: Vec<String> = found.key.split('.').map(Into::into).collect();
        let place = Place::new(document, &path);
        let key = std::mem::replace(&mut found.key, place.key);
        let message = format!("{}{found}", place.table);
        problems.push(Problem::new(&key, &document.origin(&key), message));
    }
}

/// The place of a value, as messages name it.
struct Place {
    /// The table of a list that contains the value: "arm `small`: ". Empty if the value is in no list.
    table: String,
    /// The key's path from that table on, with dots between tables.
    key: String,
}

impl Place {
    fn new(document: &Node, path: &[String]) -> Self {
        let node = |length: usize| document.get(path[..length].iter().map(String::as_str));
        let is = |length, kind: fn(&Value) -> bool| node(length).is_some_and(|it| kind(&it.value));
        let is_element = |at: &usize| {
            path[*at].parse::<usize>().is_ok() && is(*at, |value| matches!(value, Value::Array(_)))
        };
        let names = |places: std::ops::Range<usize>| {
            let named = places.filter(|at| !is_element(at));
            named
                .map(|at| path[at].as_str())
                .collect::<Vec<_>>()
                .join(".")
        };
        let in_list = (1..=path.len()).rev().find(|&length| {
            is_element(&(length - 1)) && is(length, |value| matches!(value, Value::Table(_)))
        });
        let Some(length) = in_list else {
            return Self {
                table: String::new(),
                key: names(0..path.len()),
            };
        };
        let name = node(length).and_then(|table| table.get(["name"]));
        let name = match name.map(|name| &name.value) {
            Some(Value::String(name)) => format!(" `{name}`"),
            _ => String::new(),
        };
        Self {
            table: format!("{}{name}: ", names(0..length)),
            key: names(length..path.len()),
        }
    }
}

/// The problem with its message, for a failure to read the value under a path.
fn problem<T: DeserializeOwned>(failure: &Failure, document: &Node, path: &[String]) -> Problem {
    let Place { table, key } = Place::new(document, path);
    let message = match failure {
        Failure::UnknownKey { key: last, known } => {
            let around = key.strip_suffix(last.as_str()).unwrap_or_default();
            let around = around.strip_suffix('.').unwrap_or(around);
            unknown_key(around, last, known, || with_tables(keys_of::<T>()))
        }
        Failure::UnknownWord { word, known } => {
            format!("`{key}` is \"{word}\": {}", suggestion(word, known))
        }
        Failure::MissingKey(_) => format!("`{key}` is missing"),
        Failure::Type { found, expected } => format!("`{key}` is {found}: expected {expected}"),
        Failure::Other(message) => format!("`{key}`: {message}"),
    };
    // A missing key has no origin; use that of its table.
    let place = match failure {
        Failure::MissingKey(_) => &path[..path.len() - 1],
        _ => path,
    };
    let node = document.get(place.iter().map(String::as_str));
    let origin = node.map(|node| node.origin.clone()).unwrap_or_default();
    Problem::new(&path.join("."), &origin, format!("{table}{message}"))
}
