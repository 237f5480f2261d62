//! Does the search for settings, before an experiment's full runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use training::experiments::{Experiment, SearchRecord, SearchRun, Setting, TriedRun};
use training::precision::PrecisionChoice;
use training::report::RunRecord;

use super::runner::{Ended, Runner};
use super::{EndedRun, errors, save_report, tables};
use crate::arguments::Common;
use crate::failure::Failure;
use crate::stop;
use crate::terminal::print_json;

/// How often the record and the report are written while runs end.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Searches, unless the experiment has no search, and gives the full runs of the arms what was chosen. Fails if
/// runs were interrupted: a setting loses only by what its own runs did.
pub fn search(
    experiment: &mut Experiment,
    out: &Path,
    precision: Option<PrecisionChoice>,
    (jobs, common): (u16, &Common),
) -> Result<(), Failure> {
    let Some(mut record) = experiment.search_record(out)? else {
        return Ok(());
    };
    let runs = experiment.decided_search_runs(out, &record, &common.device()?, precision)?;
    // A run's folder has the number of its setting, which must be known before there is a folder.
    record.write(out)?;
    experiment.outline.write(out)?;
    let is_over = record.is_over();
    let (failed, open): (Vec<SearchRun>, Vec<SearchRun>) =
        runs.into_iter().partition(|run| run.stays_failed(is_over));
    if common.json {
        for run in &failed {
            let tried = tried(&mut record, run);
            let error = tried.error.clone();
            print_line(experiment, &record, run, &Ended::new(&run.run, error))?;
        }
    }
    let planned = open.iter().map(|run| run.run.clone()).collect();
    let by_folder: HashMap<PathBuf, &SearchRun> = open
        .iter()
        .map(|run| (run.run.folder.clone(), run))
        .collect();
    let mut saved = Instant::now();
    let mut interrupted = Vec::new();
    Runner::new(planned, "search ", jobs, common)?.run(&mut |ended| {
        let Some(run) = by_folder.get(&ended.folder) else {
            return Ok(());
        };
        let tried = tried(&mut record, run);
        tried.error = ended.error.clone().filter(|_| !ended.is_interrupted);
        tried.validation_loss = None;
        if ended.is_interrupted {
            interrupted.push(ended.clone());
        }
        if ended.error.is_none() {
            let last = RunRecord::read(&ended.folder)?.evaluations.pop();
            tried.validation_loss = last.and_then(|last| last.validation_loss);
            run.discard_checkpoints()?;
        }
        if common.json {
            print_line(experiment, &record, run, ended)?;
        }
        if saved.elapsed() > SAVE_INTERVAL {
            record.write(out)?;
            save_report(out)?;
            saved = Instant::now();
        }
        Ok(())
    })?;
    record.choose();
    record.write(out)?;
    experiment.use_choices(&record);
    if stop::stopped() {
        return Ok(());
    }
    if !interrupted.is_empty() {
        save_report(out)?;
        return Err(without_end(&interrupted, open.len()));
    }
    if common.json {
        return Ok(());
    }
    tables::print_search(out)
}

/// The failure of a search some of whose runs were interrupted.
fn without_end(interrupted: &[Ended], runs: usize) -> Failure {
    Failure::work(format!(
        "{} of {runs} runs of the search were interrupted, so no setting is chosen yet; the same command goes on with \
         them. If memory ran out each time, take their values out of `sweep`, or use a smaller --jobs:{}",
        interrupted.len(),
        errors(interrupted.iter())
    ))
}

/// The run in the record.
fn tried<'a>(record: &'a mut SearchRecord, run: &SearchRun) -> &'a mut TriedRun {
    let (arm, setting, seed) = run.place;
    &mut record.arms[arm].settings[setting].runs[seed]
}

/// What `--json` prints about a run of the search.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    ended: EndedRun<'a>,
    setting: u32,
    values: &'a Setting,
}

fn print_line(
    experiment: &Experiment,
    record: &SearchRecord,
    run: &SearchRun,
    ended: &Ended,
) -> Result<(), Failure> {
    let (arm, setting, _) = run.place;
    let setting = &record.arms[arm].settings[setting];
    print_json(&Line {
        ended: EndedRun::read(&experiment.outline, "search", ended)?,
        setting: setting.number,
        values: &setting.values,
    })
}

/// The failure of arms for which the search chose nothing.
pub fn without_choice(experiment: &Experiment) -> Result<(), Failure> {
    let arms = experiment.search.iter().flat_map(|search| &search.unchosen);
    let labels: Vec<&str> = arms
        .map(|&arm| experiment.outline.arms[arm].label.as_str())
        .collect();
    if labels.is_empty() {
        return Ok(());
    }
    Err(Failure::work(format!(
        "no full runs of {}: every setting of the search failed; give other values in `sweep`, or delete \
         the runs in the folder `search` to try them again",
        labels.join(", ")
    )))
}
