//! The columns that a table of arms can have.

use super::arm::Arm;
use super::headline::headline;
use super::measured_on::{self, Measured, MeasuredOn};
use super::run_record::RunRecord;
use super::speeds::benchmark;
use super::spread::Spread;
use super::table::{Cell, DataTable, Unit};
use crate::experiments::{Column, Table};
use model::Site;

impl Column {
    /// Its name for programs, and for readers.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Runs => ("runs", "Runs"),
            Self::TrainLoss => ("train_loss", "Train loss"),
            Self::PublishedTrainLoss => ("published_train_loss", "Published train loss"),
            Self::ValidationLoss => ("validation_loss", "Validation loss"),
            Self::PublishedValidationLoss => {
                ("published_validation_loss", "Published validation loss")
            }
            Self::ValidationLossDifference => (
                "validation_loss_difference",
                "Difference from the first arm",
            ),
            Self::LowestValidationLoss => ("lowest_validation_loss", "Lowest validation loss"),
            Self::StepsToTarget => ("steps_to_target", "Steps to target"),
            Self::Kept => ("kept", "Kept"),
            Self::KeptHiddenUnits => ("kept_hidden_units", "Kept hidden units"),
            Self::KeptHeads => ("kept_heads", "Kept heads"),
            Self::NonzeroUnits => ("nonzero_units", "Kept units that are not 0"),
            Self::PublishedKept => ("published_kept", "Published kept"),
            Self::Parameters => ("parameters", "Parameters"),
            Self::ForwardFlops => ("forward_flops_per_token", "Dense FLOPs per token"),
            Self::ExecutedFlops => ("executed_flops_per_token", "Executed FLOPs per token"),
            Self::MaskFlops => ("mask_flops_per_token", "FLOPs per token for masks"),
            Self::Tokens => ("tokens", "Tokens"),
            Self::TokensPerSecond => ("tokens_per_second", "Training, tokens/s"),
            Self::DecodeSpeed => ("decode_speed", "Decode, tokens/s"),
            Self::DenseDecodeSpeed => ("dense_decode_speed", "Dense decode, tokens/s"),
            Self::DecodeSpeedUp => ("decode_speed_up", "Decode, speed-up over dense"),
            Self::DecodeSpeedUpOverFirst => (
                "decode_speed_up_over_first",
                "Decode, speed-up over the first arm",
            ),
            Self::PrefillSpeed => ("prefill_speed", "Prefill, tokens/s"),
            Self::DensePrefillSpeed => ("dense_prefill_speed", "Dense prefill, tokens/s"),
            Self::PrefillSpeedUp => ("prefill_speed_up", "Prefill, speed-up over dense"),
            Self::PrefillSpeedUpOverFirst => (
                "prefill_speed_up_over_first",
                "Prefill, speed-up over the first arm",
            ),
        }
    }

    /// `first` is the first arm of the experiment, `target` the table's validation loss.
    pub(super) fn cell(self, arm: &Arm, first: &Arm, target: Option<f64>) -> Cell {
        match self {
            Self::Runs => {
                let done = arm.finished().count();
                let failed = arm.runs.iter().filter(|run| run.failure.is_some()).count();
                let failed = match failed {
                    0 => String::new(),
                    failed => format!(", {failed} failed"),
                };
                Cell::Text(format!("{done}/{}{failed}", arm.planned))
            }
            Self::TrainLoss => Cell::spread(arm.at_end(|end| end.train_loss), Unit::Nats),
            Self::PublishedTrainLoss => Cell::number(arm.published.train, Unit::Nats),
            Self::ValidationLoss => Cell::spread(arm.at_end(|end| end.validation_loss), Unit::Nats),
            Self::PublishedValidationLoss => Cell::number(arm.published.validation, Unit::Nats),
            Self::ValidationLossDifference => Cell::spread(difference(arm, first), Unit::Nats),
            Self::LowestValidationLoss => {
                let lowest = arm.over_seeds(|run| {
                    let losses = run.evaluations.iter().filter_map(|of| of.validation_loss);
                    losses.min_by(f64::total_cmp)
                });
                Cell::spread(lowest, Unit::Nats)
            }
            Self::StepsToTarget => {
                let steps = target.and_then(|target| arm.over_seeds(|run| first_step(run, target)));
                Cell::spread(steps, Unit::Count)
            }
            Self::Kept => Cell::spread(arm.at_end(|end| end.kept), Unit::Share),
            Self::KeptHiddenUnits => {
                Cell::spread(arm.kept_at(Site::FeedForwardHidden), Unit::Share)
            }
            Self::KeptHeads => Cell::spread(arm.kept_at(Site::AttentionHeads), Unit::Share),
            Self::NonzeroUnits => Cell::spread(arm.nonzero_units(), Unit::Share),
            Self::PublishedKept => Cell::number(arm.published.kept, Unit::Share),
            Self::Parameters => {
                let parameters = arm
                    .model()
                    .map(|model| model.parameters_without_positions());
                Cell::number(parameters.map(|count| count as f64), Unit::Count)
            }
            Self::ForwardFlops => Cell::number(arm.forward_flops(), Unit::Operations),
            Self::ExecutedFlops => Cell::spread(arm.executed_flops(), Unit::Operations),
            Self::MaskFlops => Cell::number(arm.mask_flops(), Unit::Operations),
            Self::Tokens => {
                let tokens = arm.over_seeds(|run| run.steps.last()?.tokens);
                Cell::number(tokens.map(|tokens| tokens.mean), Unit::Count)
            }
            Self::TokensPerSecond => {
                let speed = arm.over_seeds(|run| run.tokens_per_second());
                Cell::spread(speed, Unit::Count)
            }
            Self::DecodeSpeed => speed(arm, "decode", "sparse"),
            Self::DenseDecodeSpeed => speed(arm, "decode", "dense"),
            Self::DecodeSpeedUp => speed_up(arm, "decode"),
            Self::DecodeSpeedUpOverFirst => speed_up_over(arm, first, "decode"),
            Self::PrefillSpeed => speed(arm, "prefill", "sparse"),
            Self::DensePrefillSpeed => speed(arm, "prefill", "dense"),
            Self::PrefillSpeedUp => speed_up(arm, "prefill"),
            Self::PrefillSpeedUpOverFirst => speed_up_over(arm, first, "prefill"),
        }
    }
}

