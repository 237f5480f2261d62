//! A TOML document whose values store where they were written, and overrides of such a document.
//!
//! The tree of `toml` with its spans is not enough: a document may override another one from another file,
//! and values from `--set` are in no file. `toml_edit` would store comments and blanks, which are not
//! needed here.

use std::collections::BTreeMap;
use std::path::Path;

use model::files::read_at_most;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigError, Origin, Problem};
use super::reading::MOST_PROBLEMS;

/// The largest configuration or experiment file that is read, in bytes: a limit far above real files.
const LARGEST_FILE: u64 = 16 << 20;

/// Reads a file that should be UTF-8 text.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let bytes = read_at_most(path, LARGEST_FILE).map_err(|source| ConfigError::File {
        path: path.into(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        let problem = Problem::new("", &Origin::Line(line), "not UTF-8 text");
        ConfigError::invalid(path, vec![problem])
    })
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(String),
    /// A date or time, or a number outside the range of its type, as it was written. No key accepts such
    /// values.
    Unusable(String),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// Stands for a missing required value or a wrong element, so that the rest can be read. It reads as 1,
    /// an empty text or an empty table, depending on the type.
    Placeholder,
}

/// Parses a document.
///
/// # Errors
/// All syntax errors.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    if errors.is_empty() {
        let origin = |offset: usize| Origin::Line(lines.at(offset));
        return Ok(Node {
            value: table_value(table.get_ref(), &origin),
            origin: Origin::Nowhere,
        });
    }
    let problem = |span: Option<std::ops::Range<usize>>, message: String| Problem {
        key: String::new(),
        origin: span.map_or(Origin::Nowhere, |span| Origin::Line(lines.at(span.start))),
        message: format!("not valid TOML: {message}"),
    };
    let (shown, others) = errors.split_at(errors.len().min(MOST_PROBLEMS));
    let mut problems: Vec<Problem> = shown
        .iter()
        .map(|error| problem(error.span(), error.message().replace('\n', ", ")))
        .collect();
    if let Some(next) = others.first() {
        let more = others.len();
        let message = format!("{more} more errors from here on; give a file in TOML");
        problems.push(problem(next.span(), message));
    }
    Err(problems)
}

/// Applies an override `key=value`.
///
/// The value is TOML. A value that is not valid TOML is a string, so that words need no quotes. An empty
/// value removes the key, so that its default applies.
///
/// # Errors
/// There is no `=`, the key is empty, or its path contains a value that is not a table.
pub(crate) fn set(root: &mut Node, typed: &str) -> Result<(), Problem> {
    let origin = Origin::Override(typed.into());
    let problem = |key: &str, message: String| Problem {
        key: key.into(),
        origin: origin.clone(),
        message,
    };
    let Some((key, text)) = typed.split_once('=') else {
        return Err(problem(
            "",
            "expected key=value, for example train.steps=100".into(),
        ));
    };
    let key = key.trim();
    if key.split('.').any(|part| part.trim().is_empty()) {
        return Err(problem(
            key,
            "expected a key before the `=`, with dots between tables".into(),
        ));
    }
    let mut parts: Vec<&str> = key.split('.').map(str::trim).collect();
    let last = parts.pop().unwrap_or_default();
    let mut table = as_table(root).ok_or_else(|| problem(key, "not a table".into()))?;
    for part in parts {
        let next = table.entry(part.into()).or_insert_with(|| Node {
            value: Value::Table(BTreeMap::new()),
            origin: origin.clone(),
        });
        table = as_table(next)
            .ok_or_else(|| problem(key, format!("`{part}` in `{key}` is a value, not a table")))?;
    }
    if text.trim().is_empty() {
        table.remove(last);
    } else {
        table.insert(last.into(), override_value(text.trim(), &origin));
    }
    Ok(())
}

fn override_value(text: &str, origin: &Origin) -> Node {
    match DeValue::parse(text) {
        Ok(value) => Node {
            value: convert(value.get_ref(), &|_| origin.clone()),
            origin: origin.clone(),
        },
        Err(_) => Node {
            value: Value::String(text.into()),
            origin: origin.clone(),
        },
    }
}

