//! Tables of text and numbers, and how they are written.

use super::spread::Spread;

/// A table.
#[derive(Clone, Debug)]
pub struct DataTable {
    /// Its heading.
    pub title: String,
    /// Names of its columns for readers.
    pub headings: Vec<String>,
    /// Names of its columns for programs.
    pub keys: Vec<String>,
    /// Its rows, as wide as the headings.
    pub rows: Vec<Vec<Cell>>,
    /// What it comes to in a few sentences, where there is something to compare.
    pub headline: Option<String>,
    /// The keys of the columns that only those want to see who look closer; see [`narrow`](Self::narrow).
    pub further: Vec<String>,
    /// The keys of the columns that a narrow terminal shows beside the first one before all others, the most
    /// needed first.
    pub most_needed: Vec<String>,
    /// Whether its losses were measured alike, so that one of them can be called the lowest.
    pub is_comparable: bool,
}

impl Default for DataTable {
    /// An empty table.
    fn default() -> Self {
        Self {
            title: String::new(),
            headings: Vec::new(),
            keys: Vec::new(),
            rows: Vec::new(),
            headline: None,
            further: Vec::new(),
            most_needed: Vec::new(),
            is_comparable: true,
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Empty,
    /// Words.
    Text(String),
    /// One number.
    Number(f64, Unit),
    /// A mean over seeds.
    Spread(Spread, Unit),
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nats per token: three decimals.
    Nats,
    /// A share from 0 to 1: percent with one decimal.
    Share,
    /// A whole number.
    Count,
    /// Operations: a whole number. It follows from the model and from what is used of it, so where that is the
    /// same for all seeds there is no spread to speak of.
    Operations,
    /// A ratio: two decimals.
    Factor,
}

impl Unit {
    /// The number as a reader sees it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Nats => format!("{value:.3}"),
            Self::Share => format!("{:.1}%", value * 100.0),
            Self::Count | Self::Operations => grouped(value),
            Self::Factor => format!("{value:.2}×"),
        }
    }
}

/// A whole number with groups of three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.as_str()),
    };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Cell {
    /// A mean over seeds, where there is one.
    pub fn spread(spread: Option<Spread>, unit: Unit) -> Self {
        spread.map_or(Self::Empty, |spread| Self::Spread(spread, unit))
    }

    /// A number, where there is one.
    pub fn number(value: Option<f64>, unit: Unit) -> Self {
        value.map_or(Self::Empty, |value| Self::Number(value, unit))
    }

    /// The cell as a reader sees it.
    pub fn show(&self) -> String {
        match self {
            Self::Empty => "–".into(),
            Self::Text(text) => text.clone(),
            Self::Number(value, unit) => unit.show(*value),
            Self::Spread(spread, unit) => {
                let mean = unit.show(spread.mean);
                match spread.deviation {
                    None => mean,
                    Some(0.0) if *unit == Unit::Operations => mean,
                    Some(deviation) => {
                        let mean = mean.trim_end_matches(['%', '×']);
                        format!("{mean} ± {}", unit.show(deviation))
                    }
                }
            }
        }
    }

    /// Whether it holds numbers, which stand to the right.
    pub fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_))
    }
}

impl DataTable {
    /// The table without its further columns.
    pub fn narrow(&self) -> Self {
        let kept = |column: &usize| !self.further.contains(&self.keys[*column]);
        let columns: Vec<usize> = (0..self.keys.len()).filter(kept).collect();
        let of = |texts: &[String]| columns.iter().map(|&at| texts[at].clone()).collect();
        let row = |row: &Vec<Cell>| columns.iter().map(|&at| row[at].clone()).collect();
        Self {
            title: self.title.clone(),
            headings: of(&self.headings),
            keys: of(&self.keys),
            rows: self.rows.iter().map(row).collect(),
            headline: self.headline.clone(),
            further: Vec::new(),
            most_needed: self.most_needed.clone(),
            is_comparable: self.is_comparable,
        }
    }

