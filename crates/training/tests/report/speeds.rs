//! The measured speeds in tables, worked out by hand.

use std::path::Path;

use learned_dropout_training::experiments::{Column, Table};
use learned_dropout_training::report::{Cell, Report};
use serde_json::{Value, json};

use crate::study;

/// A benchmark of 100 tokens with three rounds.
fn benchmark(dense: [f64; 3], sparse: [f64; 3], together: &[&str]) -> Value {
    let engine = |seconds: [f64; 3]| json!({"tokens_per_second": 100.0 / seconds[1], "seconds_all": seconds});
    let mut measured = json!([{
        "arguments": ["bench", "decode", "--tokens", "100", "--rounds", "3"],
        "result": {
            "dense": engine(dense), "sparse": engine(sparse), "speed_up": dense[1] / sparse[1],
        },
    }]);
    if !together.is_empty() {
        measured[0]["together"] = json!(together);
    }
    measured
}

fn cells(folder: &Path, learned: &Value, baseline: &Value) -> Vec<Vec<String>> {
    study::write(folder);
    for (arm, measured) in [("learned", learned), ("baseline", baseline)] {
        let file = folder.join(format!("runs/{arm}/seed-1/measurements.json"));
        std::fs::write(file, measured.to_string()).expect("written");
    }
    let mut report = Report::read(&[folder.into()]).expect("a report");
    report.sections[0].outline.tables = vec![Table {
        arms: vec!["learned".into(), "baseline".into()],
        columns: vec![
            Column::DecodeSpeed,
            Column::DecodeSpeedUp,
            Column::DecodeSpeedUpOverFirst,
        ],
        ..Table::default()
    }];
    let table = &report.sections[0].tables()[0];
    let row = |row: &Vec<Cell>| row[1..].iter().map(Cell::show).collect();
    table.rows.iter().map(row).collect()
}

/// The learned arm takes 1, 2 and 4 seconds: 100, 50 and 25 tokens a second, and 2, 2 and 2.5 times less than
/// its dense engine. The baseline takes 4, 5 and 5 seconds: 25, 20 and 20 tokens a second, and compared with
/// the first arm 0.25, 0.4 and 0.8, of which the medians' ratio is 2 / 5.
///
/// Median distances from the medians: of 100, 50 and 25 25; of 25, 20 and 20 0; of 2, 2 and 2.5 0; of 0.25,
/// 0.4 and 0.8 0.15, which is 0.22 when it is made a standard deviation.
#[test]
fn the_spread_of_a_speed_is_that_of_its_rounds() {
    let place = tempfile::tempdir().expect("a folder");
    let together = ["learned", "baseline"];
    let learned = benchmark([2.0, 4.0, 10.0], [1.0, 2.0, 4.0], &together);
    let baseline = benchmark([4.0, 5.0, 5.0], [4.0, 5.0, 5.0], &together);
    assert_eq!(
        cells(place.path(), &learned, &baseline),
        [
            ["50 ± 37", "2.00 ± 0.00×", "–"],
            ["20 ± 0", "–", "0.40 ± 0.22×"],
        ]
    );
}

/// The same figures where the experiment names no tables: in a table of their own, which fits a terminal, and
/// not among the few columns of results.
#[test]
fn speeds_have_a_table_of_their_own() {
    let place = tempfile::tempdir().expect("a folder");
    let together = ["learned", "baseline"];
    let learned = benchmark([2.0, 4.0, 10.0], [1.0, 2.0, 4.0], &together);
    let baseline = benchmark([4.0, 5.0, 5.0], [4.0, 5.0, 5.0], &together);
    cells(place.path(), &learned, &baseline);
    let report = Report::read(&[place.path().into()]).expect("a report");
    let tables = report.sections[0].tables();
    let expected = "| Arm | Benchmark | Tokens/s | Speed-up over dense | Speed-up over the first arm |\n\
                    | --- | --- | ---: | ---: | ---: |\n\
                    | Learned <dropout> & more | decode | 50 ± 37 | 2.00 ± 0.00× | – |\n\
                    | Baseline | decode | 20 ± 0 | – | 0.40 ± 0.22× |\n";
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[1].title, "Speed of the trained models");
    assert_eq!(tables[1].markdown(), expected);
    let (all, narrow) = (&tables[0], tables[0].narrow());
    let is_speed = |heading: &&String| heading.starts_with("Decode");
    assert_eq!(all.headings.iter().filter(is_speed).count(), 3);
    assert_eq!(narrow.headings.iter().filter(is_speed).count(), 0);
    // Nothing was timed in alternation.
    let apart = benchmark([4.0, 5.0, 5.0], [4.0, 5.0, 5.0], &[]);
    cells(place.path(), &apart, &apart);
    let report = Report::read(&[place.path().into()]).expect("a report");
    let table = &report.sections[0].tables()[1];
    assert_eq!(
        table.keys,
        ["arm", "benchmark", "tokens_per_second", "speed_up"]
    );
}

/// Files of older programs, which timed one model after the other, say nothing of an arm beside another.
#[test]
fn speeds_that_were_measured_apart_are_not_compared() {
    let place = tempfile::tempdir().expect("a folder");
    let learned = benchmark([2.0, 4.0, 10.0], [1.0, 2.0, 4.0], &[]);
    let baseline = benchmark([4.0, 5.0, 5.0], [4.0, 5.0, 5.0], &[]);
    assert_eq!(
        cells(place.path(), &learned, &baseline),
        [["50 ± 37", "2.00 ± 0.00×", "–"], ["20 ± 0", "–", "–"]]
    );
    let apart = benchmark([4.0, 5.0, 5.0], [4.0, 5.0, 5.0], &["baseline", "other"]);
    assert_eq!(cells(place.path(), &learned, &apart)[1][2], "–");
}
