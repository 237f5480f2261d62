//! Files that a dataset must have because the names of others count them: `train-00000-of-00003.parquet`.

use std::collections::{BTreeMap, BTreeSet};

/// The most parts that a name is believed to count.
const MOST_PARTS: usize = 100_000;

/// Digits of a hash behind the count, which differs from file to file.
const HASH_DIGITS: usize = 16;

/// A name that says which part of how many a file is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counted<'a> {
    before: &'a str,
    /// The count, as it is written.
    count: &'a str,
    after: &'a str,
}

/// The names of the parts that are not among `files`, in order. Parts are numbered from zero, or from one if
/// the last number is there.
pub(super) fn missing(files: &[String]) -> Vec<String> {
    let mut sets: BTreeMap<Counted<'_>, BTreeSet<usize>> = BTreeMap::new();
    for (counted, number) in files.iter().filter_map(|file| counted(file)) {
        sets.entry(counted).or_default().insert(number);
    }
    let mut missing = Vec::new();
    for (counted, there) in sets {
        let Counted {
            before,
            count,
            after,
        } = counted;
        let total: usize = count.parse().unwrap_or(0);
        let first = usize::from(there.contains(&total));
        for number in (first..first + total).filter(|number| !there.contains(number)) {
            let width = count.len();
            missing.push(format!("{before}{number:0width$}-of-{count}{after}"));
        }
    }
    missing
}

fn counted(file: &str) -> Option<(Counted<'_>, usize)> {
    let at = file.rfind("-of-")?;
    let (numbered, rest) = (&file[..at], &file[at + 4..]);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, mut after) = rest.split_at(digits(rest));
    let width = numbered
        .bytes()
        .rev()
        .take_while(u8::is_ascii_digit)
        .count();
    let (before, number) = numbered.split_at(numbered.len() - width);
    if after.contains('/') || width != count.len() {
        return None;
    }
    if let Some((hash, ending)) = after
        .strip_prefix('-')
        .and_then(|rest| rest.split_at_checked(HASH_DIGITS))
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        && ending.starts_with('.')
    {
        after = ending;
    }
    let total: usize = count.parse().ok()?;
    let number: usize = number.parse().ok()?;
    let is_part = total <= MOST_PARTS && number <= total;
    is_part.then_some((
        Counted {
            before,
            count,
            after,
        },
        number,
    ))
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn gaps_are_found() {
        for (files, expected) in [
            (&["a-00000-of-00001.parquet", "b.txt"][..], &[][..]),
            (
                &["d/a-00000-of-00003.parquet", "d/a-00002-of-00003.parquet"],
                &["d/a-00001-of-00003.parquet"],
            ),
            // Numbered from one.
            (&["a-2-of-2.txt", "a-1-of-2.txt"], &[]),
            // The first one is missing, or the numbers begin with one; in both cases 1 is not there.
            (&["a-2-of-2.txt"], &["a-1-of-2.txt"]),
            // Splits and endings are counted on their own, hashes do not count.
            (
                &[
                    "a-0-of-2-0123456789abcdef.txt",
                    "a-1-of-2-fedcba9876543210.txt",
                    "b-1-of-2.txt",
                    "b-0-of-2.csv",
                ],
                &["b-1-of-2.csv", "b-0-of-2.txt"],
            ),
            // Words, folders, and counts of another width or too many.
            (
                &[
                    "end-of-2.txt",
                    "1-of-2/a.txt",
                    "a-1-of-20.txt",
                    "a-000000001-of-999999999.txt",
                    "a-7-of-3.txt",
                ],
                &[],
            ),
        ] {
            let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
            assert_eq!(missing(&files), expected, "{files:?}");
        }
    }
}
