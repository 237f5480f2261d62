//! A sentence above a table: which arm is best, and how far it is from the next one and from the first,
//! measured in the spread between seeds.

use super::arm::Arm;
use super::run_record::EvaluationPoint;
use super::spread::Spread;
use super::table::{Cell, Unit};

/// Losses that are nearer to each other are shown alike.
const SAME: f64 = 0.0005;

/// An arm and its loss.
#[derive(Clone, Copy, Debug)]
struct Compared<'a> {
    name: &'a str,
    label: &'a str,
    loss: Spread,
}

/// What the losses of arms come to; `what` they are, and the loss of an evaluation. `first` is the first arm
/// of the experiment. None if no run is finished.
pub(super) fn headline(
    arms: &[&Arm],
    first: &Arm,
    what: &str,
    loss: impl Fn(&EvaluationPoint) -> Option<f64>,
) -> Option<String> {
    let (mut known, mut missing) = (Vec::new(), Vec::new());
    for arm in arms {
        let (name, label) = (arm.name.as_str(), arm.label.as_str());
        match arm.at_end(&loss) {
            Some(loss) => known.push(Compared { name, label, loss }),
            None => missing.push(label),
        }
    }
    known.sort_by(|left, right| left.loss.mean.total_cmp(&right.loss.mean));
    let mut sentences = match known.as_slice() {
        [] => return None,
        [only] => vec![format!("{}: {what} {}.", only.label, shown(only.loss))],
        [best, ..] => {
            // An arm beyond one that is not tied is not tied either, however wide its own spread.
            let tied = known[1..]
                .iter()
                .take_while(|other| is_tie(best, other))
                .count();
            let (tied, others) = known.split_at(tied + 1);
            let mut sentences = vec![match tied {
                [best] => winner(best, &others[0], &first.name, what),
                tied => tie(tied, &first.name, what),
            }];
            // The winner's sentence names the next arm already.
            let named = if tied.len() > 1 { 0 } else { 1 };
            let first = others.iter().skip(named).find(|arm| arm.name == first.name);
            sentences.extend(first.map(|first| {
                format!(
                    "{} is {} than {}, the first arm.",
                    best.label,
                    lower(best, first),
                    first.label
                )
            }));
            sentences
        }
    };
    sentences.push(seeds(&known));
    if !missing.is_empty() {
        sentences.push(format!("Without a finished run: {}.", listed(&missing)));
    }
    Some(sentences.join(" "))
}

fn winner(best: &Compared<'_>, next: &Compared<'_>, first: &str, what: &str) -> String {
    let role = |arm: &Compared<'_>| {
        if arm.name == first {
            ", the first arm,"
        } else {
            ""
        }
    };
    let next_role = if next.name == first {
        "the next one and the first arm"
    } else {
        "the next one"
    };
    format!(
        "{}{} has the lowest {what}, {}: {} than {}, {next_role}.",
        best.label,
        role(best),
        shown(best.loss),
        lower(best, next),
        next.label,
    )
}

fn tie(tied: &[Compared<'_>], first: &str, what: &str) -> String {
    let (best, last) = (&tied[0], &tied[tied.len() - 1]);
    let names: Vec<String> = tied
        .iter()
        .map(|arm| {
            let role = if arm.name == first {
                " (the first arm)"
            } else {
                ""
            };
            format!("{}{role}", arm.label)
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let apart = last.loss.mean - best.loss.mean;
    let within = match times(best, last) {
        Some(times) => format!(", {times}"),
        None => String::new(),
    };
    format!(
        "{} are tied: the lowest {what} is {}, and they are at most {} apart{within}.",
        listed(&names),
        shown(best.loss),
        Unit::Nats.show(apart),
    )
}

/// How much lower one loss is than another.
fn lower(low: &Compared<'_>, high: &Compared<'_>) -> String {
    let distance = Unit::Nats.show(high.loss.mean - low.loss.mean);
    match times(low, high) {
        Some(times) => format!("{distance} ({times}) lower"),
        None => format!("{distance} lower"),
    }
}

/// The distance of two losses in units of the spread; none where the spread is not known.
fn times(low: &Compared<'_>, high: &Compared<'_>) -> Option<String> {
    let spread = pooled(low.loss, high.loss)?;
    let distance = high.loss.mean - low.loss.mean;
    Some(if spread > 0.0 {
        format!("{:.1} times the spread", distance / spread)
    } else {
        "the seeds do not differ".into()
    })
}

/// Whether the distance of two losses is within the spread between seeds, or nothing at all.
fn is_tie(low: &Compared<'_>, high: &Compared<'_>) -> bool {
    let distance = high.loss.mean - low.loss.mean;
    distance < SAME || pooled(low.loss, high.loss).is_some_and(|spread| distance < spread)
}

/// The standard deviation between seeds that two arms have in common: the root of the mean of their variances,
/// weighed by n − 1. None if both have one seed.
fn pooled(left: Spread, right: Spread) -> Option<f64> {
    let known = [left, right].into_iter().filter_map(|spread| {
        let freedom = spread.count as f64 - 1.0;
        Some((freedom, spread.deviation?))
    });
    let (mut squares, mut freedom) = (0.0, 0.0);
    for (of, deviation) in known {
        squares += of * deviation * deviation;
        freedom += of;
    }
    (freedom > 0.0).then(|| (squares / freedom).sqrt())
}

/// How many seeds the losses come from.
fn seeds(known: &[Compared<'_>]) -> String {
    let counts = known.iter().map(|arm| arm.loss.count);
    let (fewest, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    let each = if known.len() > 1 { " each" } else { "" };
    match (fewest, most) {
        (1, 1) => format!("One seed{each}, so the spread between seeds is not known."),
        (fewest, most) if fewest == most => format!("{most} seeds{each}."),
        (fewest, most) => format!("{fewest} to {most} seeds{each}."),
    }
}

fn shown(loss: Spread) -> String {
    Cell::Spread(loss, Unit::Nats).show()
}

/// Names with commas between them, and "and" before the last one.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).into(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
