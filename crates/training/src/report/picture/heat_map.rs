//! A heat map: the losses of pairs of values, in cells whose colour is the stronger the lower the loss.

use serde_json::Value;

use super::labels::text_width;
use super::svg::{Anchor, Rect, Svg, TextStyle};
use super::{Head, TEXT, quiet};
use crate::experiments::shown;
use crate::report::search::{HeatMap, Reached};
use crate::report::table::Unit;

const MARGIN: f64 = 16.0;
/// Where the cells begin.
const TOP: f64 = 62.0;
/// Size of a cell, of which a pixel is the gap to the next one.
const CELL: (f64, f64) = (66.0, 32.0);
/// How far below the middle of a line its text stands.
const BASELINE: f64 = 4.5;
/// The room for title and note, where the cells need less.
const NARROWEST: f64 = 480.0;
/// Room below the cells for the values and the name of the columns' key.
const BELOW: f64 = 58.0;
/// How strong the colour of the lowest loss is, and that of the others at least.
const STRONGEST: f64 = 0.75;
const WEAKEST: f64 = 0.06;
/// A loss that is so many times further from the lowest than the middle one has the weakest colour.
const FAR: f64 = 3.0;

/// Draws a heat map; gives its size and what it shows in words.
pub(super) fn draw(svg: &mut Svg, map: &HeatMap) -> ((f64, f64), String) {
    let texts = |values: &[Value]| -> Vec<String> { values.iter().map(shown).collect() };
    let (columns, rows) = (texts(&map.columns), texts(&map.rows));
    let widest = |texts: &[String]| {
        let widths = texts.iter().map(|text| text_width(text, TEXT));
        widths.fold(0.0, f64::max)
    };
    let left = MARGIN + 24.0 + widest(&rows);
    // The name of the rows' key stands beside them.
    let high = (text_width(&map.keys[1], TEXT) / rows.len() as f64).max(CELL.1);
    let cell = (CELL.0.max(widest(&columns) + 12.0), high);
    let title = format!("Validation loss, {}", map.name);
    let right = left + cell.0 * columns.len() as f64;
    let head = Head {
        title: &title,
        note: "Stronger colour: lower; framed: chosen.",
        note_at: 46.0,
        width: (right - MARGIN).max(NARROWEST),
    };
    let further = head.draw(svg);
    let bottom = svg.moved_down(further, |svg| {
        draw_map(svg, map, (&columns, &rows), (left, cell))
    });
    let words = in_words(map, &columns, &rows);
    ((right + MARGIN, bottom + further + BELOW), words)
}

/// Draws the cells with their axes, the cells of this size from this place on; gives where they end.
fn draw_map(
    svg: &mut Svg,
    map: &HeatMap,
    (columns, rows): (&[String], &[String]),
    (left, cell): (f64, (f64, f64)),
) -> f64 {
    let [across, up] = &map.keys;
    let right = left + cell.0 * columns.len() as f64;
    let bottom = TOP + cell.1 * rows.len() as f64;
    for (index, text) in columns.iter().enumerate() {
        let x = left + (index as f64 + 0.5) * cell.0;
        svg.text((x, bottom + 18.0), quiet(Anchor::Middle), text);
    }
    // Numbers grow upwards.
    let top = |row: usize| TOP + (rows.len() - 1 - row) as f64 * cell.1;
    for (index, text) in rows.iter().enumerate() {
        let middle = top(index) + cell.1 / 2.0;
        svg.text((left - 8.0, middle + BASELINE), quiet(Anchor::End), text);
    }
    let ink = |anchor| TextStyle {
        colour: "ink",
        ..quiet(anchor)
    };
    let middle = f64::midpoint(left, right).max(text_width(across, TEXT) / 2.0 + 4.0);
    svg.text((middle, bottom + 40.0), ink(Anchor::Middle), across);
    svg.upward_text(
        (MARGIN + 6.0, f64::midpoint(TOP, bottom)),
        ink(Anchor::Middle),
        up,
    );
    let shade = Shade::new(map);
    for (column, row, reached) in &map.cells {
        let (x, y) = (left + *column as f64 * cell.0, top(*row));
        let rect = Rect {
            left: x,
            top: y,
            right: x + cell.0 - 1.0,
            bottom: y + cell.1 - 1.0,
        };
        draw_cell(svg, rect, reached, &shade);
    }
    bottom
}

