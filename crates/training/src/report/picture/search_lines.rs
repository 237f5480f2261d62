//! Losses against the value of a searched key, a line for each arm.

use serde_json::Value;

use super::axis_scale::Scale;
use super::labels::{self, text_width};
use super::scatter::upward;
use super::svg::{Anchor, Rect, Svg, TextStyle, number};
use super::{Head, LINE, TEXT, quiet, range, with_room};
use crate::experiments::shown;
use crate::report::charts::Axis;
use crate::report::search::{Line, Lines, Reached};
use crate::report::table::Unit;

const SIZE: (f64, f64) = (560.0, 350.0);
/// The edges of the part that has the points.
const INSIDE: Rect = Rect {
    left: 62.0,
    top: 62.0,
    right: 544.0,
    bottom: 298.0,
};
/// Room for the names of lines, right of them.
const WIDEST_NAME: f64 = 170.0;
/// Colours that lines take in turn; dashes differ where they repeat.
const COLOURS: usize = 8;
/// A loss that is so many times further from the lowest than the middle one is drawn at the edge.
const FAR: f64 = 6.0;

/// Draws the lines; gives the size and what they show in words.
pub(super) fn draw(svg: &mut Svg, lines: &Lines) -> ((f64, f64), String) {
    let title = format!("Validation loss by {}", lines.key);
    let title = lines
        .difference
        .map_or(title.clone(), |of| of.heading(&title));
    let head = Head {
        title: &title,
        note: note(lines),
        note_at: 46.0,
        width: SIZE.0 - 32.0,
    };
    let further = head.draw(svg);
    svg.moved_down(further, |svg| draw_lines(svg, lines));
    ((SIZE.0, SIZE.1 + further), in_words(lines))
}

/// Draws the lines with their axes and names.
fn draw_lines(svg: &mut Svg, lines: &Lines) {
    let several = lines.series.len() > 1;
    let names = lines.series.iter().map(|line| text_width(&line.name, TEXT));
    let room = names.fold(0.0, f64::max).min(WIDEST_NAME) + 24.0;
    let inside = Rect {
        right: INSIDE.right - if several { room } else { 0.0 },
        ..INSIDE
    };
    let places = Places::new(&lines.values);
    let widths = range(places.at.iter().copied());
    let x = Scale::new(with_room(widths, 0.06), (inside.left, inside.right));
    let y = Scale::new(with_room(heights(lines), 0.08), (inside.bottom, inside.top));
    axes(svg, lines, inside, (&places, &x, &y));
    let at = |index: usize, loss: f64| (x.at(places.at[index]), y.at(loss).max(inside.top + 8.0));
    for line in &lines.series {
        draw_line(svg, line, places.are_numbers, &at);
    }
    for line in &lines.series {
        for (index, reached) in &line.points {
            draw_point(svg, line, reached, &y, &|loss| at(*index, loss));
        }
    }
    if several {
        draw_names(svg, lines, inside, &at);
    }
}

/// What a reader has to know about the points.
fn note(lines: &Lines) -> &'static str {
    let points = lines.series.iter().flat_map(|line| &line.points);
    let mut losses = points.filter_map(|(_, reached)| reached.loss);
    match losses.any(|loss| loss.deviation.is_some()) {
        true => "Means over the seeds ± one standard deviation; ringed: chosen.",
        false => "Ringed: chosen.",
    }
}

/// Where the values stand on the horizontal axis.
#[derive(Debug, PartialEq)]
struct Places {
    at: Vec<f64>,
    are_numbers: bool,
}

impl Places {
    /// Numbers by their size or its logarithm, other values side by side.
    fn new(values: &[Value]) -> Self {
        let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        match numbers {
            Some(numbers) => Self {
                at: if is_logarithmic(&numbers) {
                    numbers.iter().map(|number| number.log10()).collect()
                } else {
                    numbers
                },
                are_numbers: true,
            },
            None => Self {
                at: (0..values.len()).map(|index| index as f64).collect(),
                are_numbers: false,
            },
        }
    }
}

