//! The charts that a report can have: what they plot, as data for the page's script.

use serde::Serialize;

use super::arm::{Arm, Family};
use super::course::{self, over_steps};
use super::mask_tables;
use super::measured_on::{self, Measured};
use super::speeds::benchmark;
use super::spread::Spread;
use crate::experiments::{Chart, ChartKind};

/// Most points of a line; more are averaged in groups.
const MOST_POINTS: usize = 400;

/// What a chart plots.
#[derive(Clone, Debug, Serialize)]
pub struct Plot {
    /// Its heading.
    pub title: String,
    /// What the horizontal axis shows.
    pub x: Axis,
    /// What the vertical axis shows.
    pub y: Axis,
    /// Whether the points of a series are apart from each other, not joined by a line.
    pub scattered: bool,
    /// What is drawn.
    pub series: Vec<Series>,
}

impl Plot {
    /// Which lines are which, where an arm has several.
    pub(super) fn parts_note(&self) -> Option<&'static str> {
        let mut series = self.series.iter();
        let has_thin = series.any(|series| series.thin);
        has_thin.then_some("Thick lines: validation; thin ones: training.")
    }
}

/// An axis.
#[derive(Clone, Debug, Serialize)]
pub struct Axis {
    /// Its label, with the unit.
    pub label: &'static str,
    /// Whether values are shares, shown as percentages.
    pub share: bool,
    /// Whether values are whole numbers.
    pub whole: bool,
}

/// The line or the points of an arm.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    /// The arm's label.
    pub name: String,
    /// The arm's place in the report, which decides its colour and dashes.
    pub style: usize,
    /// What the arm is, where a chart has points of several arms.
    #[serde(skip)]
    pub family: Option<Family>,
    /// x, y, and where it is known the lower and the upper end of y's spread.
    pub points: Vec<Vec<f64>>,
    /// What it shows, where a chart has several lines of an arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'static str>,
    /// Whether the line is thin: a companion of the arm's other line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub thin: bool,
    /// Where x is steps: the tokens that each point is reached with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<f64>>,
    /// Where x is steps: the seconds of training that each point is reached after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Vec<f64>>,
}

/// The charts of a report that names none.
pub(super) fn defaults(arms: &[Arm]) -> Vec<Chart> {
    let mut kinds = vec![ChartKind::Loss];
    if arms.len() == 1 {
        kinds.push(ChartKind::StepLoss);
    }
    kinds.extend([
        ChartKind::Kept,
        ChartKind::KeptByLayer,
        ChartKind::KeptByPosition,
    ]);
    if arms.len() > 1 {
        kinds.push(ChartKind::LossAgainstFlops);
    }
    kinds.into_iter().map(chart_of).collect()
}

/// The charts that tell how the training went, and that every page has.
pub(super) fn course(asked: &[Chart]) -> Vec<Chart> {
    let kinds = [
        ChartKind::LearningRate,
        ChartKind::GradientNorm,
        ChartKind::Throughput,
    ];
    let is_new = |kind: &ChartKind| asked.iter().all(|chart| chart.kind != *kind);
    kinds.into_iter().filter(is_new).map(chart_of).collect()
}

/// A chart of all arms.
fn chart_of(kind: ChartKind) -> Chart {
    Chart {
        kind,
        ..Chart::default()
    }
}

/// The plot of a chart; none if nothing is known to plot.
pub(super) fn plot(arms: &[Arm], chart: &Chart) -> Option<Plot> {
    let shown = |arm: &Arm| chart.arms.is_empty() || chart.arms.contains(&arm.name);
    let shown_arms = arms.iter().enumerate().filter(|(_, arm)| shown(arm));
    let series = shown_arms.flat_map(|(style, arm)| {
        let lines = lines(arm, chart.kind).into_iter();
        lines.map(move |(part, points)| series_of(arm, style, part, points))
    });
    let mut series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    let (title, x, y) = about(chart.kind);
    let scattered = matches!(
        chart.kind,
        ChartKind::LossAgainstFlops
            | ChartKind::LossAgainstSpeed
            | ChartKind::LossAgainstDecodeSpeed
            | ChartKind::LossAgainstPrefillSpeed
    );
    if x.label == STEPS {
        for series in &mut series {
            add_course(&arms[series.style], series);
        }
    }
    let title = chart.title.clone().unwrap_or(title.into());
    let drawn = arms.iter().enumerate().filter(|(style, _)| {
        let mut series = series.iter();
        series.any(|series| series.style == *style)
    });
    let drawn = drawn.map(|(_, arm)| arm);
    let difference = measured(chart.kind).and_then(|of| measured_on::difference_of_arms(drawn, of));
    (!series.is_empty()).then(|| Plot {
        title: difference.map_or(title.clone(), |of| of.heading(&title)),
        x,
        y,
        scattered,
        series,
    })
}

