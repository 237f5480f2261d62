//! Tables in the terminal, no wider than it is.

use console::{Term, measure_text_width};
use training::report::DataTable;

use crate::terminal::printable;

/// Characters between two columns.
const GAP: usize = 2;
/// Lines that a heading may take.
const HEADING_LINES: usize = 3;
/// Names, in the first column, are cut to make room for numbers, but not shorter than this.
const SHORTEST_NAME: usize = 16;
/// Texts in the other columns are cut to this.
const LONGEST_TEXT: usize = 32;

/// A table as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// Its lines.
    pub text: String,
    /// The columns that did not fit.
    pub left_out: usize,
}

/// The width of a terminal that does not tell it.
const USUAL_WIDTH: usize = 80;

/// The width of the terminal that standard output is; none if it is none.
pub fn width() -> Option<usize> {
    let terminal = Term::stdout();
    let told = || terminal.size_checked().map(|(_, columns)| columns.into());
    let is_terminal = terminal.is_term();
    is_terminal.then(|| told().unwrap_or(USUAL_WIDTH))
}

/// Lays a table out in so many characters. Where they are too few, it cuts long names, and then leaves columns
/// out: the last ones, which are the least important ones, and the [most needed](DataTable::most_needed) only
/// after the others. The first column and one more always stay.
pub fn fit(table: &DataTable, width: usize) -> Fitted {
    let texts: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| {
            let cells = row.iter().enumerate();
            let text = |(column, text): (usize, String)| match column {
                0 => text,
                _ => cut(&text, LONGEST_TEXT),
            };
            let shown = cells.map(|(column, cell)| (column, one_line(&cell.show())));
            shown.map(text).collect()
        })
        .collect();
    let columns = table.headings.len();
    let column_width = |column: usize| {
        let cells = texts.iter().map(|row| measure_text_width(&row[column]));
        heading_width(&table.headings[column], cells.max().unwrap_or(0))
    };
    let all_widths: Vec<usize> = (0..columns).map(column_width).collect();
    let mut shown = by_need(table);
    let needed = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().max(1) - GAP;
    let widths_of = |shown: &[usize]| shown.iter().map(|&at| all_widths[at]).collect::<Vec<_>>();
    let mut widths = widths_of(&shown);
    let longest_name = widths.first().copied().unwrap_or(0);
    let room_for_names = |widths: &[usize]| width.saturating_sub(needed(widths) - longest_name);
    while shown.len() > 2 && room_for_names(&widths) < SHORTEST_NAME.min(longest_name) {
        shown.pop();
        widths.pop();
    }
    let name = room_for_names(&widths);
    shown.sort_unstable();
    let mut widths = widths_of(&shown);
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(name.max(4));
    }
    let is_number = |&column: &usize| table.rows.iter().all(|row| row[column].is_number());
    let numbers: Vec<bool> = shown.iter().map(is_number).collect();
    let shown_headings = shown.iter().map(|&at| table.headings[at].as_str());
    let mut text = headings(shown_headings, &widths, &numbers);
    text += &("─".repeat(needed(&widths)) + "\n");
    for row in &texts {
        let cells = shown.iter().map(|&at| &row[at]).zip(&widths);
        text += &line(
            cells.map(|(text, width)| cut(text, *width)),
            &widths,
            &numbers,
        );
    }
    Fitted {
        text,
        left_out: columns - shown.len(),
    }
}

/// The columns in the order in which they are needed: the first, the most needed ones, and the others from left
/// to right.
fn by_need(table: &DataTable) -> Vec<usize> {
    let place = |key: &String| table.keys.iter().position(|of| of == key);
    let mut order: Vec<usize> = (0..table.headings.len().min(1)).collect();
    let needed = table.most_needed.iter().filter_map(place);
    for column in needed.chain(1..table.headings.len()) {
        if !order.contains(&column) {
            order.push(column);
        }
    }
    order
}

fn headings<'a>(
    headings: impl Iterator<Item = &'a str>,
    widths: &[usize],
    numbers: &[bool],
) -> String {
    let wrapped: Vec<Vec<String>> = headings
        .zip(widths)
        .map(|(heading, width)| {
            let lines = wrap(&one_line(heading), *width).into_iter();
            lines.map(|line| cut(&line, *width)).collect()
        })
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let at = |number: usize| {
        // The last line of each heading stands on the rule.
        let cells = wrapped.iter().map(|lines| {
            let above = height - lines.len();
            number
                .checked_sub(above)
                .map_or(String::new(), |at| lines[at].clone())
        });
        line(cells, widths, numbers)
    };
    (0..height).map(at).collect()
}

