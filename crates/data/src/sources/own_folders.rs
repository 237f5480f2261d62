//! Recognizes what this program wrote by what is in it, whatever its name. It lies where texts lie, and
//! must not become text.

use std::path::Path;

use crate::shards::{SHARD_FILE, TOKENS_FILE};

/// What the head of every page of this program holds.
const PAGE_MARK: &[u8] = b"<meta name=\"generator\" content=\"ldrop";

/// What kind of folder of this program `folder` is.
pub(crate) fn kind(folder: &Path) -> Option<&'static str> {
    let has = |name: &str| folder.join(name).exists();
    let any = |names: &[&str]| names.iter().any(|name| has(name));
    if has("meta.json") && any(&["train.bin", "val.bin"]) || has("train.bin") && has("val.bin") {
        Some("a data folder")
    } else if has(SHARD_FILE) && has(TOKENS_FILE) {
        Some("a shard of a data folder")
    } else if has("config.toml") && any(&["metrics.jsonl", "checkpoints", "tensorboard"]) {
        Some("a run folder")
    } else if has("config.json") && has("model.safetensors") {
        Some("a model folder")
    } else if has("experiment.json") && has("runs") {
        Some("a folder of experiments")
    } else if is_being_prepared(folder) {
        Some("a data folder that is being prepared")
    } else {
        None
    }
}

fn is_being_prepared(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name.ends_with(".preparing")
}

/// Whether a file that begins with `head` is a page that this program wrote.
pub(super) fn is_page(head: &[u8]) -> bool {
    head[..head.len().min(1024)]
        .windows(PAGE_MARK.len())
        .any(|window| window == PAGE_MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_recognized_by_what_is_in_them() {
        let root = tempfile::tempdir().unwrap();
        for (number, (files, expected)) in [
            (&["meta.json", "train.bin"][..], Some("a data folder")),
            (&["train.bin", "val.bin"], Some("a data folder")),
            (&[SHARD_FILE, TOKENS_FILE], Some("a shard of a data folder")),
            (&["config.toml", "metrics.jsonl"], Some("a run folder")),
            (&["config.toml", "checkpoints"], Some("a run folder")),
            (
                &["config.json", "model.safetensors"],
                Some("a model folder"),
            ),
            (
                &["experiment.json", "runs"],
                Some("a folder of experiments"),
            ),
            (&["config.toml", "main.rs"], None),
            (&["meta.json", "config.json"], None),
            (&["train.bin"], None),
        ]
        .into_iter()
        .enumerate()
        {
            let folder = root.path().join(number.to_string());
            std::fs::create_dir(&folder).unwrap();
            for file in files {
                std::fs::write(folder.join(file), "x").unwrap();
            }
            assert_eq!(kind(&folder), expected, "{files:?}");
        }
        let hidden = root.path().join(".data.preparing");
        assert_eq!(kind(&hidden), Some("a data folder that is being prepared"));
        assert!(is_page(
            b"<head><meta name=\"generator\" content=\"ldrop 0.1.0\">"
        ));
        assert!(!is_page(b"<head><title>ldrop</title>"));
    }
}
