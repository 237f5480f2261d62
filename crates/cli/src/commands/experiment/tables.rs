//! The tables of an experiment on standard output: as wide as the terminal, or Markdown elsewhere.

use std::path::Path;

use training::report::{DataTable, Report, Section};

use crate::failure::Failure;
use crate::terminal::{print, printable};
use crate::terminal_table::{fit, width, wrapped};

/// Settings of each arm that are listed; the report lists more.
const MOST_LISTED: usize = 20;

/// Prints what the experiment in a folder came to.
pub fn print_results(out: &Path) -> Result<(), Failure> {
    for section in &Report::read(&[out.to_path_buf()])?.sections {
        for table in section.tables() {
            print_table(&table)?;
        }
        print(&format!("{}\n", wrapped(&section.spread_notes())))?;
    }
    Ok(())
}

/// Prints the settings that were searched, and what was chosen.
pub fn print_search(out: &Path) -> Result<(), Failure> {
    for section in &Report::read(&[out.to_path_buf()])?.sections {
        print_search_of(section)?;
    }
    Ok(())
}

fn print_search_of(section: &Section) -> Result<(), Failure> {
    if let Some(table) = section.search_table(MOST_LISTED) {
        print_table(&table)?;
    }
    for note in section.search_notes() {
        print(&wrapped(&printable(&note)))?;
    }
    print("")
}

fn print_table(table: &DataTable) -> Result<(), Failure> {
    let (narrow, further) = (table.narrow(), table.further.len());
    print(&format!("{}\n", printable(&table.title)))?;
    if let Some(headline) = &table.headline {
        print(&format!("{}\n", wrapped(&printable(headline))))?;
    }
    let Some(width) = width() else {
        return print(&narrow.markdown());
    };
    let fitted = fit(&narrow, width);
    print(fitted.text.trim_end())?;
    let not_shown = wrapped(&not_shown(fitted.left_out, further));
    print(format!("{not_shown}\n").trim_start())
}

/// What of a table is not to be seen in the terminal.
fn not_shown(left_out: usize, further: usize) -> String {
    let columns = |count: usize| match count {
        1 => "1 column".to_string(),
        count => format!("{count} columns"),
    };
    match (left_out, further) {
        (0, 0) => String::new(),
        (0, 1) => "1 more column is in the report.".into(),
        (0, further) => format!("{further} more columns are in the report."),
        (left_out, 0) => format!("{} did not fit; see the report.", columns(left_out)),
        (left_out, further) => format!(
            "{} did not fit, and {further} more are in the report.",
            columns(left_out)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::not_shown;

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(not_shown(0, 0), "");
        assert_eq!(not_shown(1, 0), "1 column did not fit; see the report.");
        assert_eq!(not_shown(0, 1), "1 more column is in the report.");
        assert_eq!(not_shown(0, 11), "11 more columns are in the report.");
        assert_eq!(
            not_shown(2, 11),
            "2 columns did not fit, and 11 more are in the report."
        );
    }
}
