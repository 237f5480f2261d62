//! The splits of a dataset's files, from the words in their paths, as Hugging Face's `datasets` library
//! finds them.

/// A split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Split {
    Train,
    Validation,
    Test,
}

const KEYWORDS: [(&str, Split); 10] = [
    ("train", Split::Train),
    ("training", Split::Train),
    ("validation", Split::Validation),
    ("valid", Split::Validation),
    ("dev", Split::Validation),
    ("val", Split::Validation),
    ("test", Split::Test),
    ("testing", Split::Test),
    ("eval", Split::Test),
    ("evaluation", Split::Test),
];

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split that the name of a folder stands for: a keyword as a whole word.
    pub(super) fn of_folder(name: &str) -> Option<Self> {
        find(name, true)
    }

    /// The split of a file: that of the innermost folder that stands for one, else that of its name.
    fn of_file(path: &str) -> Option<Self> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders
            .rsplit('/')
            .find_map(Self::of_folder)
            .or_else(|| find(name, false))
    }
}

/// Finds a keyword between separators, or at the start. At the end it counts only if `at_end`.
fn find(name: &str, at_end: bool) -> Option<Split> {
    let is_separator = |byte: u8| matches!(byte, b'-' | b'.' | b'_' | b' ' | b'0'..=b'9');
    let stands = |keyword: &str| {
        name.match_indices(keyword).any(|(start, _)| {
            let before = start.checked_sub(1).map(|at| name.as_bytes()[at]);
            let after = name.as_bytes().get(start + keyword.len()).copied();
            before.is_none_or(is_separator) && after.map_or(at_end, is_separator)
        })
    };
    let found = KEYWORDS.into_iter().find(|(keyword, _)| stands(keyword));
    found.map(|(_, split)| split)
}

/// Files that are read, and files that are not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Divided {
    pub(super) train: Vec<String>,
    pub(super) other: Vec<String>,
}

/// Divides files into those of the training split and others.
///
/// Where there are files of other splits, only the files of the training split are read; where none
/// is recognized as such, those of no split. Without other splits everything is read: then a word such as
/// "training" in a name is only a word.
pub(super) fn divide(files: Vec<String>) -> Result<Divided, String> {
    let shards: Vec<Option<&str>> = files.iter().map(|file| shard(file)).collect();
    if shards.iter().any(Option::is_some) {
        return divide_shards(&files, &shards);
    }
    let splits: Vec<Option<Split>> = files.iter().map(|file| Split::of_file(file)).collect();
    let has = |split| splits.contains(&split);
    let has_other = has(Some(Split::Validation)) || has(Some(Split::Test));
    let mut divided = Divided::default();
    for (file, split) in files.into_iter().zip(splits.iter().copied()) {
        let is_train = match split {
            Some(Split::Train) => true,
            None => !has_other || !has(Some(Split::Train)),
            Some(_) => false,
        };
        if is_train {
            divided.train.push(file);
        } else {
            divided.other.push(file);
        }
    }
    if divided.train.is_empty() && !divided.other.is_empty() {
        let names = [Split::Validation, Split::Test];
        let names = names.into_iter().filter(|&split| has(Some(split)));
        let names: Vec<&str> = names.map(Split::name).collect();
        return Err(no_training_split(&names));
    }
    Ok(divided)
}

/// Divides the files `data/SPLIT-00000-of-00001.parquet`. Other files are in no split.
fn divide_shards(files: &[String], shards: &[Option<&str>]) -> Result<Divided, String> {
    let mut names: Vec<&str> = shards.iter().copied().flatten().collect();
    names.sort_unstable();
    names.dedup();
    let wanted = training_split(&names)?;
    let mut divided = Divided::default();
    for (file, split) in files.iter().zip(shards) {
        let files = match split {
            Some(split) if *split == wanted => &mut divided.train,
            _ => &mut divided.other,
        };
        files.push(file.clone());
    }
    Ok(divided)
}

