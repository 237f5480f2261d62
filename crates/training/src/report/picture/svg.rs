//! A writer of SVG files that need nothing but themselves: no font, no script, no style sheet.
//!
//! It is our own because a picture here is a few rectangles, lines and words, and what matters about
//! them (colours by theme, labels that do not overlap) no plotting crate has.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use super::labels::text_width;
use super::theme::{Theme, rules_of_page};
use crate::report::page::escaped;

/// Fonts that look alike on every system.
const FONTS: &str = "Helvetica,Arial,'Liberation Sans',sans-serif";
const FIXED_FONTS: &str = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace";

/// How much wider a bold text is.
const BOLD: f64 = 1.2;
/// Room between a text and the right edge.
const EDGE: f64 = 10.0;

/// A rectangle, in pixels; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// Which point of a text its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle<'a> {
    /// In pixels.
    pub size: f64,
    pub colour: &'a str,
    pub anchor: Anchor,
    pub bold: bool,
}

impl TextStyle<'_> {
    /// About how wide a text is; see [`text_width`].
    pub(super) fn width_of(self, text: &str) -> f64 {
        let size = if self.bold {
            self.size * BOLD
        } else {
            self.size
        };
        text_width(text, size)
    }
}

/// A picture that is being drawn.
pub(super) struct Svg {
    body: String,
    colours: BTreeSet<String>,
    /// How far texts reach to the right.
    texts_end: f64,
}

impl Svg {
    pub(super) fn new() -> Self {
        Self {
            body: String::new(),
            colours: BTreeSet::from(["paper".into()]),
            texts_end: 0.0,
        }
    }

    /// Text on one line with its baseline at y, on a rim of the paper's colour.
    pub(super) fn text(&mut self, (x, y): (f64, f64), style: TextStyle<'_>, text: &str) {
        let width = style.width_of(text);
        let end = match style.anchor {
            Anchor::Start => x + width,
            Anchor::Middle => x + width / 2.0,
            Anchor::End => x,
        };
        self.texts_end = self.texts_end.max(end);
        self.placed_text((x, y), style, "", text);
    }

    /// Text that reads upwards, with its middle at the place.
    pub(super) fn upward_text(&mut self, (x, y): (f64, f64), style: TextStyle<'_>, text: &str) {
        let turn = format!(" transform=\"rotate(-90 {} {})\"", number(x), number(y));
        self.placed_text((x, y), style, &turn, text);
    }

    fn placed_text(
        &mut self,
        (x, y): (f64, f64),
        style: TextStyle<'_>,
        attributes: &str,
        text: &str,
    ) {
        let anchor = match style.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if style.bold {
            " font-weight=\"600\""
        } else {
            ""
        };
        let colour = self.colour(style.colour);
        self.element(format_args!(
            "<text class=\"{colour} rim paper-line\" x=\"{}\" y=\"{}\" font-size=\"{}\"{anchor}{weight}{attributes}>{}</text>",
            number(x),
            number(y),
            number(style.size),
            escaped(text)
        ));
    }

    /// Text in a font of fixed width that takes exactly this much room, whatever the font.
    pub(super) fn fixed_text(&mut self, (x, y): (f64, f64), size: f64, width: f64, text: &str) {
        let colour = self.colour("ink");
        self.element(format_args!(
            "<text class=\"{colour} fixed\" x=\"{}\" y=\"{}\" font-size=\"{}\" textLength=\"{}\" \
             lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            number(x),
            number(y),
            number(size),
            number(width),
            escaped(text)
        ));
    }

    /// A filled rectangle; `opacity` from 0 to 1.
    pub(super) fn rectangle(&mut self, rect: Rect, colour: &str, opacity: f64) {
        let colour = self.colour(colour);
        self.element(format_args!(
            "<rect class=\"{colour}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill-opacity=\"{}\"/>",
            number(rect.left),
            number(rect.top),
            number(rect.right - rect.left),
            number(rect.bottom - rect.top),
            short(opacity, 3)
        ));
    }

