//! Selects the files of a dataset on the hub that contain its text.

use std::collections::BTreeSet;
use std::path::Path;

use super::FileFormat;
use super::file_format::{self, Named};
use super::hub_card::{self, Configuration, ConfiguredFiles};
use super::hub_splits::{self, Divided, Split};

/// Files that describe a dataset, as the `datasets` library knows them.
const DESCRIPTIONS: [&str; 6] = [
    "README.md",
    "config.json",
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
];

/// What is asked of a dataset.
pub(super) struct Wanted<'a> {
    /// The name of a configuration.
    pub(super) config: Option<&'a str>,
    /// The format of its files.
    pub(super) format: FileFormat,
    /// The configurations that its card lists.
    pub(super) card: &'a [Configuration],
}

/// Selects the data files: those of the configuration, of the best format, and of the training split. The
/// error lists what is available.
pub(super) fn select(files: Vec<String>, wanted: &Wanted<'_>) -> Result<Divided, String> {
    let rank = |file: &String| rank(file, wanted.format);
    let mut data: Vec<String> = files
        .into_iter()
        .filter(|file| rank(file).is_some())
        .collect();
    if data.is_empty() {
        return Err(
            "it has no Parquet, JSON or text files (or none of the format asked for)".to_owned(),
        );
    }
    data.sort();
    if wanted.card.is_empty() {
        let chosen = of_config(data, wanted.config)?;
        let (best, mut worse) = best_format(chosen, rank);
        let mut divided = hub_splits::divide(best)?;
        divided.other.append(&mut worse);
        return Ok(divided);
    }
    let config = hub_card::choose(wanted.card, wanted.config)?;
    match &config.files {
        ConfiguredFiles::Splits(splits) => {
            let (train, other) = hub_card::training_patterns(splits)?;
            let any = |patterns: &[&str], file: &String| {
                patterns
                    .iter()
                    .any(|pattern| hub_card::matches(pattern, file))
            };
            let (train, rest): (Vec<String>, Vec<String>) =
                data.into_iter().partition(|file| any(&train, file));
            if train.is_empty() {
                return Err(format!(
                    "its configuration '{}' has no data files",
                    config.name
                ));
            }
            // A pattern such as `data/*` takes files of several formats.
            let (train, mut worse) = best_format(train, rank);
            let mut other: Vec<String> =
                rest.into_iter().filter(|file| any(&other, file)).collect();
            other.append(&mut worse);
            Ok(Divided { train, other })
        }
        ConfiguredFiles::Folder(folder) => {
            let folder = folder.trim_start_matches("./").trim_matches('/');
            let chosen: Vec<String> = match folder {
                "" => data,
                folder => {
                    let inside = format!("{folder}/");
                    data.retain(|file| file.starts_with(&inside));
                    data
                }
            };
            let (best, mut worse) = best_format(chosen, rank);
            if best.is_empty() {
                return Err(format!(
                    "its configuration '{}' has no data files",
                    config.name
                ));
            }
            let mut divided = hub_splits::divide(best)?;
            divided.other.append(&mut worse);
            Ok(divided)
        }
    }
}

/// The files of a configuration that is a folder.
fn of_config(data: Vec<String>, config: Option<&str>) -> Result<Vec<String>, String> {
    let configs: BTreeSet<String> = data.iter().filter_map(|file| config_of(file)).collect();
    let chosen: Vec<String> = match config {
        Some(config) => data
            .into_iter()
            .filter(|file| belongs_to(file, config))
            .collect(),
        None if configs.len() > 1 && data.iter().all(|file| config_of(file).is_some()) => {
            return Err(format!(
                "it has several configurations, name one after a colon: {}",
                listed(&configs)
            ));
        }
        // Files outside of a configuration's folder are the default configuration.
        None if configs.len() > 1 => data
            .into_iter()
            .filter(|file| config_of(file).is_none())
            .collect(),
        None => data,
    };
    if chosen.is_empty() {
        return Err(format!(
            "it has no configuration '{}'; it has: {}",
            config.unwrap_or(""),
            listed(&configs)
        ));
    }
    Ok(chosen)
}

