//! Whether the data of an experiment, and the models that runs begin with, fit the configurations of all arms.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use data::DataFolder;
use data::error::DataError;
use model::TransformerConfig;

use super::{Experiment, ExperimentError, Status, status};
use crate::config::RunConfig;
use crate::trainer::{TrainError, evaluation_sets, fit, origin};

/// A data folder, an evaluation set by its name and path, and the context.
type CheckedSet = (PathBuf, String, PathBuf, usize);

/// The path of a model to begin with, a data folder, and the model of the run.
type CheckedOrigin = (PathBuf, PathBuf, TransformerConfig);

/// What was found. Nothing is opened twice, because arms and settings often share it.
#[derive(Default)]
struct Checks {
    data: HashMap<PathBuf, Result<DataFolder, String>>,
    sets: HashMap<CheckedSet, Option<String>>,
    origins: Vec<(CheckedOrigin, Option<String>)>,
    /// The problems, in the order in which they were found, with their arms.
    problems: Vec<(String, Vec<String>)>,
}

impl Experiment {
    /// Refuses to begin runs in the experiment's folder `out` whose data is missing or does not fit, in any arm
    /// and any setting that is searched: so no hours pass before it is found. Arms whose runs are all finished
    /// are not looked at. The experiment's text must have been prepared.
    ///
    /// # Errors
    /// All problems, each with its arms.
    pub fn check_data(&self, out: &Path) -> Result<(), ExperimentError> {
        let is_open = |arm: usize| {
            let mut runs = self.runs(out).into_iter().filter(|run| run.arm == arm);
            runs.any(|run| status(&run.folder, &run.config.train) != Status::Finished)
        };
        let data = self.data_folder(out);
        let mut checks = Checks::default();
        for (arm, config) in self.configs.iter().enumerate() {
            let search = self.search.as_ref();
            let candidates = search.map_or(&[][..], |search| &search.candidates[arm]);
            let settings = candidates.iter().flat_map(|of| [&of.short, &of.full]);
            let settings: Vec<&RunConfig> = match candidates {
                [] => vec![config],
                _ => settings.collect(),
            };
            if !is_open(arm) {
                continue;
            }
            for config in settings {
                let mut config = config.clone();
                if let Some(path) = &data {
                    config.data.path.clone_from(path);
                }
                let found = checks.problems_of(&config);
                checks.add(&self.outline.arms[arm].name, found);
            }
        }
        if checks.problems.is_empty() {
            return Ok(());
        }
        let listed = checks.problems.into_iter().map(|(problem, arms)| {
            let s = if arms.len() == 1 { "" } else { "s" };
            format!("arm{s} {}: {problem}", arms.join(", "))
        });
        Err(ExperimentError::Unfit {
            file: self.outline.file.clone(),
            problems: listed.collect(),
        })
    }
}

impl Checks {
    fn add(&mut self, arm: &str, found: Vec<String>) {
        let arm = format!("`{arm}`");
        for problem in found {
            match self.problems.iter_mut().find(|(of, _)| *of == problem) {
                Some((_, arms)) if arms.contains(&arm) => {}
                Some((_, arms)) => arms.push(arm.clone()),
                None => self.problems.push((problem, vec![arm.clone()])),
            }
        }
    }

    /// What does not fit a configuration.
    fn problems_of(&mut self, config: &RunConfig) -> Vec<String> {
        let path = &config.data.path;
        let open = || DataFolder::open(path).map_err(|error| format!("`data.path`: {error}"));
        let data = match self.data.entry(path.clone()).or_insert_with(open) {
            Ok(data) => data,
            Err(problem) => return vec![problem.clone()],
        };
        let mut config = config.clone();
        let model = match fit(&mut config, data) {
            Ok(model) => model,
            Err(error) => return vec![in_words(error, &config)],
        };
        let mut found = Vec::new();
        let sets: &BTreeMap<String, PathBuf> = &config.train.evaluate.sets;
        for (name, set) in sets {
            let key = (path.clone(), name.clone(), set.clone(), model.context);
            let check = || evaluation_sets::open_set((name, set), data, model.context).err();
            let problem = self.sets.entry(key);
            found.extend(
                problem
                    .or_insert_with(|| check().map(|error| in_words(error, &config)))
                    .clone(),
            );
        }
        if let Some(from) = &config.train.from {
            let key = (from.clone(), path.clone(), model);
            let known = self.origins.iter().find(|(of, _)| *of == key);
            let problem = match known {
                Some((_, problem)) => problem.clone(),
                None => {
                    let error = origin::check(&config, &key.2, data).err();
                    let problem = error.map(|error| in_words(error, &config));
                    self.origins.push((key, problem.clone()));
                    problem
                }
            };
            found.extend(problem);
        }
        found
    }
}

/// An error with the key that it is about.
fn in_words(error: TrainError, config: &RunConfig) -> String {
    match error {
        TrainError::Data(error @ DataError::TooShort { .. }) => {
            format!("`model.context` is {}: {error}", config.model.context)
        }
        TrainError::Data(error) => format!("`data.path`: {error}"),
        error => error.to_string(),
    }
}
