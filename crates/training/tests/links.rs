//! Links and pictures of the documents lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// All Markdown files of the repository's own text.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("docs"), root.join("crates/model/tests/fixtures")];
    let mut found = Vec::new();
    let mut add = |folder: &Path, folders: &mut Vec<PathBuf>| {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    };
    add(&root, &mut Vec::new());
    while let Some(folder) = folders.pop() {
        add(&folder, &mut folders);
    }
    found
}

/// A document without its blocks of code.
fn text(path: &Path) -> String {
    let document = std::fs::read_to_string(path).expect("a document");
    let mut code = false;
    let lines = document.lines().filter(|line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    });
    lines.collect::<Vec<&str>>().join("\n")
}

/// What stands between two marks, wherever both are on one line.
fn between<'a>(text: &'a str, begin: &str, end: char) -> Vec<&'a str> {
    let after = text.split(begin).skip(1);
    after
        .filter_map(|rest| rest.split(['\n', end]).next())
        .collect()
}

/// Addresses of links, pictures and their sources.
fn targets(text: &str) -> Vec<&str> {
    let mut all = between(text, "](", ')');
    for attribute in ["src=\"", "srcset=\"", "href=\""] {
        all.extend(between(text, attribute, '"'));
    }
    all
}

/// The names of a document's headings, as addresses have them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut links = 0;
    let mut broken = Vec::new();
    for path in documents() {
        let text_of_document = text(&path);
        let own_folder = path.parent().expect("a folder");
        for target in targets(&text_of_document) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                path.clone()
            } else {
                own_folder.join(file)
            };
            let found =
                file.exists() && (heading.is_empty() || anchors(&text(&file)).contains(heading));
            if !found {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(links > 20, "{links}");
    assert!(
        broken.is_empty(),
        "these lead nowhere:\n{}",
        broken.join("\n")
    );
}