/// The first evaluated step whose validation loss is at most the target; none if there is none.
fn first_step(run: &RunRecord, target: f64) -> Option<f64> {
    let mut evaluations = run.evaluations.iter();
    let reached = |loss: Option<f64>| loss.is_some_and(|loss| loss <= target);
    let found = evaluations.find(|of| reached(of.validation_loss))?;
    Some(found.step as f64)
}

/// How much the validation loss at the end differs from that of another arm with the same seed, over the
/// seeds; none for the other arm itself, and where the two were not measured alike.
fn difference(arm: &Arm, other: &Arm) -> Option<Spread> {
    if arm.name == other.name {
        return None;
    }
    arm.over_seeds(|run| {
        let mut others = other.finished();
        let same = others.find(|of| of.config.seed == run.config.seed)?;
        let on = |run| MeasuredOn::of(run, Measured::Validation);
        let is_alike = on(run)?.difference(&on(same)?).is_none();
        let loss = |run: &RunRecord| run.evaluations.last()?.validation_loss;
        is_alike.then_some(loss(run)? - loss(same)?)
    })
}

fn speed(arm: &Arm, kind: &str, engine: &str) -> Cell {
    Cell::spread(benchmark(kind).speed(arm, engine), Unit::Count)
}

/// Sparse against dense; without masks both are the same engine.
fn speed_up(arm: &Arm, kind: &str) -> Cell {
    let masked = arm
        .model()
        .is_some_and(|model| model.learned_dropout.is_some());
    let ratio = benchmark(kind).speed_up_over_dense(arm);
    Cell::spread(ratio.filter(|_| masked), Unit::Factor)
}

fn speed_up_over(arm: &Arm, first: &Arm, kind: &str) -> Cell {
    Cell::spread(benchmark(kind).speed_up_over(arm, first), Unit::Factor)
}