fn draw_cell(svg: &mut Svg, rect: Rect, reached: &Reached, shade: &Shade) {
    let loss = reached.loss.map(|loss| loss.mean);
    match loss {
        Some(loss) => svg.rectangle(rect, "accent", shade.of(loss)),
        None => svg.rectangle(rect, "rule", 0.4),
    }
    let (text, colour) = match loss {
        Some(loss) => (Unit::Nats.show(loss), "ink"),
        None if reached.has_failed => ("failed".into(), "bad"),
        None => ("–".into(), "quiet"),
    };
    let style = TextStyle {
        colour,
        bold: reached.is_chosen,
        ..quiet(Anchor::Middle)
    };
    let middle = (
        f64::midpoint(rect.left, rect.right),
        f64::midpoint(rect.top, rect.bottom + 1.0),
    );
    svg.text((middle.0, middle.1 + BASELINE), style, &text);
    if reached.is_chosen {
        let corners = [
            (rect.left, rect.top),
            (rect.right, rect.top),
            (rect.right, rect.bottom),
            (rect.left, rect.bottom),
            (rect.left, rect.top),
        ];
        let look = " stroke-width=\"2.5\" stroke-linecap=\"square\"";
        svg.stroke(&corners, "ink", look);
    }
}

/// How strong the colour of a loss is.
struct Shade {
    lowest: f64,
    weakest: f64,
}

impl Shade {
    fn new(map: &HeatMap) -> Self {
        let losses = map.cells.iter().filter_map(|cell| cell.2.loss);
        let mut losses: Vec<f64> = losses.map(|loss| loss.mean).collect();
        losses.sort_by(f64::total_cmp);
        let (lowest, highest) = match losses.as_slice() {
            [] => (0.0, 0.0),
            [lowest, ..] => (*lowest, losses[losses.len() - 1]),
        };
        let middle = losses
            .get(losses.len() / 2)
            .map_or(0.0, |middle| middle - lowest);
        Self {
            lowest,
            weakest: highest.min(lowest + FAR * middle),
        }
    }

    /// From the strongest for the lowest loss to the weakest for a far one.
    fn of(&self, loss: f64) -> f64 {
        let span = self.weakest - self.lowest;
        let share = if span > 0.0 {
            (loss - self.lowest) / span
        } else {
            0.0
        };
        STRONGEST + (WEAKEST - STRONGEST) * share.min(1.0)
    }
}

fn in_words(map: &HeatMap, columns: &[String], rows: &[String]) -> String {
    let chosen = map.cells.iter().find(|cell| cell.2.is_chosen);
    let chosen = chosen.and_then(|(column, row, reached)| {
        let loss = Unit::Nats.show(reached.loss?.mean);
        let (across, up) = (&columns[*column], &rows[*row]);
        let [column, row] = &map.keys;
        Some(format!(" Chosen: {column} {across}, {row} {up}: {loss}."))
    });
    let [column, row] = &map.keys;
    format!(
        "Validation loss of {} by {column} and {row}.{}",
        map.name,
        chosen.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Spread;

    fn map(losses: &[f64]) -> HeatMap {
        let cell = |(column, &loss): (usize, &f64)| {
            let reached = Reached {
                loss: Spread::of_values([loss]),
                has_failed: false,
                is_chosen: column == 0,
            };
            (column, 0, reached)
        };
        HeatMap {
            name: "Arm".into(),
            keys: ["rate".into(), "dropout".into()],
            columns: (0..losses.len()).map(Value::from).collect(),
            rows: vec![Value::from(0.5)],
            cells: losses.iter().enumerate().map(cell).collect(),
        }
    }

    /// The middle of 3.0, 3.1 and 9.0 lies 0.1 above the lowest, so 3.3 and all above have the weakest
    /// colour; a third of the way lies 3.1.
    #[test]
    fn far_losses_do_not_make_the_others_alike() {
        let shade = Shade::new(&map(&[3.0, 3.1, 9.0]));
        assert_eq!(shade.of(3.0), 0.75);
        assert!((shade.of(3.1) - 0.52).abs() < 1e-9, "0.75 − 0.69 / 3");
        assert!((shade.of(9.0) - 0.06).abs() < 1e-9);
        assert_eq!(Shade::new(&map(&[3.0])).of(3.0), 0.75);
    }

    #[test]
    fn it_is_told_in_words() {
        let mut svg = Svg::new();
        let (_, words) = draw(&mut svg, &map(&[3.0, 3.1]));
        assert_eq!(
            words,
            "Validation loss of Arm by rate and dropout. Chosen: rate 0, dropout 0.5: 3.000."
        );
    }
}
