//! Selects the files of a dataset on the hub that contain its text.

use std::collections::BTreeSet;
use std::path::Path;

use super::file_format::{self, Format};

/// Selects the data files of `config` from a dataset's files: those of the best format, and only those
/// of the training split if the dataset has splits. The error lists what is available.
pub(super) fn select(files: Vec<String>, config: Option<&str>) -> Result<Vec<String>, String> {
    let data: Vec<String> = files
        .into_iter()
        .filter(|file| format_rank(file).is_some())
        .collect();
    if data.is_empty() {
        return Err("it has no Parquet, JSON lines or text files".to_owned());
    }
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
    let best = chosen.iter().filter_map(|file| format_rank(file)).min();
    let mut chosen: Vec<String> = chosen
        .into_iter()
        .filter(|file| format_rank(file) == best)
        .collect();
    if chosen.iter().any(|file| is_train(file)) {
        chosen.retain(|file| is_train(file));
    }
    chosen.sort();
    Ok(chosen)
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
fn format_rank(file: &str) -> Option<u8> {
    let name = file.rsplit('/').next()?;
    if name.starts_with('.') {
        return None;
    }
    match file_format::of_name(Path::new(file)).0 {
        Format::Parquet => Some(0),
        Format::JsonLines => Some(1),
        Format::PlainText => {
            let stem = [".gz", ".bz2", ".zst"]
                .iter()
                .find_map(|ending| name.strip_suffix(ending))
                .unwrap_or(name);
            let lists = ["readme", "license", "requirements"]
                .iter()
                .any(|list| stem.to_lowercase().starts_with(list));
            (stem.ends_with(".txt") && !lists).then_some(2)
        }
        Format::WikipediaDump => None,
    }
}

/// The folder of a configuration: the first one that is neither `data` nor a split.
fn config_of(file: &str) -> Option<String> {
    let (folders, _) = file.rsplit_once('/')?;
    folders
        .split('/')
        .find(|folder| *folder != "data" && *folder != "default" && !is_split(folder))
        .map(str::to_owned)
}

fn is_split(folder: &str) -> bool {
    matches!(
        folder,
        "train" | "training" | "validation" | "valid" | "val" | "dev" | "test"
    )
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

fn is_train(file: &str) -> bool {
    file.split('/').any(|part| {
        part.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == "train" || word == "training")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], config: Option<&str>) -> Result<Vec<String>, String> {
        select(
            files.iter().map(|file| (*file).to_owned()).collect(),
            config,
        )
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
}
