//! `ldrop experiment`.

mod measure;
mod progress;
mod runner;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::sources::Source;
use data::{DataFolder, PrepareOptions, prepare};
use serde::Serialize;
use training::config::RunConfig;
use training::experiments::{
    DATA_FOLDER, DataChoice, DefaultBase, Experiment, Outline, PlannedRun,
};
use training::report::{Format, REPORT_FILE, Report, RunRecord};
use training::run_folder::{CONFIG_FILE, RunFolder};

use crate::arguments::{Common, ExperimentArguments};
use crate::failure::Failure;
use crate::terminal::{Stages, print, print_json, tell};
use crate::{quickstart, stop};

use runner::{Ended, Runner};

/// Where experiments go that are not told where.
const RUNS: &str = "runs";

/// Runs `experiment`.
pub fn run(arguments: ExperimentArguments, common: &Common) -> Result<(), Failure> {
    let base = DefaultBase {
        text: quickstart::CONFIG,
        name: quickstart::CONFIG_NAME,
    };
    let experiment = Experiment::read(&arguments.file, base)?;
    let out = folder(&arguments);
    if out.join(CONFIG_FILE).exists() {
        return Err(Failure::Usage(format!(
            "{}: the folder of a run; choose another with --out",
            out.display()
        )));
    }
    std::fs::create_dir_all(&out)?;
    // Two processes would make the same runs.
    let _lock = RunFolder::lock(&out)?;
    check_preparation(&experiment, &out)?;
    prepare_data(&experiment, &out, common)?;
    let runs = planned(&experiment, &out, common)?;
    experiment.outline.write(&out)?;
    stop::on_signals()?;
    let ended = make_runs(&experiment, runs.clone(), &out, (arguments.jobs, common))?;
    let measured = match stop::stopped() {
        true => Ok(()),
        false => measure::measure(&experiment, &runs, common),
    };
    save_report(&out)?;
    finish(&ended, &out, &arguments, common)?;
    measured
}

/// The experiment's folder: the one given, or one with the name of the file.
fn folder(arguments: &ExperimentArguments) -> PathBuf {
    let stem = arguments.file.file_stem().unwrap_or("experiment".as_ref());
    let usual = || Path::new(RUNS).join(stem);
    arguments.out.clone().unwrap_or_else(usual)
}

/// Refuses text that was prepared in another way than the experiment file says now.
fn check_preparation(experiment: &Experiment, out: &Path) -> Result<(), Failure> {
    let prepared =
        matches!(experiment.data, Some(DataChoice::Prepare(_))) && out.join(DATA_FOLDER).exists();
    let before = Outline::read(out)?.map(|outline| outline.preparation);
    match before {
        Some(before) if prepared && before != experiment.outline.preparation => {
            Err(Failure::work(format!(
                "{}: the text was prepared otherwise than the experiment file says now:\n    was \
                 {before}\n    is {}\n  Put the file back as it was, or choose another folder with \
                 --out",
                out.join(DATA_FOLDER).display(),
                experiment.outline.preparation
            )))
        }
        _ => Ok(()),
    }
}

