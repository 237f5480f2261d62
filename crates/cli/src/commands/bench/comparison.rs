//! The report of several models that were timed in alternation.

use std::path::PathBuf;

use serde::Serialize;
use training::report::{Cell, DataTable, Spread, Unit};

use super::inference_report::Report;
use crate::failure::Failure;
use crate::terminal::{print, print_json};
use crate::terminal_table;

/// The width of the table where standard output is no terminal.
const WIDTH: usize = 100;

/// What `--json` prints.
#[derive(Serialize)]
pub struct Comparison<'a> {
    models: Vec<Compared<'a>>,
}

/// One of the models.
#[derive(Serialize)]
struct Compared<'a> {
    model: &'a PathBuf,
    speed_up_over_first: Option<f64>,
    /// How far the rounds' own ratios lie apart; none for one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_up_over_first_deviation: Option<f64>,
    /// Both, as a table shows them.
    #[serde(skip)]
    over_first: Option<Spread>,
    #[serde(flatten)]
    report: Report,
}

impl<'a> Comparison<'a> {
    /// The comparison of these models, each with its report.
    pub fn new(models: &'a [PathBuf], reports: Vec<Report>) -> Self {
        let over_first = |report: &Report| report.speed_up_over(&reports[0]);
        let ratios: Vec<Option<Spread>> = reports.iter().map(over_first).collect();
        let compared = |((model, report), ratio): ((_, _), Option<Spread>)| Compared {
            model,
            speed_up_over_first: ratio.map(|of| of.mean),
            speed_up_over_first_deviation: ratio.and_then(|of| of.deviation),
            over_first: ratio,
            report,
        };
        Self {
            models: models
                .iter()
                .zip(reports)
                .zip(ratios)
                .map(compared)
                .collect(),
        }
    }

    /// Prints the comparison, as JSON or as text.
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print_json(self);
        }
        let width = terminal_table::width().unwrap_or(WIDTH);
        print(terminal_table::fit(&self.table(), width).text.trim_end())?;
        print("speeds are those of the median round; ±: 1.48 times the median distance from it")?;
        if let Some(first) = self.models.first() {
            first.report.print_workload()?;
            first.report.print_machine()?;
        }
        Ok(())
    }

    fn table(&self) -> DataTable {
        let row = |of: &Compared<'_>| {
            vec![
                Cell::Text(of.model.display().to_string()),
                Cell::spread(of.report.speed(), Unit::Count),
                Cell::spread(of.over_first, Unit::Factor),
                Cell::spread(of.report.speed_up_over_dense(), Unit::Factor),
                Cell::number(of.report.kept(), Unit::Share),
            ]
        };
        let columns = [
            ("model", "Model"),
            ("tokens_per_second", "Tokens/s"),
            ("speed_up_over_first", "Speed-up over the first"),
            ("speed_up", "Speed-up over dense"),
            ("kept", "Kept"),
        ];
        DataTable {
            headings: columns.iter().map(|(_, name)| (*name).into()).collect(),
            keys: columns.iter().map(|(key, _)| (*key).into()).collect(),
            rows: self.models.iter().map(row).collect(),
            ..DataTable::default()
        }
    }
}
