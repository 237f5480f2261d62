//! What `ldrop train` prints at its end.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use training::metrics::{EndMetrics, EvaluationMetrics};
use training::report::{EvaluationPoint, RunRecord};
use training::trainer::{Outcome, Spent};

use super::{View, indented};
use crate::arguments::Common;
use crate::failure::Failure;
use crate::terminal::{length_of_time, print, print_json, thousands};

#[derive(Serialize)]
struct Summary<'a> {
    step: u64,
    tokens: u64,
    stopped: bool,
    early_end: Option<EndMetrics>,
    notes: &'a [String],
    train_loss: Option<f64>,
    validation_loss: Option<f64>,
    sets: Option<&'a BTreeMap<String, f64>>,
    kept: Option<f64>,
    tokens_per_second: Option<f64>,
    seconds: Spent,
    /// Of the seconds, from 0 to 1.
    evaluation_share: f64,
    sample: Option<&'a str>,
    run: &'a Path,
    latest: Option<&'a Path>,
    best: Option<&'a Path>,
}

/// What the metrics of a run say about its last step.
#[derive(Default)]
struct Earlier {
    evaluation: Option<EvaluationPoint>,
    sample: Option<String>,
}

impl Earlier {
    fn read(folder: &Path, step: u64) -> Self {
        // A run that is complete does not fail because its metrics cannot be read again.
        let Ok(mut record) = RunRecord::read(folder) else {
            return Self::default();
        };
        let sample = record.samples.pop().filter(|(of, _)| *of == step);
        Self {
            evaluation: record.evaluations.pop().filter(|of| of.step == step),
            sample: sample.map(|(_, text)| text),
        }
    }
}

/// An evaluation that was made here, as reports read it.
fn evaluation_point(metrics: &EvaluationMetrics) -> EvaluationPoint {
    EvaluationPoint {
        step: metrics.step,
        train_loss: Some(metrics.train_loss),
        validation_loss: Some(metrics.validation_loss),
        sets: metrics.sets.clone(),
        kept: metrics.mask.as_ref().map(|mask| mask.mean.kept),
        ..EvaluationPoint::default()
    }
}

/// Prints how a run in this folder ended.
pub fn print_end(
    outcome: &Outcome,
    view: &View,
    folder: &Path,
    common: &Common,
) -> Result<(), Failure> {
    // A run that was finished already has them in its metrics alone.
    let earlier = match &view.last {
        None => Earlier::read(folder, outcome.state.step),
        Some(_) => Earlier::default(),
    };
    let here = view.last.as_ref().map(evaluation_point);
    let last = here.as_ref().or(earlier.evaluation.as_ref());
    let summary = Summary {
        step: outcome.state.step,
        tokens: outcome.state.tokens,
        stopped: outcome.stopped,
        early_end: outcome.early_end(),
        notes: &view.notes,
        train_loss: last.and_then(|last| last.train_loss),
        validation_loss: last.and_then(|last| last.validation_loss),
        sets: last.map(|last| &last.sets),
        kept: last.and_then(|last| last.kept),
        tokens_per_second: view.speed,
        seconds: outcome.spent,
        evaluation_share: outcome.spent.evaluation_share(),
        sample: view.sample.as_deref().or(earlier.sample.as_deref()),
        run: folder,
        latest: outcome.latest.as_deref(),
        best: outcome.best.as_deref(),
    };
    if common.json {
        print_json(&summary)
    } else {
        print_summary(&summary)
    }
}

fn print_summary(summary: &Summary<'_>) -> Result<(), Failure> {
    if let Some(end) = &summary.early_end {
        print(&end.to_string())?;
    }
    let state = if summary.stopped {
        "stopped"
    } else {
        "finished"
    };
    print(&format!(
        "{state} after {} steps and {} tokens",
        thousands(summary.step),
        thousands(summary.tokens)
    ))?;
    if let (Some(train), Some(validation)) = (summary.train_loss, summary.validation_loss) {
        print(&format!(
            "training loss    {train:.4}\nvalidation loss  {validation:.4}"
        ))?;
    }
    for (name, loss) in summary.sets.into_iter().flatten() {
        print(&format!("{:<15}  {loss:.4}", format!("{name} loss")))?;
    }
    if let Some(kept) = summary.kept {
        print(&format!(
            "kept             {:.1}% of the masked activations",
            kept * 100.0
        ))?;
    }
    if let Some(speed) = summary.tokens_per_second {
        print(&format!(
            "speed            {} tokens/s",
            thousands(speed as u64)
        ))?;
    }
    print(&format!(
        "time             {} of training, {} of evaluations ({:.0}% of all), {} of checkpoints",
        length_of_time(summary.seconds.training),
        length_of_time(summary.seconds.evaluations),
        summary.evaluation_share * 100.0,
        length_of_time(summary.seconds.checkpoints),
    ))?;
    if let Some(sample) = summary.sample {
        print(&format!("sample\n{}", indented(sample)))?;
    }
    let run = summary.run.display();
    print(&format!(
        "run              {run}  (report.html, metrics.jsonl, tensorboard/, checkpoints/)"
    ))?;
    if let Some(best) = summary.best {
        print(&format!("best checkpoint  {}", best.display()))?;
    }
    if summary.stopped {
        print(&format!(
            "go on with       ldrop train --out {run} --resume"
        ))
    } else {
        print(&format!(
            "try              ldrop generate --model {run} --prompt \"…\""
        ))
    }
}
