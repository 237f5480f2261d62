//! The runs of an experiment: their folders, and how far each has got.

use std::path::{Path, PathBuf};

use super::{DATA_FOLDER, DataChoice, Experiment, RUNS_FOLDER};
use crate::checkpoints::{FOLDER as CHECKPOINTS, LATEST};
use crate::config::{ConfigError, RunConfig, TrainConfig, WINDOWS};
use crate::metrics::Metrics;
use crate::precision::PrecisionChoice;
use crate::run_data;
use crate::run_folder::{CONFIG_FILE, METRICS_FILE};

/// File name, in a run folder, of the error that ended the run's process.
pub const FAILURE_FILE: &str = "failure.txt";

/// Keys that may differ between a run's stored configuration and the experiment's current one.
const HARMLESS: [&str; 3] = [
    "data.path",
    "train.checkpoint.every",
    "train.checkpoint.keep",
];

/// What to do about a run whose configuration has changed.
const UNDO: &str = "Undo the change of the experiment file, give the arm another name, or delete the folder \
                    to train it again";

/// What to do about a run that is older than the key of the windows of evaluations.
const OLDER_WINDOWS: &str = "An earlier version began this run, which read random windows. To go on with it, \
                             write train.evaluate.windows = \"random\" under [set] in the experiment file";

/// A run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// The index of its arm in the outline.
    pub arm: usize,
    /// Its seed.
    pub seed: u64,
    /// What messages call it.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its configuration.
    pub config: RunConfig,
}

/// How far a run has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not begun.
    Waiting,
    /// It has begun; its metrics have this many steps.
    Begun(u64),
    /// Its last attempt ended with this error.
    Failed(String),
    /// It is complete.
    Finished,
}

/// A run was begun with another configuration than the experiment's current one.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: this run was begun with another configuration:{differences}\n  {advice}",
    folder.display()
)]
pub struct Changed {
    /// The run folder.
    pub folder: PathBuf,
    /// The keys with both values, one per line.
    pub differences: String,
    /// What to do.
    pub advice: String,
}

impl Experiment {
    /// The data folder of the experiment in `out`; none if every arm has its own `data.path`.
    pub fn data_folder(&self, out: &Path) -> Option<PathBuf> {
        match self.data.as_ref()? {
            DataChoice::Folder(path) => Some(path.clone()),
            DataChoice::Prepare(_) => Some(out.join(DATA_FOLDER)),
        }
    }

    /// All runs, in the order in which they are done: every arm with the first seed, then every arm
    /// with the next one, so that arms can be compared early. Arms for which a search chose nothing have
    /// none.
    pub fn runs(&self, out: &Path) -> Vec<PlannedRun> {
        let data = self.data_folder(out);
        let run = |seed: u64, arm: usize| {
            let mut config = self.configs[arm].clone();
            config.seed = seed;
            if let Some(path) = &data {
                config.data.path.clone_from(path);
            }
            PlannedRun {
                arm,
                seed,
                name: format!("{}, seed {seed}", self.outline.arms[arm].label),
                folder: run_folder(out, &self.outline.arms[arm].name, seed),
                config,
            }
        };
        let unchosen = self.search.as_ref().map(|search| &search.unchosen);
        let has_runs = |arm: &usize| unchosen.is_none_or(|arms| !arms.contains(arm));
        let arms: Vec<usize> = (0..self.configs.len()).filter(has_runs).collect();
        let (run, arms) = (&run, &arms);
        let seeds = self.outline.seeds.iter();
        seeds
            .flat_map(|&seed| arms.iter().map(move |&arm| run(seed, arm)))
            .collect()
    }
}

/// The folder of a run in an experiment's folder.
pub(crate) fn run_folder(out: &Path, arm: &str, seed: u64) -> PathBuf {
    out.join(RUNS_FOLDER).join(arm).join(format!("seed-{seed}"))
}

impl PlannedRun {
    /// Number of tokens of the whole run.
    pub fn tokens(&self) -> u64 {
        self.config.train.steps * self.config.tokens_per_step()
    }

