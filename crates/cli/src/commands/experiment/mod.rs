//! `ldrop experiment`.

mod measure;
mod progress;
mod runner;
mod search;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use training::experiments::{DefaultBase, Experiment, Outline, PlannedRun};
use training::metrics::EndMetrics;
use training::report::{Format, REPORT_FILE, Report, RunRecord};
use training::run_folder::{CONFIG_FILE, RunFolder};

use crate::arguments::{Common, ExperimentArguments, PrecisionName};
use crate::commands::data::{left_out_lines, warn_of_unknown};
use crate::failure::Failure;
use crate::terminal::{Stages, print, print_json, print_message};
use crate::{quickstart, stop};

use runner::{Ended, Runner};

/// The folder of experiments without --out.
const RUNS: &str = "runs";

/// Runs `experiment`.
pub fn run(arguments: ExperimentArguments, common: &Common) -> Result<(), Failure> {
    let base = DefaultBase {
        text: quickstart::CONFIG,
        name: quickstart::CONFIG_NAME,
    };
    let mut experiment = Experiment::read(&arguments.file, base)?;
    let out = folder(&arguments);
    if out.join(CONFIG_FILE).exists() {
        return Err(Failure::Usage(format!(
            "{}: this is the folder of a run; choose another one with --out",
            out.display()
        )));
    }
    std::fs::create_dir_all(&out)?;
    // Two processes would do the same runs.
    let _lock = RunFolder::lock(&out)?;
    experiment.check_preparation(&out)?;
    stop::give_up_on_signals()?;
    prepare_data(&experiment, &out, common)?;
    // Before hours of runs, and not by the first run that it concerns.
    experiment.check_data(&out)?;
    stop::on_signals()?;
    // What is trained is another thing than the file says, so --quiet does not hide it.
    show_shortened_warmups_of_search(&experiment);
    let precision = common.precision.map(PrecisionName::choice).transpose()?;
    let work = (arguments.jobs, common);
    search::search(&mut experiment, &out, precision, work)?;
    if !stop::stopped() {
        show_shortened_warmups(&experiment);
    }
    let runs = experiment.decided_runs(&out, &common.device()?, precision)?;
    if let (Some(speed), Some(threads)) = (&mut experiment.outline.speed, common.threads) {
        speed.threads = Some(threads);
    }
    experiment.outline.write(&out)?;
    let ended = do_runs(&experiment, runs.clone(), &out, work)?;
    let measured = match stop::stopped() {
        true => Ok(()),
        false => measure::measure(&experiment, &runs, common),
    };
    save_report(&out)?;
    finish(&ended, &out, &arguments, common)?;
    measured?;
    Failure::if_signalled(stop::stopped())?;
    search::without_choice(&experiment)
}

/// The experiment's folder: the one of --out, or one named after the file.
fn folder(arguments: &ExperimentArguments) -> PathBuf {
    let stem = arguments.file.file_stem().unwrap_or("experiment".as_ref());
    let default = || Path::new(RUNS).join(stem);
    arguments.out.clone().unwrap_or_else(default)
}

/// Prepares the experiment's own text; or the quick start's, where an arm reads that.
fn prepare_data(experiment: &Experiment, out: &Path, common: &Common) -> Result<(), Failure> {
    let reads_quickstart = || {
        let mut configs = experiment.configs.iter();
        configs.any(|config| config.data.path == Path::new(quickstart::DATA))
    };
    if experiment.data.is_none() && reads_quickstart() {
        return quickstart::prepare_text(Path::new(quickstart::DATA), common);
    }
    let progress = Stages::new(common.quiet);
    let prepared = experiment.prepare_data(out, common.threads(), &progress)?;
    if let Some(prepared) = prepared {
        // The text is another one than was named, so --quiet does not hide it.
        warn_of_unknown(&prepared);
        for line in left_out_lines(&prepared.left_out) {
            print_message(&line);
        }
    }
    Ok(())
}

/// Tells which arms have full runs with a warm-up that is longer than their schedule.
fn show_shortened_warmups(experiment: &Experiment) {
    let search = experiment.search.as_ref();
    let unchosen = |index| search.is_some_and(|search| search.unchosen.contains(&index));
    let arms = experiment.outline.arms.iter().zip(&experiment.configs);
    for (index, (arm, config)) in arms.enumerate() {
        if let Some(note) = config.train.clone().shorten_warmup()
            && !unchosen(index)
        {
            print_message(&format!("{}: note: {note}", arm.label));
        }
    }
}

