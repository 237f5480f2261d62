//! The tables of the published studies come from their metrics, which are in the repository.

use std::path::{Path, PathBuf};

use learned_dropout_training::report::{Format, Report};

/// The folders of `docs/results`.
fn studies() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
    let entries = std::fs::read_dir(folder).expect("the folder of results");
    let mut studies: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    studies.sort();
    studies
}

#[test]
fn tables_are_those_of_the_metrics() {
    let studies = studies();
    assert!(!studies.is_empty());
    for study in studies {
        let path = study.join("tables.md");
        let kept = std::fs::read_to_string(&path).expect("the tables");
        let mut report = Report::read(std::slice::from_ref(&study)).expect("a study");
        // The command to repeat the study names the folder, which is another one here.
        for section in &mut report.sections {
            section.folder = Some(PathBuf::from("runs").join(study.file_name().expect("a name")));
        }
        let made = report.write(Format::Markdown);
        assert!(
            kept == made,
            "{}: `ldrop report` makes other tables of these metrics; write them anew",
            path.display()
        );
    }
}

/// Tables that other documents show, below a line `<!-- results/STUDY -->`, are those of the study.
#[test]
fn documents_show_the_tables_of_the_studies() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut shown = 0;
    let files = std::fs::read_dir(&docs).expect("the documents");
    for path in files.map(|file| file.expect("an entry").path()) {
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let name = path.display();
        let document = std::fs::read_to_string(&path).expect("a document");
        let mut tables = String::new();
        for line in document.lines() {
            let study = line
                .strip_prefix("<!-- ")
                .and_then(|line| line.strip_suffix(" -->"));
            if let Some(study) = study {
                let path = docs.join(study).join("tables.md");
                tables = std::fs::read_to_string(path).expect("the tables of a study");
            } else if line.starts_with('#') {
                tables.clear();
            } else if line.starts_with('|') && !tables.is_empty() {
                shown += 1;
                assert!(
                    tables.lines().any(|row| row == line),
                    "{name}: not in the study: {line}"
                );
            }
        }
    }
    assert!(shown > 0);
}
