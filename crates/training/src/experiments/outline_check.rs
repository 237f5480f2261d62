//! What an outline may hold. Its names become paths, and its lists are multiplied with each other in a
//! report.

use std::collections::BTreeSet;

use super::outline::Outline;

/// The most arms of an experiment, and the most charts and tables of its report: limits far above real ones.
pub(super) const MOST_ARMS: usize = 1000;
pub(super) const MOST_CHARTS: usize = 100;
pub(super) const MOST_TABLES: usize = 100;

/// The most columns of a table.
const MOST_COLUMNS: usize = 100;

/// Whether an arm can have this name: its folder has the same.
pub(super) fn is_folder_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 100
        && name.chars().all(good)
}

/// Checks an outline that was read from a file; an error is the reason why it cannot be used.
pub(super) fn check(outline: &Outline) -> Result<(), String> {
    let of_charts = outline.charts.iter().map(|chart| chart.arms.len());
    let of_tables = outline.tables.iter().map(|table| table.arms.len());
    let columns = outline.tables.iter().map(|table| table.columns.len());
    for (what, found, most) in [
        ("arms", outline.arms.len(), MOST_ARMS),
        ("charts", outline.charts.len(), MOST_CHARTS),
        ("tables", outline.tables.len(), MOST_TABLES),
        ("arms of a chart", of_charts.max().unwrap_or(0), MOST_ARMS),
        ("arms of a table", of_tables.max().unwrap_or(0), MOST_ARMS),
        (
            "columns of a table",
            columns.max().unwrap_or(0),
            MOST_COLUMNS,
        ),
    ] {
        if found > most {
            return Err(format!("{found} {what}, expected at most {most}"));
        }
    }
    let mut names = BTreeSet::new();
    for arm in &outline.arms {
        if !is_folder_name(&arm.name) {
            return Err(format!("{:?} is not the name of an arm", arm.name));
        }
        if !names.insert(arm.name.as_str()) {
            return Err(format!("two arms are called {:?}", arm.name));
        }
    }
    let mut seeds = BTreeSet::new();
    match outline.seeds.iter().find(|&&seed| !seeds.insert(seed)) {
        Some(seed) => Err(format!("the seed {seed} is there twice")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::{Chart, Column, OUTLINE_FILE, OutlineError, Table};

    #[test]
    fn outlines_that_no_experiment_has_are_refused() {
        let good = || {
            let text = r#"{"seeds": [1, 2], "arms": [{"name": "a", "label": ""}]}"#;
            serde_json::from_str::<Outline>(text).unwrap()
        };
        let with = |change: &dyn Fn(&mut Outline)| {
            let mut outline = good();
            change(&mut outline);
            let place = tempfile::tempdir().unwrap();
            outline.write(place.path()).unwrap();
            match Outline::read(place.path()) {
                Err(OutlineError::Damaged { path, reason }) => {
                    assert!(path.ends_with(OUTLINE_FILE));
                    reason
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(check(&good()), Ok(()));
        for name in ["", "../a", "/a", "a/b", ".a"] {
            let reason = with(&|outline| outline.arms[0].name = name.into());
            assert_eq!(reason, format!("{name:?} is not the name of an arm"));
        }
        let twice = with(&|outline| outline.arms.extend(good().arms));
        assert_eq!(twice, "two arms are called \"a\"");
        let twice = with(&|outline| outline.seeds.push(2));
        assert_eq!(twice, "the seed 2 is there twice");
        let arms = with(&|outline| outline.arms = vec![outline.arms[0].clone(); 1001]);
        assert_eq!(arms, "1001 arms, expected at most 1000");
        let charts = with(&|outline| outline.charts = vec![Chart::default(); 101]);
        assert_eq!(charts, "101 charts, expected at most 100");
        let tables = with(&|outline| outline.tables = vec![Table::default(); 101]);
        assert_eq!(tables, "101 tables, expected at most 100");
        let columns = with(&|outline| {
            outline.tables = vec![Table {
                columns: vec![Column::Runs; 101],
                ..Table::default()
            }];
        });
        assert_eq!(columns, "101 columns of a table, expected at most 100");
        let named = with(&|outline| {
            outline.charts = vec![Chart {
                arms: vec!["a".into(); 1001],
                ..Chart::default()
            }];
        });
        assert_eq!(named, "1001 arms of a chart, expected at most 1000");
    }
}
