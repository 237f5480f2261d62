//! Where the names of points stand: beside their points, and not over each other.

use super::svg::Rect;

/// Room between a point and its name.
const GAP: f64 = 9.0;
/// Distances between a point and its name, the nearest first; from the second on a line joins them.
const DISTANCES: [f64; 5] = [0.0, 12.0, 24.0, 38.0, 54.0];
/// Directions from the point, the best first.
const DIRECTIONS: [(f64, f64); 8] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (1.0, -1.0),
    (1.0, 1.0),
    (-1.0, -1.0),
    (-1.0, 1.0),
];
/// How often every name looks for a better place.
const SWEEPS: usize = 12;

/// What a name must not cover, and how bad it is per square pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obstacle {
    pub rect: Rect,
    pub weight: f64,
}

/// A name that needs a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    /// Its point.
    pub point: (f64, f64),
    pub width: f64,
    pub height: f64,
}

/// A place for each name, inside the bounds: each looks for its best place given those of the others,
/// several times over.
pub(super) fn place(labels: &[Label], obstacles: &[Obstacle], bounds: Rect) -> Vec<Rect> {
    let candidates: Vec<Vec<(Rect, f64)>> = labels
        .iter()
        .map(|label| candidates(label, obstacles, bounds))
        .collect();
    let mut places: Vec<Option<Rect>> = vec![None; labels.len()];
    for _ in 0..SWEEPS {
        for (index, candidates) in candidates.iter().enumerate() {
            let cost = |(rect, own): &(Rect, f64)| {
                let others = places.iter().enumerate();
                let others = others.filter_map(|(other, place)| place.filter(|_| other != index));
                own + others.map(|other| rect.overlap(&other) * 10.0).sum::<f64>()
            };
            let best = candidates
                .iter()
                .min_by(|left, right| cost(left).total_cmp(&cost(right)));
            places[index] = best.map(|(rect, _)| *rect);
        }
    }
    places.into_iter().flatten().collect()
}

/// The places that a name can have, and what each costs by itself.
fn candidates(label: &Label, obstacles: &[Obstacle], bounds: Rect) -> Vec<(Rect, f64)> {
    let mut found = Vec::new();
    for (step, distance) in DISTANCES.iter().enumerate() {
        for (rank, direction) in DIRECTIONS.iter().enumerate() {
            let rect = beside(label, *direction, *distance);
            let outside = rect.area() - rect.overlap(&bounds);
            let covered: f64 = obstacles
                .iter()
                .map(|of| rect.overlap(&of.rect) * of.weight)
                .sum();
            let inconvenience = rank as f64 * 2.0 + step as f64 * 30.0;
            let crossed = joint(label, &rect).map_or(0.0, |joint| crossed(joint, obstacles));
            found.push((rect, inconvenience + covered + crossed + outside * 100.0));
        }
    }
    found
}

/// What the line to a name runs over, the surroundings of its own point apart: as bad as if the name
/// itself covered a strip as wide as a mark.
fn crossed([(x0, y0), (x1, y1)]: [(f64, f64); 2], obstacles: &[Obstacle]) -> f64 {
    let length = (x1 - x0).hypot(y1 - y0);
    let at = |distance: f64| {
        let share = distance / length;
        let (x, y) = (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share);
        let strip = Rect {
            left: x - 3.0,
            top: y - 3.0,
            right: x + 3.0,
            bottom: y + 3.0,
        };
        let covered = obstacles
            .iter()
            .map(|of| strip.overlap(&of.rect) * of.weight);
        covered.sum::<f64>()
    };
    (2..)
        .map(|step| f64::from(step) * 6.0)
        .take_while(|&distance| distance < length)
        .map(at)
        .sum()
}