/// Whether growing numbers span a factor of ten, or are spaced more evenly by their ratios than by their
/// differences.
fn is_logarithmic(numbers: &[f64]) -> bool {
    let (Some(&lowest), Some(&highest)) = (numbers.first(), numbers.last()) else {
        return false;
    };
    if lowest <= 0.0 {
        return false;
    }
    let unevenness = |step: fn(f64, f64) -> f64| {
        let steps = numbers.windows(2).map(|pair| step(pair[0], pair[1]));
        let (least, most) = range(steps);
        most / least
    };
    let ratios = unevenness(|left, right| right / left);
    let differences = unevenness(|left, right| right - left);
    // Rounding makes equal steps differ a little.
    highest >= 10.0 * lowest || numbers.len() > 2 && ratios < differences - 1e-9
}

/// The range that shows what matters: losses far above the others are cut off.
fn heights(lines: &Lines) -> (f64, f64) {
    let points = lines.series.iter().flat_map(|line| &line.points);
    let known: Vec<_> = points.filter_map(|(_, reached)| reached.loss).collect();
    let mut means: Vec<f64> = known.iter().map(|loss| loss.mean).collect();
    means.sort_by(f64::total_cmp);
    let (Some(&lowest), Some(middle)) = (means.first(), means.get(means.len() / 2)) else {
        return (0.0, 1.0);
    };
    let limit = lowest + FAR * (middle - lowest);
    let shown = known.iter().filter(|loss| loss.mean <= limit);
    let ends = shown.map(|loss| loss.range());
    range(ends.flat_map(|(low, high)| [low, high]))
}

/// Grid, values and names of both axes.
fn axes(svg: &mut Svg, lines: &Lines, inside: Rect, (places, x, y): (&Places, &Scale, &Scale)) {
    let thin = " stroke-width=\"1\"";
    let axis = Axis {
        label: "validation loss, nats per token",
        share: false,
        whole: false,
    };
    for (value, text) in y.ticks(&axis, 6) {
        let y = y.at(value);
        svg.stroke(&[(inside.left, y), (inside.right, y)], "rule", thin);
        svg.text((inside.left - 8.0, y + 4.5), quiet(Anchor::End), &text);
    }
    let mut free = f64::NEG_INFINITY;
    for (place, value) in places.at.iter().zip(&lines.values) {
        let (x, text) = (x.at(*place), shown(value));
        svg.stroke(&[(x, inside.top), (x, inside.bottom)], "rule", thin);
        let half = text_width(&text, TEXT) / 2.0;
        let middle = x.max(half + 4.0);
        if middle - half > free {
            free = middle + half + 6.0;
            let place = (middle, inside.bottom + 18.0);
            svg.text(place, quiet(Anchor::Middle), &text);
        }
    }
    let title = TextStyle {
        colour: "ink",
        ..quiet(Anchor::Middle)
    };
    let (across, down) = (
        f64::midpoint(inside.left, inside.right),
        f64::midpoint(inside.top, inside.bottom),
    );
    svg.text((across, SIZE.1 - 14.0), title, &lines.key);
    svg.upward_text((20.0, down), title, axis.label);
}

fn draw_line(svg: &mut Svg, line: &Line, are_numbers: bool, at: &dyn Fn(usize, f64) -> (f64, f64)) {
    let known = line.points.iter();
    let known = known.filter_map(|(index, reached)| Some(at(*index, reached.loss?.mean)));
    let known: Vec<(f64, f64)> = known.collect();
    // Between two words there is nothing.
    if are_numbers && known.len() > 1 {
        let dashes = if line.style < COLOURS {
            ""
        } else {
            " stroke-dasharray=\"6 4\""
        };
        let look = format!(" stroke-width=\"2\" stroke-linejoin=\"round\"{dashes}");
        svg.stroke(&known, &colour(line), &look);
    }
}