fn as_table(node: &mut Node) -> Option<&mut BTreeMap<String, Node>> {
    match &mut node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

impl Node {
    /// Applies a table of overrides to this table, key by key; keys may have dots between tables.
    ///
    /// A table is merged into a table; any other value replaces the old one. A table with another `kind`
    /// also replaces the old one, since the old keys belong to the old kind.
    pub(crate) fn apply_overrides(&mut self, overrides: &Node) {
        let Value::Table(new) = &overrides.value else {
            *self = overrides.clone();
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Node {
                value: Value::Table(BTreeMap::new()),
                origin: overrides.origin.clone(),
            };
        }
        let Value::Table(table) = &mut self.value else {
            return;
        };
        let kind = |table: &BTreeMap<String, Node>| match &table.get("kind")?.value {
            Value::String(kind) => Some(kind.clone()),
            _ => None,
        };
        if kind(new).is_some_and(|new| kind(table).is_some_and(|old| old != new)) {
            table.clear();
        }
        for (key, node) in new {
            let (first, rest) = match key.split_once('.') {
                Some((first, rest)) => (first, Some(rest)),
                None => (key.as_str(), None),
            };
            let node = match rest {
                None => node.clone(),
                Some(rest) => Node {
                    value: Value::Table([(rest.to_string(), node.clone())].into()),
                    origin: node.origin.clone(),
                },
            };
            // Merge a new table into an empty one, which splits its keys at dots.
            let empty = || Node {
                value: Value::Table(BTreeMap::new()),
                origin: node.origin.clone(),
            };
            table
                .entry(first.trim().into())
                .or_insert_with(empty)
                .apply_overrides(&node);
        }
    }

    /// Marks all values as written in another file, at the same lines.
    pub(crate) fn relocate(&mut self, file: &Path) {
        if let Origin::Line(line) = self.origin {
            self.origin = Origin::OtherFile(file.into(), line);
        }
        match &mut self.value {
            Value::Array(nodes) => nodes.iter_mut().for_each(|node| node.relocate(file)),
            Value::Table(table) => table.values_mut().for_each(|node| node.relocate(file)),
            _ => {}
        }
    }

    /// The value under a path of keys and, for lists, of numbers of elements.
    pub(crate) fn get<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, Node::child)
    }

    fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(table) => table.get(key),
            Value::Array(nodes) => nodes.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Whether there is a value under a path with dots between its keys.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.get(path.split('.')).is_some()
    }

    /// Where the value under a path with dots between its keys was written.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        let node = self.get(path.split('.'));
        node.map(|node| node.origin.clone()).unwrap_or_default()
    }

    /// Adds an empty table, unless the key exists.
    pub(crate) fn add_table(&mut self, key: &str) {
        if let Value::Table(table) = &mut self.value {
            table.entry(key.into()).or_insert_with(|| Node {
                value: Value::Table(BTreeMap::new()),
                origin: Origin::Nowhere,
            });
        }
    }

    /// Sets a key of the table under a path to a placeholder.
    pub(crate) fn add_placeholder(&mut self, path: &[String], key: &str) {
        let Some(table) = path.iter().try_fold(self, |node, key| node.child_mut(key)) else {
            return;
        };
        if matches!(table.value, Value::Placeholder) {
            table.value = Value::Table(BTreeMap::new());
        }
        if let Value::Table(table) = &mut table.value {
            let placeholder = Node {
                value: Value::Placeholder,
                origin: Origin::Nowhere,
            };
            table.insert(key.into(), placeholder);
        }
    }

    /// The value under a path with dots between its keys.
    pub(crate) fn value_mut(&mut self, path: &str) -> Option<&mut Node> {
        path.split('.')
            .try_fold(self, |node, key| node.child_mut(key))
    }

    /// The values of the table under a path with dots between its keys; none if there is no table.
    pub(crate) fn values_mut(&mut self, path: &str) -> impl Iterator<Item = &mut Node> {
        let table = self.value_mut(path).and_then(as_table).into_iter();
        table.flat_map(|table| table.values_mut())
    }

    fn child_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Table(table) => table.get_mut(key),
            Value::Array(nodes) => nodes.get_mut(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Removes the value under a path or, if there is none, the last existing value on the path. An element
    /// of a list becomes a placeholder instead, so that the numbers of later elements do not change.
    ///
    /// Returns whether anything was removed.
    pub(crate) fn remove(&mut self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        if let Some(next) = self.child_mut(first)
            && next.remove(rest)
        {
            return true;
        }
        match &mut self.value {
            Value::Table(table) => table.remove(first).is_some(),
            _ => self.child_mut(first).is_some_and(|element| {
                let removed = !matches!(element.value, Value::Placeholder);
                element.value = Value::Placeholder;
                removed
            }),
        }
    }
}

fn table_value(table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) -> Value {
    Value::Table(
        table
            .iter()
            .map(|(key, value)| {
                let node = Node {
                    value: convert(value.get_ref(), origin),
                    origin: origin(key.span().start),
                };
                (key.get_ref().to_string(), node)
            })
            .collect(),
    )
}

fn convert(value: &DeValue<'_>, origin: &dyn Fn(usize) -> Origin) -> Value {
    match value {
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::String(value) => Value::String(value.to_string()),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map_or_else(|_| Value::Unusable(value.to_string()), Value::Integer),
        DeValue::Float(value) => value
            .as_str()
            .parse()
            .map_or_else(|_| Value::Unusable(value.to_string()), Value::Float),
        DeValue::Datetime(value) => Value::Unusable(value.to_string()),
        DeValue::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| Node {
                    value: convert(value.get_ref(), origin),
                    origin: origin(value.span().start),
                })
                .collect(),
        ),
        DeValue::Table(table) => table_value(table, origin),
    }
}

/// Where the lines of a text end. Counting them anew for each value would take time that grows with the
/// square of the text.
struct Lines {
    ends: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(offset, _)| offset);
        Self {
            ends: ends.collect(),
        }
    }

    /// The line of an offset, counted from 1.
    fn at(&self, offset: usize) -> usize {
        1 + self.ends.partition_point(|&end| end < offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("a\n\nb\n");
        // The line break itself belongs to the line that it ends.
        let found: Vec<usize> = (0..=5).map(|offset| lines.at(offset)).collect();
        assert_eq!(found, [1, 1, 2, 3, 3, 4]);
    }

    #[test]
    fn the_errors_of_a_text_that_is_no_document_are_bounded() {
        let problems = parse(&"All the world's a stage\n".repeat(1000)).unwrap_err();
        assert_eq!(problems.len(), MOST_PROBLEMS + 1);
        let last = problems[MOST_PROBLEMS].to_string();
        assert!(last.contains(" more errors from here on"), "{last}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_never_ends_is_refused() {
        let error = read_text(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("/dev/zero: it has more than"), "{error}");
    }
}
