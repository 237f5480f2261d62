//! Points with their names: what arms reached, against what it cost.

use super::axis_scale::Scale;
use super::labels::{self, Label, Obstacle, text_width};
use super::svg::{Anchor, Rect, Svg, TextStyle, number};
use super::{INSIDE, LINE, TEXT, axes, range, with_room};
use crate::report::arm::Family;
use crate::report::charts::{Plot, Series};

/// A point whose value lies further above the upper quartile than so many times the distance of the
/// quartiles is drawn at the edge.
const FAR: f64 = 3.0;
/// Points that it takes to call one of them far.
const ENOUGH: usize = 6;

/// A point of a scattered chart with its name.
struct Named<'a> {
    series: &'a Series,
    /// x, y, and where it is known the lower and the upper end of y's spread.
    values: &'a [f64],
    at: (f64, f64),
    name: String,
    /// Whether it lies above the chart and is drawn at its edge.
    above: bool,
}

/// Points with their names; those of a family of arms share colour and mark. Gives what it shows in
/// words.
pub(super) fn draw(svg: &mut Svg, plot: &Plot) -> String {
    let all = || {
        let of = |series: &'_ Series| series.points.len();
        plot.series.iter().flat_map(move |series| {
            (0..of(series)).map(move |index| (series, &series.points[index]))
        })
    };
    let heights = without_far(all().map(|(_, point)| point[1]).collect());
    let shown = |value: f64| value <= heights[heights.len() - 1];
    let spreads = all().filter(|(_, point)| shown(point[1]));
    let (low, high) = range(spreads.flat_map(|(_, point)| point[1..].iter().copied()));
    let y = Scale::new(with_room((low, high), 0.05), (INSIDE.bottom, INSIDE.top));
    let widths = range(all().map(|(_, point)| point[0]));
    let x = Scale::new(with_room(widths, 0.08), (INSIDE.left, INSIDE.right));
    axes(svg, plot, INSIDE, &x, &y);
    let named: Vec<Named<'_>> = all()
        .map(|(series, values)| {
            let above = values[1] > y.high();
            let value = format!("{:.3}", values[1]);
            Named {
                series,
                values,
                at: (x.at(values[0]), y.at(values[1]).max(INSIDE.top + 8.0)),
                name: if above {
                    format!("{}: {value}", series.name)
                } else {
                    series.name.clone()
                },
                above,
            }
        })
        .collect();
    let joined = family_lines(&named, &x, &y);
    svg.clipped(INSIDE, |svg| {
        for (line, colour) in &joined {
            svg.stroke(line, colour, " stroke-width=\"1.5\" opacity=\".5\"");
        }
    });
    for point in named.iter().filter(|point| !point.above) {
        if let [_, _, low, high] = *point.values {
            let x = point.at.0;
            let ends = [(x, y.at(high)), (x, y.at(low))];
            svg.stroke(
                &ends,
                colour(point.series),
                " stroke-width=\"1.5\" opacity=\".45\"",
            );
        }
    }
    let joined: Vec<Obstacle> = joined.iter().flat_map(|(line, _)| along(line)).collect();
    names(svg, &named, &joined, &y);
    for point in &named {
        let outline = if point.above {
            upward(point.at)
        } else {
            mark(point.series.family, point.at)
        };
        svg.fill(&outline, colour(point.series), "");
    }
    let in_words = named.iter().map(|point| {
        format!(
            "{}: {:.3} at {:.0}",
            point.series.name, point.values[1], point.values[0]
        )
    });
    format!(
        "{} against {}. {}.",
        plot.y.label,
        plot.x.label,
        in_words.collect::<Vec<String>>().join("; ")
    )
}

/// Lines through the points of the families that have several, with their colours.
fn family_lines(named: &[Named<'_>], x: &Scale, y: &Scale) -> Vec<(Vec<(f64, f64)>, &'static str)> {
    let mut lines = Vec::new();
    for family in [Family::Dense, Family::Masked] {
        let of_family = named
            .iter()
            .filter(|point| point.series.family == Some(family));
        let mut of_family: Vec<&Named<'_>> = of_family.collect();
        if of_family.len() < 3 {
            continue;
        }
        of_family.sort_by(|left, right| left.at.0.total_cmp(&right.at.0));
        let place = |point: &&Named<'_>| (x.at(point.values[0]), y.at(point.values[1]));
        let places = of_family.iter().map(place).collect();
        lines.push((places, colour(of_family[0].series)));
    }
    lines
}

/// Small squares along a line, which names should not cover.
fn along(line: &[(f64, f64)]) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for ends in line.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let steps = ((x1 - x0).hypot(y1 - y0) / 4.0).ceil().max(1.0);
        for step in 0..steps as usize {
            let share = step as f64 / steps;
            let middle = (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share);
            found.push(Obstacle {
                rect: around(middle, 2.0, 2.0, 2.0),
                weight: 1.0,
            });
        }
    }
    found
}