    /// The headings of the columns that [`narrow`](Self::narrow) leaves out.
    pub fn further_headings(&self) -> Vec<&str> {
        let columns = self.keys.iter().zip(&self.headings);
        let further = columns.filter(|(key, _)| self.further.contains(key));
        further.map(|(_, heading)| heading.as_str()).collect()
    }

    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let escape = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(
            self.headings
                .iter()
                .map(|heading| escape(heading))
                .collect(),
        );
        let alignment = (0..self.headings.len()).map(|column| {
            let numbers = self.rows.iter().all(|row| row[column].is_number());
            if numbers { "---:" } else { "---" }.to_string()
        });
        text += &line(alignment.collect());
        for row in &self.rows {
            text += &line(row.iter().map(|cell| escape(&cell.show())).collect());
        }
        text
    }

    /// The table in CSV (RFC 4180), numbers with all their digits. A mean over seeds has two more
    /// columns, `KEY_deviation` and `KEY_count`.
    pub fn csv(&self) -> String {
        let has_spread = |column: usize| {
            self.rows
                .iter()
                .any(|row| matches!(row[column], Cell::Spread(..)))
        };
        let spread: Vec<bool> = (0..self.keys.len()).map(has_spread).collect();
        let mut header = Vec::new();
        for (key, spread) in self.keys.iter().zip(&spread) {
            header.push(key.clone());
            if *spread {
                header.extend([format!("{key}_deviation"), format!("{key}_count")]);
            }
        }
        let mut text = csv_line(&header);
        for row in &self.rows {
            let mut fields = Vec::new();
            for (cell, spread) in row.iter().zip(&spread) {
                fields.extend(cell.csv(*spread));
            }
            text += &csv_line(&fields);
        }
        text
    }
}

impl Cell {
    fn csv(&self, with_spread: bool) -> Vec<String> {
        let (value, deviation, count) = match self {
            Self::Empty => (String::new(), None, None),
            Self::Text(text) => (text.clone(), None, None),
            Self::Number(value, _) => (value.to_string(), None, None),
            Self::Spread(spread, _) => (
                spread.mean.to_string(),
                spread.deviation,
                Some(spread.count),
            ),
        };
        let mut fields = vec![value];
        if with_spread {
            fields.push(deviation.map_or(String::new(), |value| value.to_string()));
            fields.push(count.map_or(String::new(), |count| count.to_string()));
        }
        fields
    }
}

fn csv_line(fields: &[String]) -> String {
    let quoted = |field: &String| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.clone()
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> DataTable {
        DataTable {
            title: "Results".into(),
            headings: vec!["Arm".into(), "Loss".into(), "Kept".into()],
            keys: vec!["arm".into(), "loss".into(), "kept".into()],
            rows: vec![
                vec![
                    Cell::Text("a|b, \"c\"".into()),
                    Cell::spread(Spread::of_values([1.0, 2.0]), Unit::Nats),
                    Cell::Number(0.25, Unit::Share),
                ],
                vec![Cell::Text("d".into()), Cell::Empty, Cell::Empty],
            ],
            further: vec!["loss".into()],
            ..DataTable::default()
        }
    }

    /// The deviation of 1 and 2 is the root of (0.25 + 0.25) / 1.
    #[test]
    fn tables_in_markdown() {
        let expected = "| Arm | Loss | Kept |\n| --- | ---: | ---: |\n\
                        | a\\|b, \"c\" | 1.500 ± 0.707 | 25.0% |\n| d | – | – |\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn a_narrow_table_lacks_the_further_columns() {
        let expected = "| Arm | Kept |\n| --- | ---: |\n| a\\|b, \"c\" | 25.0% |\n| d | – |\n";
        assert_eq!(table().narrow().markdown(), expected);
        assert_eq!(table().further_headings(), ["Loss"]);
    }

    #[test]
    fn tables_in_csv() {
        let expected = "arm,loss,loss_deviation,loss_count,kept\r\n\
                        \"a|b, \"\"c\"\"\",1.5,0.7071067811865476,2,0.25\r\nd,,,,\r\n";
        assert_eq!(table().csv(), expected);
    }

    /// What is measured keeps its spread: that it does not differ is news.
    #[test]
    fn operations_that_no_seed_changes_have_no_spread() {
        let shown = |values: &[f64], unit| {
            Cell::spread(Spread::of_values(values.iter().copied()), unit).show()
        };
        assert_eq!(shown(&[436.0, 436.0], Unit::Operations), "436");
        assert_eq!(shown(&[0.1, 0.1, 0.1], Unit::Operations), "0");
        assert_eq!(shown(&[436.0, 436.4], Unit::Operations), "436 ± 0");
        assert_eq!(shown(&[436.0, 436.0], Unit::Count), "436 ± 0");
        assert_eq!(shown(&[3.3, 3.3], Unit::Nats), "3.300 ± 0.000");
    }

    #[test]
    fn whole_numbers_are_grouped() {
        assert_eq!(Unit::Count.show(15_335_424.4), "15,335,424");
        assert_eq!(Unit::Count.show(-1000.0), "-1,000");
        assert_eq!(Unit::Count.show(0.0), "0");
        assert_eq!(Unit::Factor.show(1.426), "1.43×");
    }
}
