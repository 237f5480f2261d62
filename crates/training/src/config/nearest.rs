//! Suggestions for unknown words: the most similar known one.

use std::collections::BTreeSet;

use super::reading::is_within;

/// Least similarity of a suggestion to the unknown word, from 0 to 1.
const ALIKE: f64 = 0.6;

/// Least similarity of a suggestion from another table. It is higher, since both the table and the key would
/// be wrong.
const ALIKE_ELSEWHERE: f64 = 0.85;

/// The most suggestions in one message.
const MOST_SUGGESTED: usize = 3;

/// The longest word that is compared with others, in bytes: a limit far above real keys and names. The time
/// of a comparison grows with the length of both words.
const LONGEST: usize = 200;

/// The similarity of two words, from 0 to 1; 0 if one is far longer than real ones.
fn likeness(found: &str, known: &str) -> f64 {
    if found.len().max(known.len()) > LONGEST {
        return 0.0;
    }
    strsim::normalized_damerau_levenshtein(found, known)
}

/// The known word that is most similar to `found`, if any is similar enough. Of equally similar words, it is
/// the one with the longest common prefix.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&word| (likeness(found, word), word))
        .filter(|&(likeness, _)| likeness >= ALIKE)
        .max_by(|left, right| {
            let begins = |word: &str| {
                let pairs = found.chars().zip(word.chars());
                pairs.take_while(|(left, right)| left == right).count()
            };
            let likeness = left.0.total_cmp(&right.0);
            likeness.then_with(|| begins(left.1).cmp(&begins(right.1)))
        })
        .map(|(_, word)| word)
}

/// The end of a message about an unknown word: a suggestion, or all known words.
pub(crate) fn suggestion(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("expected one of {}", quoted(known)),
    }
}

/// The message about an unknown key of the table `table` (empty: the top level).
///
/// Suggests the nearest key of that table, otherwise keys of that name elsewhere, otherwise all keys of the
/// table. `everywhere` has the full paths of all keys and tables.
pub(super) fn unknown_key(
    table: &str,
    key: &str,
    known: &[&str],
    everywhere: impl Fn() -> BTreeSet<String>,
) -> String {
    let full = |key: &str| {
        if table.is_empty() {
            key.into()
        } else {
            format!("{table}.{key}")
        }
    };
    let unknown = format!("unknown key `{}`", full(key));
    if let Some(near) = nearest(key, known) {
        return format!("{unknown}; did you mean `{}`?", full(near));
    }
    let elsewhere = nearest_elsewhere(table, key, &everywhere());
    match elsewhere.as_slice() {
        [] if known.is_empty() => format!("{unknown}; there are no keys here"),
        [] => format!("{unknown}; the keys here are {}", quoted(known)),
        // A common mistake is to write a top-level key below the header of a table.
        [path] if !path.contains('.') => {
            format!("{unknown}; did you mean `{path}` at the top of the file?")
        }
        [path] => format!("{unknown}; did you mean `{path}`?"),
        [first @ .., last] => {
            format!(
                "{unknown}; did you mean `{}` or `{last}`?",
                first.join("`, `")
            )
        }
    }
}

/// The keys outside a table that an unknown key in it may stand for.
///
/// A name that several tables have, such as `kind`, means something only together with its table. It is
/// looked for in the tables inside this one and around it, and not in unrelated ones. More than
/// [`MOST_SUGGESTED`] keys are no help, and give none.
fn nearest_elsewhere(table: &str, key: &str, everywhere: &BTreeSet<String>) -> Vec<String> {
    let alike = |path: &&String| likeness(key, table_and_name(path).1);
    let best = everywhere.iter().map(|path| alike(&path));
    let best = best.fold(ALIKE_ELSEWHERE, f64::max);
    let found = everywhere.iter().filter(|path| alike(path) >= best);
    let mut found: Vec<&String> = found.collect();
    if found.len() > 1 {
        let is_related =
            |path: &str| is_in_table(path, table) || is_in_table(table, table_and_name(path).0);
        found.retain(|path| is_related(path));
    }
    if found.len() > MOST_SUGGESTED {
        found.clear();
    }
    found.into_iter().cloned().collect()
}

/// The table (empty: the top level) and the name of a key, from its full path.
fn table_and_name(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// Whether a full path is that of a table (empty: the top level) or leads into it.
fn is_in_table(path: &str, table: &str) -> bool {
    table.is_empty() || is_within(path, table)
}

/// Words for a message, in backticks and separated by commas.
pub(super) fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
