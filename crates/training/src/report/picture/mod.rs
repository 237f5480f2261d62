//! Charts as pictures for documents: SVG files that say by themselves what they show.
//!
//! The page of a report draws its charts with a script; a picture has no reader's hand to point at
//! things with, so it names everything where it stands.

mod axis_scale;
mod heat_map;
mod labels;
mod lines;
mod scatter;
mod search_lines;
mod search_panel;
mod svg;
mod theme;
pub(super) mod token_strips;

use super::charts::Plot;
use axis_scale::Scale;
pub(super) use search_panel::{search, search_figure};
use svg::{Anchor, Rect, Svg, TextStyle};
pub use theme::Theme;

/// Size of a chart in pixels.
const SIZE: (f64, f64) = (860.0, 500.0);
/// The edges of the part that has the points.
const INSIDE: Rect = Rect {
    left: 66.0,
    top: 62.0,
    right: 840.0,
    bottom: 446.0,
};
/// Height of a line of text.
const LINE: f64 = 16.0;
const TEXT: f64 = 13.0;
/// A chart as a picture.
pub(super) fn chart(plot: &Plot, theme: Theme) -> String {
    let mut svg = Svg::new();
    svg.text((16.0, 26.0), heading(), &plot.title);
    let notes: Vec<&str> = note(plot).into_iter().chain(plot.parts_note()).collect();
    if !notes.is_empty() {
        svg.text((16.0, 45.0), quiet(Anchor::Start), &notes.join(" "));
    }
    let points = if plot.scattered {
        scatter::draw(&mut svg, plot)
    } else {
        lines::draw(&mut svg, plot)
    };
    svg.document(SIZE, theme, &plot.title, &points)
}

fn heading() -> TextStyle<'static> {
    TextStyle {
        size: 16.0,
        colour: "ink",
        anchor: Anchor::Start,
        bold: true,
    }
}

fn quiet(anchor: Anchor) -> TextStyle<'static> {
    TextStyle {
        size: TEXT,
        colour: "quiet",
        anchor,
        bold: false,
    }
}

/// What a reader has to know about the points.
fn note(plot: &Plot) -> Option<&'static str> {
    let points = plot.series.iter().flat_map(|series| &series.points);
    let has_spread = points.clone().any(|point| point.len() > 2);
    match (plot.scattered, has_spread) {
        (true, true) => {
            Some("Means over the seeds; whiskers reach one standard deviation up and down.")
        }
        (false, true) => {
            Some("Means over the seeds; bands reach one standard deviation up and down.")
        }
        _ => None,
    }
}

/// Grid, numbers and titles of both axes.
fn axes(svg: &mut Svg, plot: &Plot, inside: Rect, x: &Scale, y: &Scale) {
    let thin = " stroke-width=\"1\"";
    for (value, text) in x.ticks(&plot.x, 6) {
        let x = x.at(value);
        svg.stroke(&[(x, inside.top), (x, inside.bottom)], "rule", thin);
        svg.text((x, inside.bottom + 18.0), quiet(Anchor::Middle), &text);
    }
    for (value, text) in y.ticks(&plot.y, 7) {
        let y = y.at(value);
        svg.stroke(&[(inside.left, y), (inside.right, y)], "rule", thin);
        svg.text((inside.left - 8.0, y + 4.5), quiet(Anchor::End), &text);
    }
    let title = |anchor| TextStyle {
        colour: "ink",
        ..quiet(anchor)
    };
    let (across, down) = (
        f64::midpoint(inside.left, inside.right),
        f64::midpoint(inside.top, inside.bottom),
    );
    svg.text((across, SIZE.1 - 14.0), title(Anchor::Middle), plot.x.label);
    svg.upward_text((20.0, down), title(Anchor::Middle), plot.y.label);
}

/// The range of values with room around it.
fn with_room((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let span = high - low;
    let room = if span > 0.0 {
        span * share
    } else {
        low.abs().max(1.0) * 0.05
    };
    (low - room, high + room)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