/// The same of the shorter runs of a search: each note once for an arm, whatever the number of settings.
fn show_shortened_warmups_of_search(experiment: &Experiment) {
    let search = experiment.search.iter();
    let candidates = search.flat_map(|search| &search.candidates);
    for (arm, candidates) in experiment.outline.arms.iter().zip(candidates) {
        let trains = candidates.iter().map(|of| of.short.train.clone());
        let notes: BTreeSet<String> = trains
            .filter_map(|mut train| train.shorten_warmup())
            .collect();
        for note in notes {
            print_message(&format!("{}, search: note: {note}", arm.label));
        }
    }
}

fn do_runs(
    experiment: &Experiment,
    runs: Vec<PlannedRun>,
    out: &Path,
    (jobs, common): (u16, &Common),
) -> Result<Vec<Ended>, Failure> {
    let mut runner = Runner::new(runs, "", jobs, common)?;
    let mut all_ended = Vec::new();
    runner.run(&mut |ended| {
        if common.json {
            print_json(&EndedRun::read(&experiment.outline, "full", ended)?)?;
        }
        all_ended.push(ended.clone());
        // The report shows what is done so far.
        save_report(out)
    })?;
    Ok(all_ended)
}

fn save_report(out: &Path) -> Result<(), Failure> {
    let report = Report::read(&[out.to_path_buf()])?;
    Ok(report.save(&out.join(REPORT_FILE), Format::Html)?)
}

/// What `--json` prints about a run.
#[derive(Serialize)]
struct EndedRun<'a> {
    phase: &'static str,
    arm: &'a str,
    seed: u64,
    state: &'static str,
    early_end: Option<EndMetrics>,
    step: u64,
    train_loss: Option<f64>,
    validation_loss: Option<f64>,
    /// Losses on `train.evaluate.sets`, by name.
    sets: BTreeMap<String, f64>,
    kept: Option<f64>,
    tokens_per_second: Option<f64>,
    run: &'a Path,
    error: Option<&'a str>,
}

impl<'a> EndedRun<'a> {
    fn read(outline: &'a Outline, phase: &'static str, ended: &'a Ended) -> Result<Self, Failure> {
        let record = RunRecord::read(&ended.folder)?;
        let last = record.evaluations.last();
        Ok(Self {
            phase,
            arm: &outline.arms[ended.arm].name,
            seed: ended.seed,
            state: match ended.error {
                None => "finished",
                Some(_) => "failed",
            },
            early_end: record.early_end().cloned(),
            step: record.last_step(),
            train_loss: last.and_then(|last| last.train_loss),
            validation_loss: last.and_then(|last| last.validation_loss),
            sets: last.map(|last| last.sets.clone()).unwrap_or_default(),
            kept: last.and_then(|last| last.kept),
            tokens_per_second: record.tokens_per_second(),
            run: &ended.folder,
            error: ended.error.as_deref(),
        })
    }
}

fn finish(
    ended: &[Ended],
    out: &Path,
    arguments: &ExperimentArguments,
    common: &Common,
) -> Result<(), Failure> {
    let report = out.join(REPORT_FILE);
    if !common.json {
        tables::print_results(out)?;
        print(&format!("report  {}", report.display()))?;
    }
    if stop::stopped() {
        let (file, jobs) = (arguments.file.display(), arguments.jobs);
        let jobs = match jobs {
            1 => String::new(),
            jobs => format!(" --jobs {jobs}"),
        };
        let threads = common.threads;
        let threads = threads.map_or(String::new(), |threads| format!(" --threads {threads}"));
        print_message(&format!(
            "stopped; go on with: ldrop experiment {file} --out {}{jobs}{threads}",
            out.display()
        ));
        return Ok(());
    }
    let failed: Vec<&Ended> = ended.iter().filter(|ended| ended.error.is_some()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::work(format!(
        "{} of {} runs failed; the same command tries them again:{}",
        failed.len(),
        ended.len(),
        errors(failed.iter().copied())
    )))
}

/// The folders of runs with their errors, each on a line of its own.
fn errors<'a>(failed: impl Iterator<Item = &'a Ended>) -> String {
    failed
        .map(|ended| {
            let error = ended.error.as_deref().unwrap_or_default();
            let error = error.replace('\n', "\n    ");
            format!("\n  {}: {error}", ended.folder.display())
        })
        .collect()
}