/// The name of a line among several of an arm.
const TRAINING: &str = "training";

/// The lines of an arm in a chart: mostly one, without a name.
fn lines(arm: &Arm, kind: ChartKind) -> Vec<(Option<&'static str>, Vec<Vec<f64>>)> {
    match kind {
        ChartKind::Loss => vec![
            (Some("validation"), points(arm, ChartKind::ValidationLoss)),
            (Some(TRAINING), points(arm, ChartKind::TrainLoss)),
        ],
        kind => vec![(None, points(arm, kind))],
    }
}

/// The loss that a chart shows; none if it shows none that readers compare.
fn measured(kind: ChartKind) -> Option<Measured<'static>> {
    match kind {
        ChartKind::TrainLoss => Some(Measured::Train),
        ChartKind::Loss
        | ChartKind::ValidationLoss
        | ChartKind::LossAgainstFlops
        | ChartKind::LossAgainstSpeed
        | ChartKind::LossAgainstDecodeSpeed
        | ChartKind::LossAgainstPrefillSpeed => Some(Measured::Validation),
        ChartKind::StepLoss => Some(Measured::TrainingBatches),
        ChartKind::LearningRate
        | ChartKind::GradientNorm
        | ChartKind::Throughput
        | ChartKind::Kept
        | ChartKind::KeptByLayer
        | ChartKind::KeptByPosition
        | ChartKind::Search => None,
    }
}

/// The tokens and the time of points whose x is steps.
pub(super) fn add_course(arm: &Arm, series: &mut Series) {
    let steps: Vec<f64> = series.points.iter().map(|point| point[0]).collect();
    series.tokens = course::tokens(arm, &steps);
    series.seconds = course::seconds(arm, &steps);
}

/// A line of an arm.
pub(super) fn series_of(
    arm: &Arm,
    style: usize,
    part: Option<&'static str>,
    points: Vec<Vec<f64>>,
) -> Series {
    Series {
        name: arm.label.clone(),
        style,
        family: arm.family(),
        points,
        part,
        thin: part == Some(TRAINING),
        ..Series::default()
    }
}

/// The label of the axis of steps.
const STEPS: &str = "steps";

/// Heading, horizontal and vertical axis.
fn about(kind: ChartKind) -> (&'static str, Axis, Axis) {
    let axis = |label| Axis {
        label,
        share: false,
        whole: false,
    };
    let whole = |label| Axis {
        whole: true,
        ..axis(label)
    };
    let share = |label| Axis {
        share: true,
        ..axis(label)
    };
    let steps = whole(STEPS);
    let train = axis("train loss, nats per token");
    let validation = axis("validation loss, nats per token");
    let kept = share("kept activations");
    match kind {
        ChartKind::Loss => ("Loss", steps, axis("loss, nats per token")),
        ChartKind::ValidationLoss => ("Validation loss", steps, validation),
        ChartKind::TrainLoss => ("Train loss", steps, train),
        ChartKind::StepLoss => ("Loss of the training batches", steps, train),
        ChartKind::LearningRate => ("Learning rate", steps, axis("learning rate")),
        ChartKind::GradientNorm => ("Norm of the gradient", steps, axis("norm, before clipping")),
        ChartKind::Throughput => ("Speed of training", steps, whole("tokens per second")),
        ChartKind::Kept => ("Kept activations", steps, kept),
        ChartKind::KeptByLayer => ("Kept activations by layer", whole("layer"), kept),
        ChartKind::KeptByPosition => (
            "Kept activations by place in the window",
            whole("tokens before"),
            kept,
        ),
        ChartKind::LossAgainstFlops => (
            "Validation loss against computation",
            whole("executed FLOPs per token (forward pass)"),
            validation,
        ),
        ChartKind::LossAgainstSpeed => (
            "Validation loss against training speed",
            whole("tokens per second"),
            validation,
        ),
        ChartKind::LossAgainstDecodeSpeed => (
            "Validation loss against speed of writing",
            whole("tokens per second, one after the other"),
            validation,
        ),
        ChartKind::LossAgainstPrefillSpeed => (
            "Validation loss against speed of reading",
            whole("tokens per second of a prompt"),
            validation,
        ),
        ChartKind::Search => ("Search", axis("setting"), validation),
    }
}