fn prepare_data(experiment: &Experiment, out: &Path, common: &Common) -> Result<(), Failure> {
    let is_quickstart = |config: &RunConfig| config.data.path == Path::new(quickstart::DATA);
    match &experiment.data {
        None if experiment.configs.iter().any(is_quickstart) => {
            quickstart::prepare_text(Path::new(quickstart::DATA), common)
        }
        Some(DataChoice::Prepare(how)) if !out.join(DATA_FOLDER).exists() => {
            let missing = how.sources.iter().find_map(|source| match source {
                Source::Path(path) if !path.exists() => Some(path.display()),
                _ => None,
            });
            if let Some(path) = missing {
                let file = experiment.outline.file.display();
                return Err(Failure::work(format!(
                    "{file}: `data.sources`: there is no {path}; paths are relative to the \
                     experiment file"
                )));
            }
            let options = PrepareOptions {
                tokenizer: how.tokenizer,
                validation: how.validation,
                max_text_bytes: how.max_text_bytes,
                threads: common.threads(),
                ..PrepareOptions::new(how.sources.clone(), out.join(DATA_FOLDER))
            };
            prepare(&options, &Stages::new(common.quiet))?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// All runs, with everything decided that a run decides when it begins.
fn planned(
    experiment: &Experiment,
    out: &Path,
    common: &Common,
) -> Result<Vec<PlannedRun>, Failure> {
    let device = common.device()?;
    let mut vocabularies: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut runs = experiment.runs(out);
    for run in &mut runs {
        let config = &mut run.config;
        let path = config.data.path.clone();
        let vocabulary = match vocabularies.get(&path) {
            Some(&vocabulary) => vocabulary,
            None => DataFolder::open(&path)?.meta().vocabulary,
        };
        vocabularies.insert(path, vocabulary);
        // Where the file says another, the run itself tells that it does not fit.
        config.model.vocabulary.get_or_insert(vocabulary as usize);
        if let Some(precision) = common.precision {
            config.train.precision = precision.choice()?;
        }
    }
    let mut changed = Vec::new();
    for run in &runs {
        changed.extend(run.changed()?.map(|changed| changed.to_string()));
    }
    if !changed.is_empty() {
        return Err(Failure::work(changed.join("\n")));
    }
    for run in &mut runs {
        let precision = run.config.train.precision.on(&device);
        let precision = precision.map_err(|error| Failure::work(error.to_string()))?;
        run.config.train.precision = precision.into();
    }
    Ok(runs)
}

fn make_runs(
    experiment: &Experiment,
    runs: Vec<PlannedRun>,
    out: &Path,
    (jobs, common): (u16, &Common),
) -> Result<Vec<Ended>, Failure> {
    let labels = experiment
        .outline
        .arms
        .iter()
        .map(|arm| arm.label.clone())
        .collect();
    let mut runner = Runner::new(runs, labels, jobs, common)?;
    let mut told = Vec::new();
    runner.run(&mut |ended| {
        if common.json {
            print_json(&EndedRun::read(&experiment.outline, ended)?)?;
        }
        told.push(ended.clone());
        // Whoever looks meanwhile sees what is done so far.
        save_report(out)
    })?;
    Ok(told)
}

fn save_report(out: &Path) -> Result<(), Failure> {
    let report = Report::read(&[out.to_path_buf()])?;
    Ok(report.save(&out.join(REPORT_FILE), Format::Html)?)
}

/// What `--json` tells of a run.
#[derive(Serialize)]
struct EndedRun<'a> {
    arm: &'a str,
    seed: u64,
    state: &'static str,
    step: u64,
    train_loss: Option<f64>,
    validation_loss: Option<f64>,
    kept: Option<f64>,
    tokens_per_second: Option<f64>,
    run: &'a Path,
    error: Option<&'a str>,
}

impl<'a> EndedRun<'a> {
    fn read(outline: &'a Outline, ended: &'a Ended) -> Result<Self, Failure> {
        let record = RunRecord::read(&ended.folder)?;
        let last = record.evaluations.last();
        Ok(Self {
            arm: &outline.arms[ended.arm].name,
            seed: ended.seed,
            state: match ended.error {
                None => "finished",
                Some(_) => "failed",
            },
            step: record.steps.last().map_or(0, |last| last.step),
            train_loss: last.and_then(|last| last.train_loss),
            validation_loss: last.and_then(|last| last.validation_loss),
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
        let markdown = Report::read(&[out.to_path_buf()])?;
        for section in &markdown.sections {
            for table in section.tables() {
                print(&table.markdown())?;
            }
        }
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
        tell(&format!(
            "stopped; go on with: ldrop experiment {file} --out {}{jobs}{threads}",
            out.display()
        ));
        return Ok(());
    }
    let failed: Vec<&Ended> = ended.iter().filter(|ended| ended.error.is_some()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let list: String = failed
        .iter()
        .map(|ended| {
            let error = ended
                .error
                .as_deref()
                .unwrap_or_default()
                .replace('\n', "\n    ");
            format!("\n  {}: {error}", ended.folder.display())
        })
        .collect();
    Err(Failure::work(format!(
        "{} of {} runs failed; the same command tries them again:{list}",
        failed.len(),
        ended.len()
    )))
}
