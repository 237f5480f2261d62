//! The table of trained models whose small inputs are taken as 0.

use super::arm::Arm;
use super::columns::is_comparable;
use super::speeds::Benchmark;
use super::spread::Spread;
use super::table::{Cell, DataTable, Unit};
use crate::experiments::{Measurement, ThresholdPlan};

/// A row for each arm and share; none if nothing was measured.
pub(super) fn table(arms: &[Arm], plan: &ThresholdPlan) -> Option<DataTable> {
    let shown: Vec<&Arm> = arms
        .iter()
        .filter(|arm| plan.arms.contains(&arm.name))
        .collect();
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .flat_map(|arm| plan.sparsity.iter().map(|&sparsity| row(arm, sparsity)))
        .collect();
    let columns = [
        ("arm", "Arm"),
        ("sparsity", "Inputs taken as 0"),
        ("runs", "Runs"),
        ("validation_loss", "Validation loss"),
        ("executed_flops_per_token", "Executed FLOPs per token"),
        ("decode_speed", "Decode, tokens/s"),
        ("decode_speed_up", "Decode, speed-up over dense"),
        ("prefill_speed", "Prefill, tokens/s"),
    ];
    let is_known = |row: &Vec<Cell>| row[3] != Cell::Empty;
    rows.iter().any(is_known).then(|| DataTable {
        title: format!("Small inputs taken as 0 ({})", plan.inputs.name()),
        keys: columns.iter().map(|(key, _)| key.to_string()).collect(),
        headings: columns
            .iter()
            .map(|(_, heading)| heading.to_string())
            .collect(),
        rows,
        is_comparable: is_comparable(shown.into_iter()),
        ..DataTable::default()
    })
}

fn row(arm: &Arm, sparsity: f64) -> Vec<Cell> {
    let over = |kind: &str, keys: &[&str]| {
        let of = |of: &&Measurement| of.kind() == kind && of.sparsity == Some(sparsity);
        let values = arm.finished().filter_map(|run| {
            let measured = run.measurements.0.iter().find(of)?;
            measured.number(keys)
        });
        Spread::of_values(values.collect::<Vec<_>>())
    };
    let benchmark = |kind| Benchmark {
        kind,
        sparsity: Some(sparsity),
    };
    let loss = over("eval", &["loss"]);
    vec![
        Cell::Text(arm.label.clone()),
        Cell::Number(sparsity, Unit::Share),
        Cell::Number(loss.map_or(0.0, |loss| loss.count as f64), Unit::Count),
        Cell::spread(loss, Unit::Nats),
        Cell::spread(
            over("eval", &["forward_flops_per_token", "executed"]),
            Unit::Operations,
        ),
        Cell::spread(benchmark("decode").speed(arm, "sparse"), Unit::Count),
        Cell::spread(benchmark("decode").speed_up_over_dense(arm), Unit::Factor),
        Cell::spread(benchmark("prefill").speed(arm, "sparse"), Unit::Count),
    ]
}
