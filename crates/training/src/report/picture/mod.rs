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
/// Height of a line of a title.
const TITLE_LINE: f64 = 20.0;
const TEXT: f64 = 13.0;
/// A chart as a picture.
pub(super) fn chart(plot: &Plot, theme: Theme) -> String {
    let mut svg = Svg::new();
    let notes: Vec<&str> = note(plot).into_iter().chain(plot.parts_note()).collect();
    let head = Head {
        title: &plot.title,
        note: &notes.join(" "),
        note_at: 45.0,
        width: SIZE.0 - 32.0,
    };
    let further = head.draw(&mut svg);
    let points = svg.moved_down(further, |svg| match plot.scattered {
        true => scatter::draw(svg, plot),
        false => lines::draw(svg, plot),
    });
    let size = (SIZE.0, SIZE.1 + further);
    svg.document(size, theme, &plot.title, &points)
}

/// What stands above a picture.
struct Head<'a> {
    title: &'a str,
    /// Empty if there is none.
    note: &'a str,
    /// The baseline of the note, if both take one line.
    note_at: f64,
    /// The room for both, in pixels.
    width: f64,
}

impl Head<'_> {
    /// Draws title and note in as many lines as they need. Gives how much further down the picture must stand
    /// for that.
    fn draw(&self, svg: &mut Svg) -> f64 {
        let titles = wrapped(self.title, heading(), self.width);
        let notes = wrapped(self.note, quiet(Anchor::Start), self.width);
        let mut lines = 0.0;
        for title in &titles {
            svg.text((16.0, 26.0 + lines * TITLE_LINE), heading(), title);
            lines += 1.0;
        }
        let further = (titles.len() - 1) as f64 * TITLE_LINE;
        let mut place = (16.0, self.note_at + further);
        for note in notes.iter().filter(|note| !note.is_empty()) {
            svg.text(place, quiet(Anchor::Start), note);
            place.1 += LINE;
        }
        further + (notes.len() - 1) as f64 * LINE
    }
}

/// A text in lines that are no wider than this, of whole words where they fit; at least one line.
fn wrapped(text: &str, style: TextStyle<'_>, width: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        let longer = match last.is_empty() {
            true => word.to_string(),
            false => format!("{last} {word}"),
        };
        if style.width_of(&longer) <= width {
            *last = longer;
            continue;
        }
        // Some scripts have no spaces.
        let mut rest = String::new();
        for letter in word.chars() {
            rest.push(letter);
            if style.width_of(&rest) > width {
                rest.pop();
                lines.push(std::mem::take(&mut rest));
                rest.push(letter);
            }
        }
        lines.push(rest);
    }
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    /// At 10 pixels a letter takes 6.2 and a space 3.3: "aaaa aaaa" takes 52.9.
    #[test]
    fn texts_are_cut_into_lines_of_whole_words() {
        let style = TextStyle {
            size: 10.0,
            ..quiet(Anchor::Start)
        };
        let lines = |text, width| wrapped(text, style, width);
        assert_eq!(lines("aaaa aaaa aaaa", 53.0), ["aaaa aaaa", "aaaa"]);
        assert_eq!(lines("aaaa aaaa", 52.0), ["aaaa", "aaaa"]);
        assert_eq!(lines("b aaaaaaaaaa b", 31.5), ["b", "aaaaa", "aaaaa", "b"]);
        assert_eq!(lines("", 10.0), [""]);
    }
}