fn points(arm: &Arm, kind: ChartKind) -> Vec<Vec<f64>> {
    match kind {
        ChartKind::ValidationLoss => with_spread(arm.over_time(|of| of.validation_loss)),
        ChartKind::TrainLoss => with_spread(arm.over_time(|of| of.train_loss)),
        ChartKind::Kept => with_spread(arm.over_time(|of| of.kept)),
        ChartKind::KeptByLayer => with_spread(arm.kept_by_layer()),
        ChartKind::KeptByPosition => with_spread(mask_tables::kept_by_position(arm)),
        ChartKind::StepLoss => thinned(over_steps(arm, |point| point.loss)),
        ChartKind::LearningRate => thinned(over_steps(arm, |point| point.learning_rate)),
        ChartKind::GradientNorm => thinned(over_steps(arm, |point| point.gradient_norm)),
        ChartKind::Throughput => thinned(over_steps(arm, |point| point.tokens_per_second)),
        ChartKind::LossAgainstFlops => loss_against(arm, arm.executed_flops()),
        ChartKind::LossAgainstSpeed => {
            let speed = arm.over_seeds(|run| run.tokens_per_second());
            loss_against(arm, speed)
        }
        ChartKind::LossAgainstDecodeSpeed => loss_against(arm, speed(arm, "decode")),
        ChartKind::LossAgainstPrefillSpeed => loss_against(arm, speed(arm, "prefill")),
        // Of several lines, and about other runs; see `lines` and `Section::search_panels`.
        ChartKind::Loss | ChartKind::Search => Vec::new(),
    }
}

/// The speed of the trained model, without what is dropped.
fn speed(arm: &Arm, kind: &str) -> Option<Spread> {
    benchmark(kind).speed(arm, "sparse")
}

pub(super) fn with_spread(values: Vec<(f64, Spread)>) -> Vec<Vec<f64>> {
    let point = |(x, spread): (f64, Spread)| point(x, &spread);
    thinned(values.into_iter().map(point).collect())
}

fn point(x: f64, spread: &Spread) -> Vec<f64> {
    let mut point = vec![x, spread.mean];
    if spread.deviation.is_some() {
        let (low, high) = spread.range();
        point.extend([low, high]);
    }
    point
}

fn loss_against(arm: &Arm, x: Option<Spread>) -> Vec<Vec<f64>> {
    let loss = arm.at_end(|end| end.validation_loss);
    x.zip(loss)
        .map(|(x, loss)| point(x.mean, &loss))
        .into_iter()
        .collect()
}

/// Means of groups of neighbours, if there are too many points.
fn thinned(points: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let group = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |points: &[Vec<f64>]| {
        let width = points.iter().map(Vec::len).min().unwrap_or(0);
        let column = |column: usize| {
            points.iter().map(|point| point[column]).sum::<f64>() / points.len() as f64
        };
        (0..width).map(column).collect()
    };
    points.chunks(group).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_become_means_of_neighbours() {
        let points: Vec<Vec<f64>> = (0..800).map(|x| vec![f64::from(x), 1.0]).collect();
        let thin = thinned(points);
        assert_eq!(thin.len(), 400);
        assert_eq!(thin[0], [0.5, 1.0]);
        assert_eq!(thin[399], [798.5, 1.0]);
        assert_eq!(thinned(vec![vec![1.0, 2.0]]), [[1.0, 2.0]]);
    }
}
