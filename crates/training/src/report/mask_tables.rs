//! What was found of the masks of trained models: tables with a row for each arm.

use serde_json::Value;

use super::arm::Arm;
use super::run_record::RunRecord;
use super::spread::Spread;
use super::table::{Cell, DataTable, Unit};
use crate::masks::TokenClass;

/// The analysis of a run's masks.
fn analysis(run: &RunRecord) -> Option<&Value> {
    let mut all = run.measurements.0.iter();
    Some(&all.find(|of| of.kind() == "inspect")?.result["analysis"])
}

/// The share of kept values at each place of a window, over the seeds.
pub(super) fn kept_by_position(arm: &Arm) -> Vec<(f64, Spread)> {
    let positions = |run| analysis(run)?["by_position"].as_array();
    let of_runs: Vec<&Vec<Value>> = arm.finished().filter_map(positions).collect();
    let longest = of_runs.iter().map(|of| of.len()).max().unwrap_or(0);
    let at = |place: usize| {
        let shares = of_runs.iter().filter_map(|of| of.get(place)?.as_f64());
        Some((place as f64, Spread::of_values(shares)?))
    };
    (0..longest).filter_map(at).collect()
}

/// What is always or never kept and what tokens have in common; and what kinds of tokens keep.
pub(super) fn tables(arms: &[Arm]) -> Vec<DataTable> {
    let known: Vec<&Arm> = arms
        .iter()
        .filter(|arm| arm.finished().any(|run| analysis(run).is_some()))
        .collect();
    if known.is_empty() {
        return Vec::new();
    }
    vec![overlaps(&known), classes(&known)]
}

fn overlaps(arms: &[&Arm]) -> DataTable {
    let columns: [(&str, &str, &[&str]); 7] = [
        ("kept", "Kept", &["kept"]),
        ("always_kept", "Always kept", &["always_kept"]),
        ("never_kept", "Never kept", &["never_kept"]),
        ("overlap", "Overlap of two tokens", &["overlap", "any"]),
        ("overlap_by_chance", "By chance", &["overlap", "chance"]),
        (
            "overlap_of_neighbours",
            "Of neighbours",
            &["overlap", "neighbours"],
        ),
        (
            "overlap_of_same_token",
            "Of the same token",
            &["overlap", "same_token"],
        ),
    ];
    let row = |arm: &&Arm| {
        let share = |keys: &[&str]| {
            arm.over_seeds(|run| {
                let of = keys.iter().fold(analysis(run)?, |value, key| &value[key]);
                of.as_f64()
            })
        };
        let mut row = vec![Cell::Text(arm.label.clone())];
        row.extend(columns.map(|(_, _, keys)| Cell::spread(share(keys), Unit::Share)));
        row
    };
    let names = columns.map(|(key, heading, _)| (key, heading));
    table(
        "What tokens keep in common",
        &names,
        arms.iter().map(row).collect(),
    )
}

fn classes(arms: &[&Arm]) -> DataTable {
    let of_class = |run: &RunRecord, class: TokenClass| {
        let classes = analysis(run)?["classes"].as_array()?;
        let name = serde_json::to_value(class).ok()?;
        let found = classes.iter().find(|of| of["class"] == name)?;
        found["kept"].as_f64()
    };
    let kept = |arm: &Arm, class| arm.over_seeds(|run| of_class(run, class));
    let seen: Vec<TokenClass> = TokenClass::ALL
        .into_iter()
        .filter(|&class| arms.iter().any(|arm| kept(arm, class).is_some()))
        .collect();
    let row = |arm: &&Arm| {
        let mut row = vec![Cell::Text(arm.label.clone())];
        let shares = seen.iter().map(|&class| kept(arm, class));
        row.extend(shares.map(|share| Cell::spread(share, Unit::Share)));
        row
    };
    let names: Vec<(&str, &str)> = seen.iter().map(|of| (of.name(), of.name())).collect();
    table(
        "What kinds of tokens keep",
        &names,
        arms.iter().map(row).collect(),
    )
}

fn table(title: &str, columns: &[(&str, &str)], rows: Vec<Vec<Cell>>) -> DataTable {
    let with_arm = |arm: &str, name: fn(&(&str, &str)) -> String| {
        std::iter::once(arm.into())
            .chain(columns.iter().map(name))
            .collect()
    };
    DataTable {
        title: title.into(),
        keys: with_arm("arm", |(key, _)| key.replace(' ', "_")),
        headings: with_arm("Arm", |(_, heading)| (*heading).into()),
        rows,
        ..DataTable::default()
    }
}
