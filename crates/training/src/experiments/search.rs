//! The search of an experiment: shorter runs with several settings of each arm, before its full runs with
//! the best one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::plan::Status;
use super::prepare::decided;
use super::search_record::{SearchError, SearchRecord, SearchedArm, TriedRun, TriedSetting};
use super::sweep::{Setting, identity, in_words};
use super::{Experiment, ExperimentError, PlannedRun, SEARCH_FOLDER, status};
use crate::checkpoints::{BEST, FOLDER as CHECKPOINTS, LATEST};
use crate::config::RunConfig;
use crate::precision::PrecisionChoice;

/// Name that the checkpoints of a finished run get before they are deleted.
const UNNEEDED: &str = ".unneeded-checkpoints";

/// What is searched for.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Steps of each run of the search.
    pub steps: u64,
    /// Number of seeds, the first ones, that each setting is tried with.
    pub seeds: usize,
    /// Whether all arms get the same setting.
    pub shared: bool,
    /// The searched keys in the order of the file: those of `sweep.set`, then those of the arms.
    pub keys: Vec<String>,
    /// The settings that are tried of each arm of the outline; none of an arm that is left out.
    pub candidates: Vec<Vec<Candidate>>,
    /// The indices of searched arms that have no full runs, because nothing is chosen for them.
    pub unchosen: Vec<usize>,
}

/// A setting with its configurations, which have the first seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its values.
    pub values: Setting,
    /// The configuration of the search's runs.
    pub short: RunConfig,
    /// The configuration of the full runs.
    pub full: RunConfig,
}

/// A run of a search, with its place in the record.
#[derive(Clone, Debug)]
pub struct SearchRun {
    /// The run.
    pub run: PlannedRun,
    /// The indices of arm, setting and run in the record.
    pub place: (usize, usize, usize),
}

impl Experiment {
    /// The record of the search in the experiment's folder `out`, with a number for every setting: the
    /// earlier one if the setting has been tried before. None if nothing is searched for.
    ///
    /// # Errors
    /// The earlier record cannot be read or is damaged.
    pub fn search_record(&self, out: &Path) -> Result<Option<SearchRecord>, SearchError> {
        let Some(search) = &self.search else {
            return Ok(None);
        };
        let before = SearchRecord::read(out)?.unwrap_or_default();
        let seeds = &self.outline.seeds[..search.seeds];
        let names = self.outline.arms.iter().map(|arm| &arm.name);
        let searched = names.zip(&search.candidates);
        let searched = searched.filter(|(_, candidates)| !candidates.is_empty());
        let mut arms: Vec<SearchedArm> = searched
            .map(|(name, candidates)| {
                let mut earlier = before.arms.iter();
                let earlier = earlier.find(|arm| arm.name == *name);
                renumbered(name, candidates, seeds, earlier)
            })
            .collect();
        // Arms that are no longer searched keep the numbers of their run folders.
        for arm in &before.arms {
            if arms.iter().all(|of| of.name != arm.name) {
                arms.push(renumbered(&arm.name, &[], seeds, Some(arm)));
            }
        }
        let mut record = SearchRecord {
            steps: search.steps,
            seeds: seeds.to_vec(),
            shared: search.shared,
            keys: search.keys.clone(),
            arms,
        };
        record.choose();
        Ok(Some(record))
    }

    /// All runs of the search, in the order in which they are done: every setting of every arm with the
    /// first seed, then with the next one. See [`decided_runs`](Self::decided_runs).
    ///
    /// # Errors
    /// As `decided_runs`.
    pub fn decided_search_runs(
        &self,
        out: &Path,
        record: &SearchRecord,
        device: &Device,
        precision: Option<PrecisionChoice>,
    ) -> Result<Vec<SearchRun>, ExperimentError> {
        let (mut places, mut runs) = (Vec::new(), Vec::new());
        let most = record.arms.iter().map(|arm| arm.settings.len()).max();
        for of_seed in 0..record.seeds.len() {
            for setting in 0..most.unwrap_or(0) {
                for arm in 0..record.arms.len() {
                    let place = (arm, setting, of_seed);
                    if let Some(run) = self.search_run(out, record, place) {
                        places.push(place);
                        runs.push(run);
                    }
                }
            }
        }
        let runs = decided(runs, device, precision)?;
        let pairs = runs.into_iter().zip(places);
        Ok(pairs.map(|(run, place)| SearchRun { run, place }).collect())
    }

