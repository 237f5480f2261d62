//! Suggestions for unknown words: the most similar known one.

/// Least similarity of a suggestion to the unknown word, from 0 to 1.
const ALIKE: f64 = 0.6;

/// Least similarity of a suggestion from another table. It is higher, since both the table and the key would
/// be wrong.
const ALIKE_ELSEWHERE: f64 = 0.85;

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
/// Suggests the nearest key of that table, otherwise a key of that name in another table (the outermost one
/// if there are several), otherwise all keys of the table. `everywhere` has the full paths of all keys and
/// tables.
pub(super) fn unknown_key(
    table: &str,
    key: &str,
    known: &[&str],
    everywhere: impl Fn() -> std::collections::BTreeSet<String>,
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
    let of_path = |path: &str| likeness(key, path.rsplit('.').next().unwrap_or_default());
    let elsewhere = everywhere()
        .into_iter()
        .map(|path| (of_path(&path), path))
        .filter(|&(likeness, _)| likeness >= ALIKE_ELSEWHERE)
        .max_by(|(left, one), (right, other)| {
            let depth = |path: &str| path.matches('.').count();
            let likeness = left.total_cmp(right);
            likeness.then_with(|| depth(other).cmp(&depth(one)))
        });
    match elsewhere {
        // A common mistake is to write a top-level key below the header of a table.
        Some((_, path)) if !path.contains('.') => {
            format!("{unknown}; did you mean `{path}` at the top of the file?")
        }
        Some((_, path)) => format!("{unknown}; did you mean `{path}`?"),
        None if known.is_empty() => format!("{unknown}; there are no keys here"),
        None => format!("{unknown}; the keys here are {}", quoted(known)),
    }
}

/// Words for a message, in backticks and separated by commas.
pub(super) fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