fn around((x, y): (f64, f64), across: f64, up: f64, down: f64) -> Rect {
    Rect {
        left: x - across,
        top: y - up,
        right: x + across,
        bottom: y + down,
    }
}

/// The names of the points, beside them.
fn names(svg: &mut Svg, named: &[Named<'_>], lines: &[Obstacle], y: &Scale) {
    let labels: Vec<Label> = named
        .iter()
        .map(|point| Label {
            point: point.at,
            width: text_width(&point.name, TEXT),
            height: LINE,
        })
        .collect();
    let marks = named.iter().map(|point| Obstacle {
        rect: around(point.at, 7.0, 7.0, 7.0),
        weight: 8.0,
    });
    let whiskers = named.iter().filter_map(|point| match *point.values {
        [_, value, low, high] if !point.above => Some(Obstacle {
            rect: around(
                point.at,
                1.5,
                y.at(value) - y.at(high),
                y.at(low) - y.at(value),
            ),
            weight: 0.8,
        }),
        _ => None,
    });
    let obstacles: Vec<Obstacle> = marks.chain(whiskers).chain(lines.iter().copied()).collect();
    let places = labels::place(&labels, &obstacles, INSIDE);
    for ((point, label), place) in named.iter().zip(&labels).zip(&places) {
        if let Some(joint) = labels::joint(label, place) {
            svg.stroke(&joint, "quiet", " stroke-width=\"1\"");
        }
        let to_the_left = place.right < label.point.0;
        let (anchor, x) = if to_the_left {
            (Anchor::End, place.right)
        } else if place.left > label.point.0 {
            (Anchor::Start, place.left)
        } else {
            (Anchor::Middle, f64::midpoint(place.left, place.right))
        };
        let style = TextStyle {
            size: TEXT,
            colour: colour(point.series),
            anchor,
            bold: point.series.family == Some(Family::Masked),
        };
        svg.text((x, place.bottom - 4.0), style, &point.name);
    }
}

/// The values without those that lie far above the others.
fn without_far(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    if values.len() < ENOUGH {
        return values;
    }
    let quartile = |part: usize| values[(values.len() - 1) * part / 4];
    let limit = quartile(3) + FAR * (quartile(3) - quartile(1));
    values.retain(|&value| value <= limit);
    values
}

/// The colour of a point: that of its family.
fn colour(series: &Series) -> &'static str {
    match series.family {
        None | Some(Family::Dense) => "series-6",
        Some(Family::Dropout) => "series-0",
        Some(Family::Masked) => "series-1",
        Some(Family::Experts) => "series-2",
        Some(Family::Relu) => "series-7",
    }
}

/// The mark of a point: that of its family, so that colours are not all that tells them apart.
fn mark(family: Option<Family>, (x, y): (f64, f64)) -> String {
    let by = |across: f64, down: f64| format!("{} {}", number(x + across), number(y + down));
    match family {
        None | Some(Family::Dense) => format!("M{}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", by(-5.0, 0.0)),
        Some(Family::Masked) => format!("M{}h11v11h-11Z", by(-5.5, -5.5)),
        Some(Family::Experts) => {
            format!("M{}L{}L{}Z", by(0.0, -6.5), by(6.0, 5.0), by(-6.0, 5.0))
        }
        Some(Family::Dropout) => {
            format!("M{}L{}L{}Z", by(0.0, 6.5), by(6.0, -5.0), by(-6.0, -5.0))
        }
        Some(Family::Relu) => format!(
            "M{}L{}L{}L{}Z",
            by(0.0, -7.0),
            by(7.0, 0.0),
            by(0.0, 7.0),
            by(-7.0, 0.0)
        ),
    }
}

/// The arrow of a point that lies above the chart.
pub(super) fn upward((x, y): (f64, f64)) -> String {
    let by = |across: f64, down: f64| format!("{} {}", number(x + across), number(y + down));
    format!(
        "M{}L{}L{}L{}L{}L{}L{}Z",
        by(0.0, -7.0),
        by(6.0, 0.0),
        by(2.0, 0.0),
        by(2.0, 7.0),
        by(-2.0, 7.0),
        by(-2.0, 0.0),
        by(-6.0, 0.0)
    )
}
