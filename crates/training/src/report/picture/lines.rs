//! Lines with their names: what happened while arms were trained.

use super::axis_scale::Scale;
use super::labels::{self, text_width};
use super::svg::{Anchor, Rect, Svg, TextStyle, number};
use super::{INSIDE, LINE, TEXT, axes, range, with_room};
use crate::report::charts::{Plot, Series};

/// Room for the names of lines, right of them.
const WIDEST_NAME: f64 = 250.0;
/// Colours that lines take in turn; dashes differ where they repeat.
const COLOURS: usize = 8;
/// Lines with their names at their ends. Gives what it shows in words.
pub(super) fn draw(svg: &mut Svg, plot: &Plot) -> String {
    let widest = plot
        .series
        .iter()
        .map(|series| text_width(&series.name, TEXT));
    let room = widest.fold(0.0, f64::max).min(WIDEST_NAME) + 24.0;
    let inside = Rect {
        right: INSIDE.right - room,
        ..INSIDE
    };
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let widths = range(points().map(|point| point[0]));
    let x = Scale::new(with_room(widths, 0.015), (inside.left, inside.right));
    let y = Scale::new(heights(plot), (inside.bottom, inside.top));
    axes(svg, plot, inside, &x, &y);
    let place = |(across, up): (f64, f64)| (x.at(across), y.at(up));
    svg.clipped(inside, |svg| {
        for series in &plot.series {
            let with_spread = series.points.iter().filter(|point| point.len() > 3);
            let with_spread = with_spread.filter(|_| !series.thin);
            let upper = with_spread.clone().map(|point| place((point[0], point[3])));
            let lower = with_spread.rev().map(|point| place((point[0], point[2])));
            let band: Vec<(f64, f64)> = upper.chain(lower).collect();
            if band.len() > 2 {
                let outline: Vec<String> = band
                    .iter()
                    .map(|(x, y)| format!("{} {}", number(*x), number(*y)))
                    .collect();
                let outline = format!("M{}Z", outline.join("L"));
                svg.fill(&outline, &line_colour(series), " fill-opacity=\".14\"");
            }
        }
        for series in &plot.series {
            let middle: Vec<(f64, f64)> = series
                .points
                .iter()
                .map(|point| place((point[0], point[1])))
                .collect();
            let dashes = if series.style < COLOURS {
                ""
            } else {
                " stroke-dasharray=\"6 4\""
            };
            let width = if series.thin { "1" } else { "2" };
            let look = format!(" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes}");
            svg.stroke(&middle, &line_colour(series), &look);
        }
    });
    line_names(svg, plot, inside, &x, &y);
    let in_words = plot.series.iter().filter_map(|series| {
        let last = series.points.last()?;
        let part = series
            .part
            .map_or(String::new(), |part| format!(", {part}"));
        Some(format!(
            "{}{part}: {:.3} at {:.0}",
            series.name, last[1], last[0]
        ))
    });
    format!(
        "{} against {}. At the end: {}.",
        plot.y.label,
        plot.x.label,
        in_words.collect::<Vec<String>>().join("; ")
    )
}

/// The names of lines, right of where they end.
fn line_names(svg: &mut Svg, plot: &Plot, inside: Rect, x: &Scale, y: &Scale) {
    let ends: Vec<(&Series, (f64, f64))> = plot
        .series
        .iter()
        .filter(|series| !series.thin)
        .filter_map(|series| {
            let last = series.points.last()?;
            let end = (x.at(last[0]), y.at(last[1]));
            Some((series, (end.0, end.1.clamp(inside.top, inside.bottom))))
        })
        .collect();
    let wanted: Vec<f64> = ends.iter().map(|(_, end)| end.1).collect();
    let room = (inside.top + LINE / 2.0, inside.bottom - LINE / 2.0);
    let places = labels::spread(&wanted, LINE, room);
    for ((series, end), height) in ends.iter().zip(places) {
        let left = inside.right + 16.0;
        svg.stroke(
            &[*end, (left - 4.0, height)],
            &line_colour(series),
            " stroke-width=\"1\" opacity=\".6\"",
        );
        let style = TextStyle {
            size: TEXT,
            colour: &line_colour(series),
            anchor: Anchor::Start,
            bold: false,
        };
        svg.text((left, height + 4.5), style, &series.name);
    }
}

/// The range that shows what matters of lines: the steep beginning of a loss is cut off.
fn heights(plot: &Plot) -> (f64, f64) {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let (low, mut high) = range(points().flat_map(|point| point[1..].iter().copied()));
    if plot.y.share {
        return (0.0, (high * 1.05).clamp(0.05, 1.0));
    }
    let mut middles: Vec<f64> = points().map(|point| point[1]).collect();
    if middles.len() > 8 {
        middles.sort_by(f64::total_cmp);
        let middle = middles[middles.len() / 2];
        high = high.min((middle + 4.0 * (middle - low)).max(low * 1.01));
    }
    with_room((low, high), 0.06)
}

fn line_colour(series: &Series) -> String {
    format!("series-{}", series.style % COLOURS)
}