    /// The run at a place of the record; none if there is none.
    fn search_run(
        &self,
        out: &Path,
        record: &SearchRecord,
        (arm, setting, of_seed): (usize, usize, usize),
    ) -> Option<PlannedRun> {
        let seed = record.seeds[of_seed];
        let tried = record.arms[arm].settings.get(setting)?;
        let (arm, outline) = self.arm_of(&record.arms[arm])?;
        let mut config = self.search.as_ref()?.candidates[arm]
            .get(setting)?
            .short
            .clone();
        config.seed = seed;
        if let Some(path) = self.data_folder(out) {
            config.data.path = path;
        }
        Some(PlannedRun {
            arm,
            seed,
            name: format!(
                "{}, {}, seed {seed}",
                outline.label,
                in_words(&tried.values)
            ),
            folder: search_folder(out, &outline.name, tried.number, seed),
            config,
        })
    }

    /// The arm of the outline, and its index.
    fn arm_of(&self, arm: &SearchedArm) -> Option<(usize, &super::ArmOutline)> {
        let mut arms = self.outline.arms.iter().enumerate();
        arms.find(|(_, of)| of.name == arm.name)
    }

    /// Gives the arms' full runs the settings that a search has chosen. Arms for which it chose nothing
    /// have no full runs.
    pub fn use_choices(&mut self, record: &SearchRecord) {
        let mut unchosen = Vec::new();
        for arm in record.arms.iter().filter(|arm| !arm.settings.is_empty()) {
            let Some((index, _)) = self.arm_of(arm) else {
                continue;
            };
            let mut settings = arm.settings.iter();
            let chosen = settings.position(|setting| arm.is_chosen(setting));
            let search = self.search.as_ref();
            let candidate = chosen.and_then(|chosen| search?.candidates[index].get(chosen));
            match candidate {
                Some(candidate) => self.configs[index] = candidate.full.clone(),
                None => unchosen.push(index),
            }
        }
        if let Some(search) = &mut self.search {
            search.unchosen = unchosen;
        }
    }
}

/// The settings of an arm with numbers and what is known of their runs.
fn renumbered(
    name: &str,
    candidates: &[Candidate],
    seeds: &[u64],
    earlier: Option<&SearchedArm>,
) -> SearchedArm {
    let earlier = earlier.cloned().unwrap_or_default();
    let all = || earlier.settings.iter().chain(&earlier.former);
    let mut number = all().map(|setting| setting.number).max().unwrap_or(0);
    let tried: HashMap<String, &TriedSetting> = all()
        .map(|setting| (identity(&setting.values), setting))
        .collect();
    let mut settings = Vec::new();
    for candidate in candidates {
        let known = tried.get(&identity(&candidate.values)).copied();
        let run = |&seed: &u64| {
            let run = known.and_then(|of| of.runs.iter().find(|run| run.seed == seed));
            run.cloned().unwrap_or(TriedRun {
                seed,
                ..TriedRun::default()
            })
        };
        settings.push(TriedSetting {
            number: known.map_or_else(
                || {
                    number = number.saturating_add(1);
                    number
                },
                |known| known.number,
            ),
            values: candidate.values.clone(),
            runs: seeds.iter().map(run).collect(),
        });
    }
    let current: HashSet<u32> = settings.iter().map(|setting| setting.number).collect();
    let is_former = |setting: &&TriedSetting| !current.contains(&setting.number);
    SearchedArm {
        name: name.into(),
        former: all().filter(is_former).cloned().collect(),
        settings,
        chosen: None,
    }
}

/// The folder of a run of a search in an experiment's folder.
pub(crate) fn search_folder(out: &Path, arm: &str, number: u32, seed: u64) -> PathBuf {
    let name = format!("{number:03}-seed-{seed}");
    out.join(SEARCH_FOLDER).join(arm).join(name)
}

impl SearchRun {
    /// Whether the run failed in a search that is over: it is not tried again, because the choice stands.
    pub fn stays_failed(&self, is_over: bool) -> bool {
        let run = &self.run;
        is_over && matches!(status(&run.folder, &run.config.train), Status::Failed(_))
    }

    /// Deletes the checkpoints of the finished run. Its metrics are enough for a search, and the weights of
    /// thousands of runs would fill a disk.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn discard_checkpoints(&self) -> std::io::Result<()> {
        let folder = &self.run.folder;
        let (checkpoints, unneeded) = (folder.join(CHECKPOINTS), folder.join(UNNEEDED));
        // A run with some of its checkpoints would look unfinished.
        if checkpoints.exists() {
            if unneeded.exists() {
                std::fs::remove_dir_all(&unneeded)?;
            }
            std::fs::rename(&checkpoints, &unneeded)?;
        }
        if unneeded.exists() {
            std::fs::remove_dir_all(&unneeded)?;
        }
        for pointer in [LATEST, BEST].map(|name| folder.join(name)) {
            if pointer.exists() {
                std::fs::remove_file(pointer)?;
            }
        }
        Ok(())
    }
}
