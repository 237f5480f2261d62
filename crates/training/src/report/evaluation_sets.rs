//! The losses on further sets, `train.evaluate.sets`: a table, and a chart of each set.

use std::collections::BTreeSet;

use super::arm::Arm;
use super::charts::{Axis, Plot, add_course, series_of, with_spread};
use super::columns::is_comparable;
use super::headline::headline;
use super::measured_on::{self, Measured};
use super::run_record::EvaluationPoint;
use super::table::{Cell, DataTable, Unit};

/// The columns of the table before those of the sets.
const OWN_COLUMNS: usize = 2;

/// The names of all sets, in alphabetical order.
fn names(arms: &[Arm]) -> BTreeSet<&str> {
    let runs = arms.iter().flat_map(|arm| &arm.runs);
    let evaluations = runs.flat_map(|run| &run.evaluations);
    let sets = evaluations.flat_map(|evaluation| evaluation.sets.keys());
    sets.map(String::as_str).collect()
}

fn loss_on(name: &str) -> impl Fn(&EvaluationPoint) -> Option<f64> {
    move |evaluation| evaluation.sets.get(name).copied()
}

/// Which arm is best on each set.
fn headlines(arms: &[Arm], names: &BTreeSet<&str>) -> Option<String> {
    let first = arms.first()?;
    let all: Vec<&Arm> = arms.iter().collect();
    let of_set = |name: &&str| {
        let what = format!("loss on {name}");
        headline(&all, first, (&what, Measured::Set(name)), loss_on(name))
    };
    let sentences: Vec<String> = names.iter().filter_map(of_set).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// The losses of the last evaluations, a row for each arm; none without sets.
pub(super) fn table(arms: &[Arm]) -> Option<DataTable> {
    let names = names(arms);
    let row = |arm: &Arm| {
        let own = Cell::spread(arm.at_end(|end| end.validation_loss), Unit::Nats);
        let sets = names
            .iter()
            .map(|name| Cell::spread(arm.at_end(loss_on(name)), Unit::Nats));
        let label = Cell::Text(arm.label.clone());
        [label, own].into_iter().chain(sets).collect()
    };
    let columns = |own: [&str; OWN_COLUMNS], name: fn(&&str) -> String| {
        let names = names.iter().map(name);
        own.into_iter().map(String::from).chain(names).collect()
    };
    (!names.is_empty()).then(|| DataTable {
        title: "Losses on further texts".into(),
        headings: columns(["Arm", "Validation loss"], |name| name.to_string()),
        keys: columns(["arm", "validation_loss"], |name| format!("sets.{name}")),
        rows: arms.iter().map(row).collect(),
        headline: headlines(arms, &names),
        is_comparable: is_comparable(arms.iter()),
        ..DataTable::default()
    })
}

/// A table of these arms with a column for the loss on each set after its own.
pub(super) fn added_to(table: &DataTable, arms: &[Arm]) -> DataTable {
    let mut all = table.clone();
    let Some(sets) = self::table(arms) else {
        return all;
    };
    all.headings
        .extend_from_slice(&sets.headings[OWN_COLUMNS..]);
    all.keys.extend_from_slice(&sets.keys[OWN_COLUMNS..]);
    for row in &mut all.rows {
        let of_arm = sets.rows.iter().find(|of| of[0] == row[0]);
        let cells = of_arm.map(|of| of[OWN_COLUMNS..].to_vec());
        row.extend(cells.unwrap_or(vec![Cell::Empty; sets.keys.len() - OWN_COLUMNS]));
    }
    all
}

/// The losses on each set over the steps.
pub(super) fn plots(arms: &[Arm]) -> Vec<Plot> {
    let axis = |label, whole| Axis {
        label,
        share: false,
        whole,
    };
    let plot = |name: &str| {
        let series = arms.iter().enumerate().map(|(style, arm)| {
            let points = with_spread(arm.over_time(loss_on(name)));
            let mut series = series_of(arm, style, None, points);
            add_course(arm, &mut series);
            series
        });
        let title = format!("Loss on {name}");
        let difference = measured_on::difference_of_arms(arms.iter(), Measured::Set(name));
        Plot {
            title: difference.map_or(title.clone(), |of| of.heading(&title)),
            x: axis("steps", true),
            y: axis("loss, nats per token", false),
            scattered: false,
            series: series.filter(|series| !series.points.is_empty()).collect(),
        }
    };
    names(arms).into_iter().map(plot).collect()
}
