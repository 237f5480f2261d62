//! A sentence above a table: which arm is best, and how far it is from the next one and from the first,
//! measured in the spread between seeds.

use super::arm::Arm;
use super::measured_on::{self, Measured};
use super::run_record::EvaluationPoint;
use super::spread::Spread;
use super::table::{Cell, Unit};

/// Losses that are nearer to each other are shown alike.
const SAME: f64 = 0.0005;

/// An arm and its loss.
#[derive(Clone, Debug)]
struct Compared {
    name: String,
    label: String,
    loss: Spread,
}

/// What losses of arms come to; `what` they are, `of` which an evaluation has, and the loss of an evaluation.
/// `first` is the first arm of the experiment. None if no run is finished. Only losses that were measured alike
/// are compared.
pub(super) fn headline(
    arms: &[&Arm],
    first: &Arm,
    (what, of): (&str, Measured<'_>),
    loss: impl Fn(&EvaluationPoint) -> Option<f64>,
) -> Option<String> {
    let known = |arms: &[&'_ Arm]| -> Vec<Spread> {
        arms.iter().filter_map(|arm| arm.at_end(&loss)).collect()
    };
    let (with_loss, others): (Vec<&Arm>, Vec<&Arm>) =
        arms.iter().partition(|arm| arm.at_end(&loss).is_some());
    if with_loss.is_empty() {
        return None;
    }
    let compared = |arms: &[&Arm]| {
        let losses = known(arms).into_iter().zip(arms);
        let losses = losses.map(|(loss, arm)| Compared {
            name: arm.name.clone(),
            label: arm.label.clone(),
            loss,
        });
        compared(losses.collect(), &first.name, what)
    };
    let mut sentences = Vec::new();
    match measured_on::difference_of_arms(with_loss.iter().copied(), of) {
        None => sentences.extend(compared(&with_loss)),
        Some(difference) => {
            let reason = difference.reason();
            sentences.push(format!(
                "No arm is the best of all: the losses {reason}, so they cannot be compared."
            ));
            for group in measured_on::groups(&with_loss, of) {
                if group.len() > 1 {
                    let labels: Vec<&str> = group.iter().map(|arm| arm.label.as_str()).collect();
                    sentences.push(format!("Of {}, measured alike:", listed(&labels)));
                }
                sentences.extend(compared(&group));
            }
        }
    }
    sentences.push(seeds(&known(&with_loss)));
    let (unfinished, finished): (Vec<&Arm>, Vec<&Arm>) = others
        .iter()
        .partition(|arm| arm.finished().next().is_none());
    for (lack, arms) in [(what, finished), ("finished run", unfinished)] {
        let labels: Vec<&str> = arms.iter().map(|arm| arm.label.as_str()).collect();
        if !labels.is_empty() {
            sentences.push(format!("Without a {lack}: {}.", listed(&labels)));
        }
    }
    Some(sentences.join(" "))
}

/// Which of the arms is best, in sentences. All were measured alike.
fn compared(mut known: Vec<Compared>, first: &str, what: &str) -> Vec<String> {
    known.sort_by(|left, right| left.loss.mean.total_cmp(&right.loss.mean));
    let best = match known.as_slice() {
        [] => return Vec::new(),
        [only] => return vec![format!("{}: {what} {}.", only.label, shown(only.loss))],
        [best, ..] => best,
    };
    // An arm beyond one that is not tied is not tied either, however wide its own spread.
    let tied = known[1..].iter();
    let tied = tied.take_while(|other| is_tie(best, other)).count();
    let (tied, others) = known.split_at(tied + 1);
    let mut sentences = vec![match tied {
        [best] => winner(best, &others[0], first, what),
        tied => tie(tied, first, what),
    }];
    // The winner's sentence names the next arm already.
    let named = if tied.len() > 1 { 0 } else { 1 };
    let first = others.iter().skip(named).find(|arm| arm.name == first);
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

fn winner(best: &Compared, next: &Compared, first: &str, what: &str) -> String {
    let role = |arm: &Compared| {
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

fn tie(tied: &[Compared], first: &str, what: &str) -> String {
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
fn lower(low: &Compared, high: &Compared) -> String {
    let distance = Unit::Nats.show(high.loss.mean - low.loss.mean);
    match times(low, high) {
        Some(times) => format!("{distance} ({times}) lower"),
        None => format!("{distance} lower"),
    }
}

/// The distance of two losses in units of the spread; none where the spread is not known.
fn times(low: &Compared, high: &Compared) -> Option<String> {
    let spread = pooled(low.loss, high.loss)?;
    let distance = high.loss.mean - low.loss.mean;
    Some(if spread > 0.0 {
        format!("{:.1} times the spread", distance / spread)
    } else {
        "the seeds do not differ".into()
    })
}

/// Whether the distance of two losses is within the spread between seeds, or nothing at all.
fn is_tie(low: &Compared, high: &Compared) -> bool {
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
fn seeds(known: &[Spread]) -> String {
    let counts = known.iter().map(|loss| loss.count);
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