/// A table with a row for each of these arms.
pub(super) fn of_arms(all: &[Arm], table: &Table) -> DataTable {
    let shown = |arm: &&Arm| table.arms.is_empty() || table.arms.contains(&arm.name);
    let arms: Vec<&Arm> = all.iter().filter(shown).collect();
    let Some(first) = all.first() else {
        return DataTable::default();
    };
    let mut columns = table.columns.clone();
    let mut further = Vec::new();
    if columns.is_empty() {
        let known = |column: &Column| {
            let mut cells = arms.iter().map(|arm| column.cell(arm, first, table.target));
            let says_more = match column {
                Column::KeptHiddenUnits | Column::KeptHeads => drop_units_and_heads(&arms),
                _ => true,
            };
            says_more && cells.any(|cell| cell != Cell::Empty)
        };
        columns = Column::ALL.into_iter().filter(known).collect();
        let is_further = |column: &&Column| !is_narrow(**column, &arms);
        let keys = columns.iter().filter(is_further);
        further = keys.map(|column| column.names().0.to_string()).collect();
    }
    let headline = columns
        .contains(&Column::ValidationLoss)
        .then(|| {
            let what = ("validation loss", Measured::Validation);
            headline(&arms, first, what, |end| end.validation_loss)
        })
        .flatten();
    let names = |name: fn((&'static str, &'static str)) -> &'static str, first: &str| {
        let columns = columns
            .iter()
            .map(|column| name(column.names()).to_string());
        [first.to_string()].into_iter().chain(columns).collect()
    };
    let row = |arm: &&Arm| {
        let cells = columns
            .iter()
            .map(|column| column.cell(arm, first, table.target));
        [Cell::Text(arm.label.clone())]
            .into_iter()
            .chain(cells)
            .collect()
    };
    let mut headings: Vec<String> = names(|names| names.1, "Arm");
    for (heading, column) in headings.iter_mut().skip(1).zip(&columns) {
        if let (Column::StepsToTarget, Some(target)) = (column, table.target) {
            *heading = format!("Steps to validation loss {target}");
        }
    }
    DataTable {
        title: table.title.clone().unwrap_or("Results".into()),
        headings,
        keys: names(|names| names.0, "arm"),
        rows: arms.iter().map(row).collect(),
        headline,
        further,
        is_comparable: is_comparable(arms.iter().copied()),
        ..DataTable::default()
    }
}

/// Whether one of the arms' validation losses can be called the lowest.
pub(super) fn is_comparable<'a>(arms: impl Iterator<Item = &'a Arm>) -> bool {
    measured_on::difference_of_arms(arms, Measured::Validation).is_none()
}

/// Whether some masks of the arms drop hidden units, and some drop heads.
fn drop_units_and_heads(arms: &[&Arm]) -> bool {
    let at = |site: Site| arms.iter().any(|arm| arm.kept_at(site).is_some());
    at(Site::FeedForwardHidden) && at(Site::AttentionHeads)
}

/// Whether a table of which no columns are asked for shows this one at once.
fn is_narrow(column: Column, arms: &[&Arm]) -> bool {
    match column {
        // The headline says how many seeds there are, if all is well.
        Column::Runs => arms.iter().any(|arm| arm.finished().count() < arm.planned),
        // Speeds have a table of their own.
        Column::ValidationLoss | Column::ExecutedFlops => true,
        // A mean over units and heads says little.
        Column::Kept => !drop_units_and_heads(arms),
        Column::KeptHiddenUnits | Column::KeptHeads => true,
        _ => false,
    }
}

/// The configuration keys whose values are not the same in all arms, with each arm's value.
pub(super) fn differences(arms: &[Arm]) -> DataTable {
    let begun: Vec<(&Arm, _)> = arms
        .iter()
        .filter_map(|arm| Some((arm, arm.runs.first()?.config.values())))
        .collect();
    let ignored = |key: &str| key == "seed" || key == "data.path";
    let mut keys: Vec<&String> = begun.iter().flat_map(|(_, values)| values.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| {
        let first = begun.first().and_then(|(_, values)| values.get(*key));
        !ignored(key) && begun.iter().any(|(_, values)| values.get(*key) != first)
    });
    let labels: Vec<String> = begun.iter().map(|(arm, _)| arm.label.clone()).collect();
    let names: Vec<String> = begun.iter().map(|(arm, _)| arm.name.clone()).collect();
    let head = |first: &str, rest: Vec<String>| [vec![first.to_string()], rest].concat();
    let row = |key: &String| {
        let cells = begun.iter().map(|(_, values)| match values.get(key) {
            Some(toml::Value::String(word)) => Cell::Text(word.clone()),
            Some(value) => Cell::Text(value.to_string()),
            None => Cell::Empty,
        });
        [Cell::Text(key.clone())].into_iter().chain(cells).collect()
    };
    DataTable {
        title: "Configuration".into(),
        headings: head("Key", labels),
        keys: head("key", names),
        rows: keys.iter().copied().map(row).collect(),
        ..DataTable::default()
    }
}
