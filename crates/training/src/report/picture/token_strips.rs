//! A text as a picture: how much of each mask's values each token keeps.

use super::quiet;
use super::svg::{Anchor, Rect, Svg};
use super::{Theme, heading};
use crate::masks::MaskStudy;
use crate::report::table::Unit;

/// Tokens that are pictured at most.
const MOST_TOKENS: usize = 400;
/// Characters of the longest line.
const COLUMNS: usize = 88;
/// Columns that the picture has room for at least, for its title and legend.
const NARROWEST: usize = 74;
/// Width of a character and size of the font, in pixels.
const CHARACTER: f64 = 9.0;
const FONT: f64 = 15.0;
const MARGIN: f64 = 18.0;
/// Where the first line of text begins.
const TOP: f64 = 104.0;
/// Height of the text itself.
const TEXT_HEIGHT: f64 = 21.0;
/// Height of all strips below a line of text, and of the largest strip.
const STRIPS: f64 = 30.0;
const LARGEST_STRIP: f64 = 5.0;
/// Room between the strips of a line and the next line of text.
const LEADING: f64 = 8.0;
/// Room between neighbouring tokens and strips.
const GAP: f64 = 1.0;
/// What stands for the end of a line.
const LINE_END: char = '↵';
/// How strong the colour of a token or strip is that keeps everything, and that behind a token's
/// text, which has to stay readable.
const STRONGEST: f64 = 0.95;
const STRONGEST_BEHIND_TEXT: f64 = 0.5;

/// A piece of a token on one line.
struct Piece {
    text: String,
    column: usize,
    line: usize,
    token: usize,
}

/// A picture of the beginning of a text: each token in a colour that is the stronger the more of the
/// values of all masks it keeps, and below it a strip for each mask. None without masks or tokens.
pub fn token_strips(study: &MaskStudy, theme: Theme, title: &str) -> Option<String> {
    let shares = study.first_shares(MOST_TOKENS);
    let tokens: Vec<&str> = study
        .first_tokens(MOST_TOKENS)
        .map(|token| token.text.as_str())
        .collect();
    if tokens.is_empty() || shares.is_empty() {
        return None;
    }
    let pieces = pieces(&tokens);
    let strip = (STRIPS / shares.len() as f64).min(LARGEST_STRIP);
    let line = TEXT_HEIGHT + strip * shares.len() as f64 + LEADING;
    let mut svg = Svg::new();
    svg.text((MARGIN, 28.0), heading(), title);
    legend(&mut svg, shares.len());
    for piece in &pieces {
        let left = MARGIN + piece.column as f64 * CHARACTER;
        let width = piece.text.chars().count() as f64 * CHARACTER;
        let top = TOP + piece.line as f64 * line;
        let cell = |top: f64, height: f64| Rect {
            left,
            top,
            right: left + width - GAP,
            bottom: top + height - GAP,
        };
        let of_token = shares.iter().map(|mask| &mask[piece.token]);
        let mean = of_token.clone().sum::<f64>() / shares.len() as f64;
        svg.rectangle(
            cell(top, TEXT_HEIGHT),
            "accent",
            mean * STRONGEST_BEHIND_TEXT,
        );
        if piece.text.chars().any(|c| !c.is_whitespace()) {
            svg.fixed_text((left, top + 15.5), FONT, width, &piece.text);
        }
        let strips = top + TEXT_HEIGHT;
        svg.rectangle(cell(strips, strip * shares.len() as f64), "rule", 0.6);
        for (index, share) in of_token.enumerate().filter(|(_, share)| **share > 0.0) {
            let top = strips + index as f64 * strip;
            svg.rectangle(cell(top, strip), "accent", share * STRONGEST);
        }
    }
    let lines = pieces.last().map_or(0, |piece| piece.line + 1);
    let columns = pieces
        .iter()
        .map(|piece| piece.column + piece.text.chars().count());
    let columns = columns.max().unwrap_or(0).max(NARROWEST);
    let size = (
        2.0 * MARGIN + columns as f64 * CHARACTER,
        TOP + lines as f64 * line + MARGIN - LEADING,
    );
    Some(svg.document(size, theme, title, &in_words(&tokens, &shares)))
}

/// What the colours mean.
fn legend(svg: &mut Svg, masks: usize) {
    let strips = match masks {
        1 => "The strip below it shows the same share.".to_string(),
        _ => format!(
            "The strips below it show the {masks} masks one by one, in the order of the forward pass."
        ),
    };
    let text = "The colour of a token shows the share of its values that the masks keep.";
    svg.text((MARGIN, 48.0), quiet(Anchor::Start), text);
    svg.text((MARGIN, 65.0), quiet(Anchor::Start), &strips);
    let steps = 20;
    let (left, top, step) = (MARGIN + 26.0, 76.0, 8.0);
    svg.text((MARGIN, top + 10.5), quiet(Anchor::Start), "0%");
    for index in 0..steps {
        let left = left + f64::from(index) * step;
        let rect = Rect {
            left,
            top,
            right: left + step,
            bottom: top + 12.0,
        };
        let share = f64::from(index) / f64::from(steps - 1);
        svg.rectangle(rect, "rule", 0.6);
        svg.rectangle(rect, "accent", share * STRONGEST);
    }
    let right = left + f64::from(steps) * step + 8.0;
    svg.text((right, top + 10.5), quiet(Anchor::Start), "100% kept");
}

/// Where the tokens stand: lines end where the text's do, and before a token that does not fit.
fn pieces(tokens: &[&str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut line, mut column) = (0, 0);
    for (token, text) in tokens.iter().enumerate() {
        for part in text.split_inclusive('\n') {
            let shown: String = part.chars().map(visible).collect();
            let width = shown.chars().count();
            if column > 0 && column + width > COLUMNS {
                (line, column) = (line + 1, 0);
            }
            pieces.push(Piece {
                text: shown,
                column,
                line,
                token,
            });
            column += width;
            if part.ends_with('\n') {
                (line, column) = (line + 1, 0);
            }
        }
    }
    pieces
}

/// A character as the picture shows it.
fn visible(c: char) -> char {
    match c {
        '\n' => LINE_END,
        '\t' => '→',
        c => c,
    }
}

/// The text, and what is kept of each mask, for readers who cannot see the picture.
fn in_words(tokens: &[&str], shares: &[Vec<f64>]) -> String {
    let mean = |mask: &Vec<f64>| Unit::Share.show(mask.iter().sum::<f64>() / mask.len() as f64);
    let masks: Vec<String> = shares.iter().map(mean).collect();
    format!(
        "The masks keep {} of their values for the text: {}",
        masks.join(", "),
        tokens.concat().trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_those_of_the_text_do() {
        let long = "x".repeat(COLUMNS);
        let pieces = pieces(&["a", " b\n\n", "c", &long]);
        let places: Vec<(&str, usize, usize, usize)> = pieces
            .iter()
            .map(|of| (of.text.as_str(), of.line, of.column, of.token))
            .collect();
        let expected = [
            ("a", 0, 0, 0),
            (" b↵", 0, 1, 1),
            ("↵", 1, 0, 1),
            ("c", 2, 0, 2),
            (long.as_str(), 3, 0, 3),
        ];
        assert_eq!(places, expected);
    }
}