fn draw_point(
    svg: &mut Svg,
    line: &Line,
    reached: &Reached,
    y: &Scale,
    at: &dyn Fn(f64) -> (f64, f64),
) {
    let Some(loss) = reached.loss else {
        if reached.has_failed {
            let style = TextStyle {
                colour: "bad",
                bold: true,
                ..quiet(Anchor::Middle)
            };
            let (x, top) = at(f64::INFINITY);
            svg.text((x, top + 4.5), style, "×");
        }
        return;
    };
    let place = at(loss.mean);
    if loss.mean > y.high() {
        svg.fill(&upward(place), &colour(line), "");
        return;
    }
    if loss.deviation.is_some() {
        let (low, high) = loss.range();
        let look = " stroke-width=\"1.5\" opacity=\".45\"";
        svg.stroke(&[at(low), at(high)], &colour(line), look);
    }
    svg.fill(&circle(place, 4.0), &colour(line), "");
    if reached.is_chosen {
        let ring = circle(place, 8.0) + &circle(place, 6.0);
        svg.fill(&ring, "ink", " fill-rule=\"evenodd\"");
    }
}

/// The names of lines, right of where they end.
fn draw_names(svg: &mut Svg, lines: &Lines, inside: Rect, at: &dyn Fn(usize, f64) -> (f64, f64)) {
    let ends: Vec<(&Line, (f64, f64))> = lines
        .series
        .iter()
        .filter_map(|line| {
            let mut points = line.points.iter().rev();
            let end = points.find_map(|(index, of)| Some(at(*index, of.loss?.mean)))?;
            Some((line, end))
        })
        .collect();
    let wanted: Vec<f64> = ends.iter().map(|(_, end)| end.1).collect();
    let room = (inside.top + LINE / 2.0, inside.bottom - LINE / 2.0);
    for ((line, end), height) in ends.iter().zip(labels::spread(&wanted, LINE, room)) {
        let left = inside.right + 16.0;
        let look = " stroke-width=\"1\" opacity=\".6\"";
        svg.stroke(&[*end, (left - 4.0, height)], &colour(line), look);
        let style = TextStyle {
            size: TEXT,
            colour: &colour(line),
            anchor: Anchor::Start,
            bold: false,
        };
        svg.text((left, height + 4.5), style, &line.name);
    }
}

fn circle((x, y): (f64, f64), radius: f64) -> String {
    let (left, across) = (number(x - radius), number(2.0 * radius));
    let arc = format!("a{radius} {radius} 0 1 0");
    format!("M{left} {}{arc} {across} 0{arc} -{across} 0Z", number(y))
}

fn colour(line: &Line) -> String {
    format!("series-{}", line.style % COLOURS)
}

fn in_words(lines: &Lines) -> String {
    let chosen = lines.series.iter().filter_map(|line| {
        let (index, reached) = line.points.iter().find(|(_, reached)| reached.is_chosen)?;
        let loss = Unit::Nats.show(reached.loss?.mean);
        Some(format!(
            "{}: {} ({loss})",
            line.name,
            shown(&lines.values[*index])
        ))
    });
    let chosen: Vec<String> = chosen.collect();
    let chosen = match chosen.as_slice() {
        [] => String::new(),
        chosen => format!(" Chosen: {}.", chosen.join("; ")),
    };
    format!("Validation loss by {}.{chosen}", lines.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_follows_the_spacing_of_the_values() {
        assert!(is_logarithmic(&[1e-3, 1e-2]), "a factor of ten");
        assert!(is_logarithmic(&[1e-3, 2e-3, 4e-3]), "doubled");
        assert!(is_logarithmic(&[1.0, 2.0, 5.0]));
        assert!(!is_logarithmic(&[0.1, 0.2, 0.3]));
        assert!(!is_logarithmic(&[2.0, 4.0]), "two values have one step");
        assert!(!is_logarithmic(&[0.0, 0.1, 10.0]), "0 has no logarithm");
        assert!(!is_logarithmic(&[]));
    }

    #[test]
    fn words_stand_side_by_side() {
        let places = |values: &[Value]| Places::new(values);
        let words = places(&["threshold".into(), "stochastic".into()]);
        assert_eq!((words.at, words.are_numbers), (vec![0.0, 1.0], false));
        let powers = places(&[0.01.into(), 1.into()]);
        assert_eq!((powers.at, powers.are_numbers), (vec![-2.0, 0.0], true));
    }
}