/// The name of the split to read, of all names of splits: `train`, or the only one if it stands for no
/// other split.
pub(super) fn training_split<'a>(names: &[&'a str]) -> Result<&'a str, String> {
    if let Some(train) = names.iter().find(|name| **name == "train") {
        return Ok(train);
    }
    match names {
        [only] if matches!(Split::of_folder(only), None | Some(Split::Train)) => Ok(only),
        _ => Err(no_training_split(names)),
    }
}

fn no_training_split(names: &[&str]) -> String {
    format!(
        "it has no training split, only: {}; to read one, download its files and name them as paths",
        names.join(", ")
    )
}

/// The split of a file called `data/SPLIT-00000-of-00001.ENDING`.
fn shard(file: &str) -> Option<&str> {
    let name = file
        .strip_prefix("data/")
        .filter(|name| !name.contains('/'))?;
    let (stem, _) = name.split_once('.')?;
    let of = stem.rfind("-of-")?;
    let (numbered, count) = (&stem[..of], &stem[of + 4..]);
    let (split, number) = numbered.rsplit_once('-')?;
    let five =
        |text: &str| text.len() >= 5 && text.bytes().take(5).all(|byte| byte.is_ascii_digit());
    (five(number) && number.len() == 5 && five(count) && !split.is_empty()).then_some(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_whole_words() {
        for (path, split) in [
            ("train.jsonl", Some(Split::Train)),
            ("train1.jsonl", Some(Split::Train)),
            ("my_training.set.txt", Some(Split::Train)),
            ("en-valid.txt", Some(Split::Validation)),
            ("dev.json", Some(Split::Validation)),
            ("test-00000-of-00001.parquet", Some(Split::Test)),
            ("evaluation.txt", Some(Split::Test)),
            ("train/part.txt", Some(Split::Train)),
            ("my-val/part.txt", Some(Split::Validation)),
            ("en/test_2/part.txt", Some(Split::Test)),
            // The innermost folder counts, and folders more than names.
            ("train/test/part.txt", Some(Split::Test)),
            ("train/test.txt", Some(Split::Train)),
            ("training-data-notes/part.txt", Some(Split::Train)),
            ("latest/part.txt", None),
            ("contest.jsonl", None),
            ("trainer.parquet", None),
            ("devices/evals.txt", None),
            ("valid", None),
        ] {
            assert_eq!(Split::of_file(path), split, "{path}");
        }
    }

    fn divided(files: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        divide(files).map(|divided| (divided.train, divided.other))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_training_split_is_read() {
        for (files, train, other) in [
            (
                &["train.txt", "test.txt"][..],
                &["train.txt"][..],
                &["test.txt"][..],
            ),
            (
                &["train.txt", "extra.txt", "test.txt"],
                &["train.txt"],
                &["extra.txt", "test.txt"],
            ),
            // A word in a name loses no file.
            (
                &["a.txt", "training-data-notes.txt"],
                &["a.txt", "training-data-notes.txt"],
                &[],
            ),
            (
                &["latest/a.txt", "contest.txt"],
                &["latest/a.txt", "contest.txt"],
                &[],
            ),
            (&["a.txt", "test.txt"], &["a.txt"], &["test.txt"]),
            (
                &["eval-results/a.txt", "train.txt", "valid.txt"],
                &["train.txt"],
                &["eval-results/a.txt", "valid.txt"],
            ),
            // Shards in `data` come before any word.
            (
                &["data/all-00000-of-00001.parquet", "old/a.parquet"],
                &["data/all-00000-of-00001.parquet"],
                &["old/a.parquet"],
            ),
            (
                &[
                    "data/train-00000-of-00001-0abc.parquet",
                    "data/latest-00000-of-00001.parquet",
                ],
                &["data/train-00000-of-00001-0abc.parquet"],
                &["data/latest-00000-of-00001.parquet"],
            ),
        ] {
            assert_eq!(
                divided(files),
                Ok((names(train), names(other))),
                "{files:?}"
            );
        }
        let message = divided(&["test.txt", "dev/a.txt"]).unwrap_err();
        assert!(message.contains("validation, test"), "{message}");
        let message = divided(&["data/test-00000-of-00001.parquet"]).unwrap_err();
        assert!(message.contains("only: test"), "{message}");
    }
}
