//! The figures and charts of the published studies come from their metrics, which are in the
//! repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use learned_dropout_training::experiments::ChartKind;
use learned_dropout_training::report::{Format, Report, Theme};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The files and folders of a folder, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// The folders of `docs/results`.
fn studies() -> Vec<PathBuf> {
    let mut studies = entries(&docs().join("results"));
    studies.retain(|path| path.is_dir());
    studies
}

/// The report of a study.
fn report(study: &Path) -> Report {
    let mut report = Report::read(&[study.into()]).expect("a study");
    // The command to repeat it names the folder, which is another one here.
    for section in &mut report.sections {
        section.folder = Some(PathBuf::from("runs").join(study.file_name().expect("a name")));
    }
    report
}

/// The documents that show results.
fn documents() -> Vec<PathBuf> {
    let mut documents = entries(&docs());
    documents.retain(|path| has_ending(path, "md"));
    documents.push(docs().join("../README.md"));
    documents
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

#[test]
fn tables_are_those_of_the_metrics() {
    let studies = studies();
    assert!(!studies.is_empty());
    for study in studies {
        let path = study.join("tables.md");
        let kept = std::fs::read_to_string(&path).expect("the tables");
        let made = report(&study).write(Format::Markdown { all_columns: true });
        assert!(
            kept == made,
            "{}: `ldrop report` makes other tables of these metrics; write them anew",
            path.display()
        );
    }
}

/// A chart `KIND-THEME.svg` beside a study's metrics is the one that `ldrop report` makes of them.
#[test]
fn charts_are_those_of_the_metrics() {
    let mut charts = 0;
    for study in studies() {
        let folder = entries(&study);
        for path in folder.iter().filter(|path| has_ending(path, "svg")) {
            charts += 1;
            let name = path.file_stem().expect("a name").to_string_lossy();
            let (kind, theme) = name.rsplit_once('-').expect("KIND-THEME.svg");
            let kind = ChartKind::ALL.into_iter().find(|of| of.name() == kind);
            let theme = Theme::ALL.into_iter().find(|of| of.name() == theme);
            let made = report(&study).picture(Some(kind.expect("a kind")), theme.expect("a theme"));
            let kept = std::fs::read_to_string(path).expect("a chart");
            assert!(
                Some(kept) == made,
                "{}: `ldrop report --chart` makes another chart of these metrics; draw it anew",
                path.display()
            );
        }
    }
    assert!(charts > 0);
}

/// A document in parts: what stands below a heading or a line `<!-- results/STUDY -->`, with the tables
/// of the study.
struct Part<'a> {
    lines: Vec<&'a str>,
    tables: String,
}

fn parts<'a>(docs: &Path, document: &'a str) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut tables = String::new();
    let mut lines = Vec::new();
    let mut code = false;
    for line in document.lines() {
        code ^= line.starts_with("```");
        let study = line
            .strip_prefix("<!-- ")
            .and_then(|line| line.strip_suffix(" -->"))
            .filter(|study| study.starts_with("results/"));
        if let Some(study) = study {
            let path = docs.join(study).join("tables.md");
            // A section may show several studies, or one several times.
            let of_study = std::fs::read_to_string(path).expect("the tables of a study");
            if !tables.contains(&of_study) {
                tables += &of_study;
            }
        } else if line.starts_with('#') && !code {
            parts.push(Part {
                lines: std::mem::take(&mut lines),
                tables: std::mem::take(&mut tables),
            });
        } else if !code {
            lines.push(line);
        }
    }
    parts.push(Part { lines, tables });
    parts.retain(|part| !part.tables.is_empty());
    parts
}

/// Tables that other documents show, below a line `<!-- results/STUDY -->`, are those of the study.
#[test]
fn documents_show_the_tables_of_the_studies() {
    let docs = docs();
    let mut shown = 0;
    for path in documents() {
        let document = std::fs::read_to_string(&path).expect("a document");
        for part in parts(&docs, &document) {
            for line in part.lines.iter().filter(|line| line.starts_with('|')) {
                shown += 1;
                assert!(
                    part.tables.lines().any(|row| row == *line),
                    "{}: not in the study: {line}",
                    path.display()
                );
            }
        }
    }
    assert!(shown > 0);
}

/// Losses and shares that the text below such a table names are values of the study, or differences of
/// two of them.
#[test]
fn texts_name_the_figures_of_the_studies() {
    let docs = docs();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for path in documents() {
        let document = std::fs::read_to_string(&path).expect("a document");
        for part in parts(&docs, &document) {
            let known = figures(&part.tables);
            let text = part.lines.iter().filter(|line| !line.starts_with('|'));
            for line in text {
                for figure in figures(line) {
                    checked += 1;
                    if !is_known(&figure, &known) {
                        wrong.push(format!("{}: {figure}: {line}", path.display()));
                    }
                }
            }
        }
    }
    assert!(checked > 50, "{checked}");
    assert!(wrong.is_empty(), "not in the study:\n{}", wrong.join("\n"));
}

/// Numbers of a text with three decimals, and percentages with one.
fn figures(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == '%';
    let words = text.split(|c: char| !is_part(c));
    let is_figure = |word: &&str| {
        let decimals = |word: &str| word.split_once('.').map_or(0, |(_, after)| after.len());
        match word.strip_suffix('%') {
            Some(share) => decimals(share) == 1,
            None => decimals(word) == 3,
        }
    };
    words
        .map(|word| word.trim_end_matches('.'))
        .filter(is_figure)
        .map(str::to_string)
        .collect()
}

/// Whether a figure is a known one. Only one below 1 may be a difference: among so many differences of
/// two values a larger number would be found by chance.
fn is_known(figure: &str, known: &BTreeSet<String>) -> bool {
    if known.contains(figure) {
        return true;
    }
    let thousandths = |text: &str| text.parse::<f64>().map(|value| (value * 1000.0).round());
    let Ok(wanted) = thousandths(figure) else {
        return false;
    };
    let known: Vec<f64> = known.iter().filter_map(|of| thousandths(of).ok()).collect();
    // Differences of rounded values may be off by one in the last place.
    let is_wanted = |difference: f64| (difference - wanted).abs() <= 1.0;
    wanted < 1000.0 && known.iter().any(|a| known.iter().any(|b| is_wanted(a - b)))
}
