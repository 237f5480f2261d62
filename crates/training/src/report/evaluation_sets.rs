//! The losses on further sets, `train.evaluate.sets`: a table, and a chart of each set.

use std::collections::BTreeSet;

use super::arm::Arm;
use super::charts::{Axis, Plot, add_course, series_of, with_spread};
use super::headline::headline;
use super::run_record::EvaluationPoint;
use super::table::{Cell, DataTable, Unit};

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
    let of_set = |name: &&str| headline(&all, first, &format!("loss on {name}"), loss_on(name));
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
    let columns = |own: [&str; 2]| {
        let names = names.iter().copied();
        own.into_iter().chain(names).map(String::from).collect()
    };
    (!names.is_empty()).then(|| DataTable {
        title: "Losses on further texts".into(),
        headings: columns(["Arm", "Validation loss"]),
        keys: columns(["arm", "validation_loss"]),
        rows: arms.iter().map(row).collect(),
        headline: headlines(arms, &names),
        ..DataTable::default()
    })
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
        Plot {
            title: format!("Loss on {name}"),
            x: axis("steps", true),
            y: axis("loss, nats per token", false),
            scattered: false,
            series: series.filter(|series| !series.points.is_empty()).collect(),
        }
    };
    names(arms).into_iter().map(plot).collect()
}