/// The place in a direction from the point.
fn beside(label: &Label, (across, down): (f64, f64), distance: f64) -> Rect {
    let diagonal = across != 0.0 && down != 0.0;
    let reach = (GAP + distance) * if diagonal { 0.75 } else { 1.0 };
    let (x, y) = label.point;
    let left = match across {
        1.0 => x + reach,
        -1.0 => x - reach - label.width,
        _ => x - label.width / 2.0,
    };
    let top = match down {
        1.0 => y + reach,
        -1.0 => y - reach - label.height,
        _ => y - label.height / 2.0,
    };
    Rect {
        left,
        top,
        right: left + label.width,
        bottom: top + label.height,
    }
}

/// The line that joins a point with its name; none where the name stands close to it.
pub(super) fn joint(label: &Label, place: &Rect) -> Option<[(f64, f64); 2]> {
    let (x, y) = label.point;
    let nearest = (
        x.clamp(place.left, place.right),
        y.clamp(place.top + 3.0, place.bottom - 3.0),
    );
    let distance = (nearest.0 - x).hypot(nearest.1 - y);
    (distance > GAP * 1.6).then_some([(x, y), nearest])
}

/// Heights for names in a column that want these heights: in order, at least so far apart, and between
/// two ends.
pub(super) fn spread(wanted: &[f64], apart: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = vec![0.0; wanted.len()];
    let mut free = top;
    for &index in &order {
        places[index] = wanted[index].max(free);
        free = places[index] + apart;
    }
    let mut free = bottom;
    for &index in order.iter().rev() {
        places[index] = places[index].min(free);
        free = places[index] - apart;
    }
    places
}

/// About how wide a text is. Fonts differ: this is a wide one, so that nothing overlaps in others.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' | ' ' => 0.33,
        'f' | 'r' | 't' | '-' | '(' | ')' | '[' | ']' | '/' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' | '×' => 0.95,
        c if c.is_uppercase() => 0.72,
        '\u{1100}'..='\u{11FF}' | '\u{2E80}'..='\u{FFEF}' | '\u{1F000}'..='\u{3FFFF}' => 1.0,
        _ => 0.62,
    };
    text.chars().map(width).sum::<f64>() * size
}

impl Rect {
    fn area(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    fn overlap(&self, other: &Self) -> f64 {
        let across = self.right.min(other.right) - self.left.max(other.left);
        let down = self.bottom.min(other.bottom) - self.top.max(other.top);
        across.max(0.0) * down.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Rect = Rect {
        left: 0.0,
        top: 0.0,
        right: 400.0,
        bottom: 200.0,
    };

    fn label(x: f64, y: f64) -> Label {
        Label {
            point: (x, y),
            width: 80.0,
            height: 14.0,
        }
    }

    #[test]
    fn a_name_alone_stands_right_of_its_point() {
        let places = place(&[label(100.0, 100.0)], &[], BOUNDS);
        assert_eq!((places[0].left, places[0].top), (109.0, 93.0));
        assert_eq!(joint(&label(100.0, 100.0), &places[0]), None);
    }

    #[test]
    fn at_the_edge_it_stands_on_the_other_side() {
        let places = place(&[label(380.0, 100.0)], &[], BOUNDS);
        assert!(places[0].right <= 380.0, "{places:?}");
    }

    #[test]
    fn names_of_a_crowd_do_not_overlap() {
        let labels: Vec<Label> = (0..8)
            .map(|n| label(200.0 + f64::from(n % 3) * 9.0, 90.0 + f64::from(n) * 3.0))
            .collect();
        let places = place(&labels, &[], BOUNDS);
        for (index, rect) in places.iter().enumerate() {
            assert_eq!(rect.overlap(&BOUNDS), rect.area(), "{rect:?}");
            for other in &places[index + 1..] {
                assert_eq!(rect.overlap(other), 0.0, "{rect:?} {other:?}");
            }
        }
    }

    #[test]
    fn names_in_a_column_keep_apart_and_in_order() {
        let places = spread(&[50.0, 52.0, 98.0, 10.0], 10.0, (0.0, 100.0));
        assert_eq!(places, [50.0, 60.0, 98.0, 10.0]);
        let places = spread(&[98.0, 99.0], 10.0, (0.0, 100.0));
        assert_eq!(places, [90.0, 100.0]);
    }
}