/// Divides files into those of the best format and others.
fn best_format(
    files: Vec<String>,
    rank: impl Fn(&String) -> Option<u8>,
) -> (Vec<String>, Vec<String>) {
    let best = files.iter().filter_map(&rank).min();
    files.into_iter().partition(|file| rank(file) == best)
}

fn listed(configs: &BTreeSet<String>) -> String {
    if configs.is_empty() {
        return "none".to_owned();
    }
    configs
        .iter()
        .take(30)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ")
}

/// Rank of a file's format, the lower the better; none for files without data.
fn rank(file: &str, format: FileFormat) -> Option<u8> {
    let is_special = |part: &str| part.starts_with('.') || part.starts_with("__");
    let name = file.rsplit('/').next()?;
    if file.split('/').any(is_special) || DESCRIPTIONS.contains(&name) {
        return None;
    }
    let about = ["readme", "license", "requirements"]
        .iter()
        .any(|start| name.to_lowercase().starts_with(start));
    let (named, _) = file_format::of_name(Path::new(file));
    match (format, named) {
        (FileFormat::Auto, Named::Parquet) => Some(0),
        (FileFormat::Auto, Named::JsonLines) => Some(1),
        (FileFormat::Auto, Named::Json) => Some(2),
        (FileFormat::Auto, Named::Text) => (!about).then_some(3),
        (FileFormat::Auto, _) => None,
        (FileFormat::Parquet, named) => (named == Named::Parquet).then_some(0),
        (_, Named::Parquet) => None,
        (FileFormat::Wikipedia, named) => {
            (matches!(named, Named::Xml | Named::Nothing) && !about).then_some(0)
        }
        (FileFormat::JsonLines | FileFormat::Json, named) => {
            let may_be = matches!(
                named,
                Named::JsonLines | Named::Json | Named::Nothing | Named::Text
            );
            (may_be && !about).then_some(0)
        }
        (FileFormat::Text, _) => (!about).then_some(0),
    }
}

/// The folder of a configuration: the first one that is neither `data` nor a split.
fn config_of(file: &str) -> Option<String> {
    let (folders, _) = file.rsplit_once('/')?;
    folders
        .split('/')
        .find(|folder| {
            *folder != "data" && *folder != "default" && Split::of_folder(folder).is_none()
        })
        .map(str::to_owned)
}

