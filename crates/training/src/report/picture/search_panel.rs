//! Pictures of a search: settings and what they reached.

use super::svg::Svg;
use super::{Theme, heat_map, search_lines};
use crate::report::search::Panel;

/// Room between panels.
const GAP: f64 = 12.0;

/// All panels below each other, as a file.
pub(in crate::report) fn search(panels: &[Panel], theme: Theme) -> String {
    let mut svg = Svg::new();
    let (mut width, mut height, mut words) = (0.0_f64, 0.0, Vec::new());
    for panel in panels {
        let (size, in_words) = svg.moved_down(height, |svg| draw(svg, panel));
        width = width.max(size.0);
        height += size.1 + GAP;
        words.push(in_words);
    }
    svg.document((width, height - GAP), theme, "Search", &words.join(" "))
}

/// One panel as an element of a page.
pub(in crate::report) fn search_figure(panel: &Panel) -> String {
    let mut svg = Svg::new();
    let (size, words) = draw(&mut svg, panel);
    svg.element_of_page(size, &words)
}

/// Draws a panel; gives its size and what it shows in words.
fn draw(svg: &mut Svg, panel: &Panel) -> ((f64, f64), String) {
    match panel {
        Panel::Lines(lines) => search_lines::draw(svg, lines),
        Panel::HeatMap(map) => heat_map::draw(svg, map),
    }
}