    /// A stroked path; `attributes` beside its colour.
    pub(super) fn stroke(&mut self, points: &[(f64, f64)], colour: &str, attributes: &str) {
        let colour = self.colour(colour);
        self.element(format_args!(
            "<path class=\"{colour}-line\" fill=\"none\" d=\"{}\"{attributes}/>",
            path(points)
        ));
    }

    /// A filled outline.
    pub(super) fn fill(&mut self, outline: &str, colour: &str, attributes: &str) {
        let colour = self.colour(colour);
        self.element(format_args!(
            "<path class=\"{colour}\" d=\"{outline}\"{attributes}/>"
        ));
    }

    /// Draws what the function draws only where it lies within a rectangle.
    pub(super) fn clipped(&mut self, rect: Rect, draw: impl FnOnce(&mut Self)) {
        self.element(format_args!(
            "<clipPath id=\"inside\"><path d=\"{}Z\"/></clipPath>\n<g clip-path=\"url(#inside)\">",
            path(&[
                (rect.left, rect.top),
                (rect.right, rect.top),
                (rect.right, rect.bottom),
                (rect.left, rect.bottom),
            ])
        ));
        draw(self);
        self.element("</g>");
    }

    /// Draws what the function draws so many pixels further down.
    pub(super) fn moved_down<T>(&mut self, pixels: f64, draw: impl FnOnce(&mut Self) -> T) -> T {
        if pixels == 0.0 {
            return draw(self);
        }
        self.element(format_args!(
            "<g transform=\"translate(0 {})\">",
            number(pixels)
        ));
        let drawn = draw(self);
        self.element("</g>");
        drawn
    }

    /// The width of a picture that is to be so wide, or as wide as its texts need.
    fn wide_enough(&self, width: f64) -> f64 {
        width.max(self.texts_end + EDGE)
    }

    /// The picture as an element of a page, whose colours it takes. It is wider where a text needs it.
    pub(super) fn element_of_page(&self, (width, height): (f64, f64), description: &str) -> String {
        let (width, height) = (number(self.wide_enough(width)), number(height));
        format!(
            "<svg class=\"picture\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"{FONTS}\" aria-label=\"{}\">\n\
             <style>\n{}</style>\n{}</svg>",
            escaped(description),
            rules_of_page(&self.colours),
            self.body
        )
    }

    /// The whole file. Title and description are for readers who cannot see the picture. It is wider where a
    /// text needs it.
    pub(super) fn document(
        &self,
        (width, height): (f64, f64),
        theme: Theme,
        title: &str,
        description: &str,
    ) -> String {
        let (width, height) = (number(self.wide_enough(width)), number(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"{FONTS}\">\n<title>{}</title>\n<desc>{}</desc>\n\
             <style>\n{}.rim{{stroke-width:3px;stroke-linejoin:round;paint-order:stroke}}\n\
             .fixed{{font-family:{FIXED_FONTS};white-space:pre}}\n</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n{}</svg>\n",
            escaped(title),
            escaped(description),
            theme.rules(&self.colours),
            self.body
        )
    }

    fn colour<'a>(&mut self, name: &'a str) -> &'a str {
        if !self.colours.contains(name) {
            self.colours.insert(name.into());
        }
        name
    }

    fn element(&mut self, element: impl Display) {
        let _ = writeln!(self.body, "{element}");
    }
}

/// A line through points, as SVG describes it.
fn path(points: &[(f64, f64)]) -> String {
    let place = |&(x, y): &(f64, f64)| format!("{} {}", number(x), number(y));
    let places: Vec<String> = points.iter().map(place).collect();
    format!("M{}", places.join("L"))
}

/// A length in pixels, to a tenth.
pub(super) fn number(value: f64) -> String {
    short(value, 1)
}

/// A number with at most so many decimals and no zeros at its end.
fn short(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts: Vec<String> = [0.0, -0.04, 1.0, 12.34, 100.06].map(number).into();
        assert_eq!(texts, ["0", "0", "1", "12.3", "100.1"]);
    }
}
