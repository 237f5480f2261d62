//! The measured speeds of an experiment that names no tables: a row for each arm and benchmark, so that all of
//! them fit beside each other.

use super::arm::Arm;
use super::table::{Cell, DataTable};
use crate::experiments::Column;

/// The benchmarks, with the columns that have their figures.
const BENCHMARKS: [(&str, [Column; FIGURES]); 2] = [
    (
        "decode",
        [
            Column::DecodeSpeed,
            Column::DecodeSpeedUp,
            Column::DecodeSpeedUpOverFirst,
        ],
    ),
    (
        "prefill",
        [
            Column::PrefillSpeed,
            Column::PrefillSpeedUp,
            Column::PrefillSpeedUpOverFirst,
        ],
    ),
];

/// Figures of a benchmark.
const FIGURES: usize = 3;

/// The columns before the figures, and the figures.
const COLUMNS: [(&str, &str); 2 + FIGURES] = [
    ("arm", "Arm"),
    ("benchmark", "Benchmark"),
    ("tokens_per_second", "Tokens/s"),
    ("speed_up", "Speed-up over dense"),
    ("speed_up_over_first", "Speed-up over the first arm"),
];

/// The table; none if no speed was measured. Columns that nothing is known of are left out.
pub(super) fn table(arms: &[Arm]) -> Option<DataTable> {
    let first = arms.first()?;
    let rows_of = |arm: &Arm| {
        BENCHMARKS
            .map(|(name, columns)| {
                let cells = columns.map(|column| column.cell(arm, first, None));
                let names = [Cell::Text(arm.label.clone()), Cell::Text(name.into())];
                names.into_iter().chain(cells).collect::<Vec<Cell>>()
            })
            .into_iter()
            .filter(|row| row[2] != Cell::Empty)
            .collect::<Vec<_>>()
    };
    let rows: Vec<Vec<Cell>> = arms.iter().flat_map(rows_of).collect();
    let is_known = |column: &usize| rows.iter().any(|row| row[*column] != Cell::Empty);
    let known: Vec<usize> = (0..COLUMNS.len()).filter(is_known).collect();
    (!rows.is_empty()).then(|| DataTable {
        title: "Speed of the trained models".into(),
        headings: known.iter().map(|&at| COLUMNS[at].1.into()).collect(),
        keys: known.iter().map(|&at| COLUMNS[at].0.into()).collect(),
        rows: rows
            .iter()
            .map(|row| known.iter().map(|&at| row[at].clone()).collect())
            .collect(),
        ..DataTable::default()
    })
}