/// A line of cells that are no wider than their columns; numbers stand to the right.
fn line(cells: impl Iterator<Item = String>, widths: &[usize], numbers: &[bool]) -> String {
    let padded = cells.zip(widths.iter().zip(numbers));
    let padded = padded.map(|(text, (width, is_number))| {
        let room = " ".repeat(width.saturating_sub(measure_text_width(&text)));
        if *is_number {
            room + &text
        } else {
            text + &room
        }
    });
    let cells: Vec<String> = padded.collect();
    let line = cells.join(&" ".repeat(GAP));
    format!("{}\n", line.trim_end())
}

/// The width of a column whose cells are at most `cells` wide: its heading takes few lines.
fn heading_width(heading: &str, cells: usize) -> usize {
    let mut width = heading
        .split(' ')
        .map(measure_text_width)
        .fold(cells, usize::max);
    while wrap(heading, width).len() > HEADING_LINES {
        width += 1;
    }
    width
}

/// A text in lines of whole words, as wide as the terminal.
pub fn wrapped(text: &str) -> String {
    width().map_or(text.into(), |width| wrap(text, width).join("\n"))
}

/// Lines of whole words; a word that is wider than the width has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if last.is_empty() {
            last.push_str(word);
        } else if measure_text_width(last) + 1 + measure_text_width(word) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.into());
        }
    }
    lines
}

fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// The beginning of a text that is too wide.
fn cut(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.into();
    }
    let mut kept = String::new();
    for c in text.chars() {
        let more = format!("{kept}{c}");
        if measure_text_width(&more) + 1 > width {
            break;
        }
        kept = more;
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use training::report::{Cell, Unit};

    fn table() -> DataTable {
        let words = |words: [&str; 4]| words.map(String::from).to_vec();
        let row = |name: &str, loss: f64, kept: f64, flops: f64| {
            vec![
                Cell::Text(name.into()),
                Cell::Number(loss, Unit::Nats),
                Cell::Number(kept, Unit::Share),
                Cell::Number(flops, Unit::Count),
            ]
        };
        DataTable {
            headings: words(["Arm", "Validation loss", "Kept", "Executed FLOPs per token"]),
            keys: words(["arm", "loss", "kept", "flops"]),
            rows: vec![
                row("baseline", 3.25, 1.0, 1_234_567.0),
                row("learned dropout of hidden units", 3.125, 0.25, 234_567.0),
            ],
            ..DataTable::default()
        }
    }

    #[test]
    fn a_table_that_fits_is_shown_whole() {
        let expected = "                                                      Executed
                                 Validation          FLOPs per
Arm                                    loss    Kept      token
──────────────────────────────────────────────────────────────
baseline                              3.250  100.0%  1,234,567
learned dropout of hidden units       3.125   25.0%    234,567
";
        let fitted = fit(&table(), 80);
        assert_eq!((fitted.text.as_str(), fitted.left_out), (expected, 0));
        assert_eq!(fit(&table(), 62).text, expected);
    }

    /// One character less than the 62 of the whole table cuts the longest name; names shorter than 16
    /// characters would leave the last column no room below 47.
    #[test]
    fn names_are_cut_and_then_columns_left_out() {
        let narrower = fit(&table(), 61);
        assert!(
            narrower.text.contains("learned dropout of hidden uni…  "),
            "{}",
            narrower.text
        );
        assert_eq!(
            (fit(&table(), 47).left_out, fit(&table(), 46).left_out),
            (0, 1)
        );
        let expected = "                Validation
Arm                   loss
──────────────────────────
baseline             3.250
learned dropo…       3.125
";
        let narrow = fit(&table(), 26);
        assert_eq!((narrow.text.as_str(), narrow.left_out), (expected, 2));
        let longest = |width| {
            let text = fit(&table(), width).text;
            text.lines().map(|line| line.chars().count()).max()
        };
        for width in 16..100 {
            assert!(longest(width) <= Some(width), "{width}");
        }
    }

    /// The columns are 31, 10, 6 and 9 wide. Names of 16 and the last two take 16 + 2 + 6 + 2 + 9 = 35.
    #[test]
    fn the_most_needed_columns_go_last() {
        let table = DataTable {
            most_needed: vec!["flops".into(), "kept".into()],
            ..table()
        };
        let shown = |width| {
            let text = fit(&table, width).text;
            ["loss", "Kept", "token"].map(|heading| text.contains(heading))
        };
        assert_eq!(shown(47), [true, true, true]);
        assert_eq!(shown(46), [false, true, true]);
        assert_eq!(shown(35), [false, true, true]);
        assert_eq!(shown(34), [false, false, true]);
        assert_eq!(shown(16), [false, false, true]);
        assert_eq!(
            fit(&table, 80).text,
            fit(&self::table(), 80).text,
            "their places stay"
        );
    }

    #[test]
    fn wide_characters_take_two_places() {
        assert_eq!(cut("ドロップアウト", 9), "ドロップ…");
        assert_eq!(cut("plain", 5), "plain");
        assert_eq!(one_line("a\nb\u{1b}"), "a b\u{FFFD}");
    }
}