    /// Compares the configuration with the one that the run was begun with. Gives the differences; none
    /// if there are none or the run has not begun.
    ///
    /// # Errors
    /// The stored configuration cannot be read.
    pub fn changed(&self) -> Result<Option<Changed>, ConfigError> {
        let path = self.folder.join(CONFIG_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let stored = RunConfig::read_stored(&path, &[])?;
        let mut wanted = self.config.clone();
        // A run stores the values that it decided on when it began.
        wanted.train.shorten_warmup();
        wanted.model.vocabulary = wanted.model.vocabulary.or(stored.model.vocabulary);
        if wanted.train.precision == PrecisionChoice::Auto {
            wanted.train.precision = stored.train.precision;
        }
        let (old, new) = (stored.values(), wanted.values());
        let shown = |value: Option<&toml::Value>| {
            value.map_or_else(|| "none".to_string(), ToString::to_string)
        };
        let is_same_path = |key: &str| {
            if key == "train.from" {
                let real = |config: &RunConfig| config.train.from.as_ref()?.canonicalize().ok();
                return real(&stored).is_some() && real(&stored) == real(&wanted);
            }
            let Some(name) = key.strip_prefix("train.evaluate.sets.") else {
                return false;
            };
            let set = |config: &RunConfig| config.train.evaluate.sets.get(name).cloned();
            let sets = set(&stored).zip(set(&wanted));
            sets.is_some_and(|(old, new)| run_data::is_same(&self.folder, &old, &new))
        };
        let mut keys = stored.differing_keys(&wanted);
        keys.retain(|key| !HARMLESS.contains(&key.as_str()) && !is_same_path(key));
        if keys.is_empty() {
            return Ok(None);
        }
        let differences = keys.iter().map(|key| {
            let (old, new) = (shown(old.get(key)), shown(new.get(key)));
            format!("\n    {key} was {old}, is {new}")
        });
        let differences = differences.collect();
        let stored_windows_are_given = RunConfig::is_given(&path, &[], WINDOWS)?;
        let of_older = |key: &String| key == WINDOWS && !stored_windows_are_given;
        let advice = match (keys.iter().any(of_older), keys.iter().all(of_older)) {
            (_, true) => OLDER_WINDOWS.into(),
            (true, false) => format!("{OLDER_WINDOWS}. For the rest: {UNDO}"),
            (false, false) => UNDO.into(),
        };
        Ok(Some(Changed {
            folder: self.folder.clone(),
            differences,
            advice,
        }))
    }

    /// Writes the configuration into the run folder, unless it has one. Resuming the run then begins it.
    ///
    /// The vocabulary must be set and the precision decided, as a run stores them.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn set_up(&self) -> Result<(), ConfigError> {
        let path = self.folder.join(CONFIG_FILE);
        if path.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(|source| ConfigError::File {
            path: self.folder.clone(),
            source,
        })?;
        let mut stored = self.config.clone();
        let data = &self.config.data.path;
        stored.data.path = run_data::to_store(&self.folder, data, data);
        for path in stored.train.evaluate.sets.values_mut() {
            *path = run_data::to_store(&self.folder, path, path);
        }
        stored.write(&path)
    }
}

/// How far the run in a folder has got, if it trains with these settings.
///
/// A run is finished after its last step, or when `[train.stop]` has ended it before.
pub fn status(folder: &Path, train: &TrainConfig) -> Status {
    if let Ok(error) = std::fs::read_to_string(folder.join(FAILURE_FILE)) {
        return Status::Failed(error.trim().into());
    }
    let Ok(metrics) = std::fs::read_to_string(folder.join(METRICS_FILE)) else {
        return Status::Waiting;
    };
    let (mut step, mut evaluated, mut end) = (0, 0, None);
    for line in metrics.lines() {
        match serde_json::from_str(line) {
            Ok(Metrics::Step(metrics)) => step = metrics.step,
            Ok(Metrics::Evaluation(metrics)) => evaluated = metrics.step,
            Ok(Metrics::End(metrics)) => end = Some(metrics),
            _ => {}
        }
    }
    let end = end.filter(|end| end.holds(train, step));
    let last = end.map_or(train.steps, |end| end.step);
    if evaluated >= last && is_saved(folder, last) {
        Status::Finished
    } else {
        Status::Begun(step)
    }
}

/// Whether the last checkpoint exists; or no checkpoint at all, because often only the metrics of old
/// runs are stored.
fn is_saved(folder: &Path, steps: u64) -> bool {
    let latest = std::fs::read_to_string(folder.join(LATEST)).unwrap_or_default();
    let step = latest.trim().strip_prefix("step-");
    let step = step.and_then(|step| step.parse::<u64>().ok());
    match step {
        Some(step) => step >= steps,
        None => !folder.join(CHECKPOINTS).exists(),
    }
}