/// Whether a folder or the start of a name on the file's path is `config`. A dash in the
/// configuration's name can mean a folder: `sample-10BT` is `sample/10BT`.
fn belongs_to(file: &str, config: &str) -> bool {
    let starts = |path: &str, config: &str| {
        path.strip_prefix(config)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '-', '_', '.']))
    };
    let folders = config.replace('-', "/");
    let tails = std::iter::successors(Some(file), |path| {
        path.split_once('/').map(|(_, tail)| tail)
    });
    tails
        .into_iter()
        .any(|tail| starts(tail, config) || starts(tail, &folders))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(files: &[&str], wanted: &Wanted<'_>) -> Result<Divided, String> {
        select(
            files.iter().map(|file| (*file).to_owned()).collect(),
            wanted,
        )
    }

    fn chosen(files: &[&str], config: Option<&str>) -> Result<Vec<String>, String> {
        let wanted = Wanted {
            config,
            format: FileFormat::Auto,
            card: &[],
        };
        selected(files, &wanted).map(|divided| divided.train)
    }

    #[test]
    fn common_layouts() {
        let wikitext = [
            ".gitattributes",
            "README.md",
            "wikitext-103-v1/test-00000-of-00001.parquet",
            "wikitext-103-v1/train-00001-of-00002.parquet",
            "wikitext-103-v1/train-00000-of-00002.parquet",
            "wikitext-2-v1/train-00000-of-00001.parquet",
        ];
        assert_eq!(
            chosen(&wikitext, Some("wikitext-103-v1")).as_deref(),
            Ok(&[
                "wikitext-103-v1/train-00000-of-00002.parquet".to_owned(),
                "wikitext-103-v1/train-00001-of-00002.parquet".to_owned()
            ][..])
        );
        assert!(
            chosen(&wikitext, None)
                .unwrap_err()
                .contains("wikitext-2-v1")
        );
        assert!(
            chosen(&wikitext, Some("wikitext-3"))
                .unwrap_err()
                .contains("wikitext-2-v1")
        );
        let plain = [
            "data/train-00000-of-00001.parquet",
            "data/validation-00000-of-00001.parquet",
            "README.md",
        ];
        assert_eq!(
            chosen(&plain, None),
            Ok(vec!["data/train-00000-of-00001.parquet".to_owned()])
        );
        let sampled = [
            "sample/10BT/000.parquet",
            "sample/100BT/000.parquet",
            "data/CC-2024/train-0.parquet",
        ];
        assert_eq!(
            chosen(&sampled, Some("sample-10BT")),
            Ok(vec!["sample/10BT/000.parquet".to_owned()])
        );
        let lines = [
            "en/part-1.jsonl.gz",
            "en/part-2.jsonl.gz",
            "requirements.txt",
        ];
        assert_eq!(chosen(&lines, Some("en")).map(|files| files.len()), Ok(2));
        assert!(chosen(&["README.md"], None).is_err());
    }

    #[test]
    fn a_card_lists_the_files() {
        let card = "---\nconfigs:\n- config_name: 20231101.en\n  data_files:\n  - split: train\n    \
                    path: 20231101.en/*\n- config_name: 20231101.ab\n  data_files:\n  - split: train\n    \
                    path: 20231101.ab/*\n- config_name: books\n  data_dir: books\n---\n";
        let card = hub_card::configurations(card).expect("valid");
        let files = [
            "20231101.ab/train-00000-of-00001.parquet",
            "20231101.en/train-00000-of-00041.parquet",
            "20231101.en/train-00001-of-00041.parquet",
            "books/test.jsonl",
            "books/latest.jsonl",
            "README.md",
        ];
        let with = |config| {
            let wanted = Wanted {
                config,
                format: FileFormat::Auto,
                card: &card,
            };
            selected(&files, &wanted)
        };
        let english = with(Some("20231101.en")).expect("listed");
        assert_eq!(english.train, files[1..3]);
        assert!(english.other.is_empty());
        let books = with(Some("books")).expect("listed");
        assert_eq!(books.train, ["books/latest.jsonl"]);
        assert_eq!(books.other, ["books/test.jsonl"]);
        assert!(with(None).unwrap_err().contains("20231101.ab"));
        assert!(
            with(Some("20231101.de"))
                .unwrap_err()
                .contains("20231101.ab")
        );
    }

    #[test]
    fn a_pattern_of_several_formats_gives_the_best() {
        let card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    \
                    path: data/*\n  - split: test\n    path: test/*\n---\n";
        let card = hub_card::configurations(card).expect("valid");
        let files = [
            "data/a.jsonl",
            "data/a.parquet",
            "data/b.parquet",
            "data/notes.txt",
            "test/a.parquet",
        ];
        for (format, train, other) in [
            (
                FileFormat::Auto,
                &files[1..3],
                &["test/a.parquet", "data/a.jsonl", "data/notes.txt"][..],
            ),
            (FileFormat::Json, &["data/a.jsonl", "data/notes.txt"], &[]),
        ] {
            let wanted = Wanted {
                config: None,
                format,
                card: &card,
            };
            let found = selected(&files, &wanted).expect("there are such files");
            assert_eq!(found.train, train, "{format:?}");
            assert_eq!(found.other, other, "{format:?}");
        }
    }

    #[test]
    fn a_format_chooses_other_files() {
        let files = [
            "a.parquet",
            "b.json",
            "c.txt",
            "d.xml.bz2",
            "README.md",
            "LICENSE",
        ];
        for (format, expected) in [
            (FileFormat::Auto, &["a.parquet"][..]),
            (FileFormat::Json, &["b.json", "c.txt"]),
            (FileFormat::Text, &["b.json", "c.txt", "d.xml.bz2"]),
            (FileFormat::Wikipedia, &["d.xml.bz2"]),
        ] {
            let wanted = Wanted {
                config: None,
                format,
                card: &[],
            };
            let found = selected(&files, &wanted).expect("there are such files");
            assert_eq!(found.train, expected, "{format:?}");
        }
    }
}
