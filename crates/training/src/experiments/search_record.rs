//! The record of a search in an experiment's folder: which settings were tried, what they reached, and
//! which were chosen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sweep::{Setting, distinct};

/// File name of the record in an experiment's folder.
pub const SEARCH_FILE: &str = "search.json";

/// The largest record that is read, in bytes: a limit far above that of the largest search.
const LARGEST_RECORD: u64 = 64 << 20;

/// Why the record of a search cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not the record of a search.
    #[error(
        "{path}: not the record of a search ({reason}); delete it and the folder `search` beside it to \
         search again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
}

/// What was searched, and what came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// Steps of each run of the search.
    pub steps: u64,
    /// The seeds that each setting is tried with.
    pub seeds: Vec<u64>,
    /// Whether all arms get the same setting.
    pub shared: bool,
    /// The searched keys in the order of the file: those of `sweep.set`, then those of the arms. Older
    /// records have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The searched arms, in the order of the file.
    pub arms: Vec<SearchedArm>,
}

/// The settings of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchedArm {
    /// The arm's short name.
    pub name: String,
    /// The settings, in the order in which they are tried.
    pub settings: Vec<TriedSetting>,
    /// The number of the setting that the arm's full runs have; none before the search is over, and if no
    /// setting worked.
    pub chosen: Option<u32>,
    /// Settings that were tried before the experiment file was changed. Their numbers stay theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<TriedSetting>,
}

/// A setting and what its runs reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriedSetting {
    /// Its number among the settings of the arm, which is part of the names of its run folders.
    pub number: u32,
    /// The values by their keys.
    pub values: Setting,
    /// A run for each seed.
    pub runs: Vec<TriedRun>,
}

/// A run of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriedRun {
    /// Its seed.
    pub seed: u64,
    /// The last validation loss, in nats per token; none if the run failed or is not done.
    pub validation_loss: Option<f64>,
    /// Why the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A chosen number that is the lowest or the highest of those tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The key.
    pub key: String,
    /// The number.
    pub value: f64,
    /// Whether it is the highest, and not the lowest.
    pub is_highest: bool,
}

impl SearchRecord {
    /// Reads the record of an experiment's folder; none if there is none.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>, SearchError> {
        let path = folder.join(SEARCH_FILE);
        match model::files::read_at_most(&path, LARGEST_RECORD) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
                let record = record.and_then(|record: Self| record.check().map(|()| record));
                record
                    .map(Some)
                    .map_err(|reason| SearchError::Damaged { path, reason })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SearchError::File { path, source }),
        }
    }

    /// Writes the record into an experiment's folder, whole or not at all.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn write(&self, folder: &Path) -> Result<(), SearchError> {
        let path = folder.join(SEARCH_FILE);
        let text = serde_json::to_string_pretty(self).expect("strings and numbers serialize");
        model::files::write_atomically(&path, (text + "\n").as_bytes())
            .map_err(|source| SearchError::File { path, source })
    }

    /// An error is the reason why it cannot be the record of a search.
    fn check(&self) -> Result<(), String> {
        for arm in &self.arms {
            let all = || arm.settings.iter().chain(&arm.former);
            let mut numbers: Vec<u32> = all().map(|setting| setting.number).collect();
            numbers.sort_unstable();
            if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(format!("two settings of {:?} have one number", arm.name));
            }
        }
        let searched = self.arms.iter().map(|arm| arm.settings.len());
        let mut searched = searched.filter(|&count| count > 0);
        let first = searched.next();
        if self.shared && searched.any(|count| Some(count) != first) {
            return Err("arms with one setting for all were not tried alike".into());
        }
        Ok(())
    }

    /// Whether every run has a loss or has failed.
    pub fn is_over(&self) -> bool {
        self.runs().all(TriedRun::is_over)
    }

    /// All runs.
    pub fn runs(&self) -> impl Iterator<Item = &TriedRun> {
        let settings = self.arms.iter().flat_map(|arm| &arm.settings);
        settings.flat_map(|setting| &setting.runs)
    }

    /// Chooses the setting of each arm whose mean last validation loss over the seeds is lowest; of equal
    /// ones the first. A setting with a failed run loses. With one setting for all arms, the mean over the
    /// arms counts. Chooses nothing before all runs have ended.
    pub fn choose(&mut self) {
        let is_over = self.is_over();
        let losses: Vec<Vec<Option<f64>>> = self
            .arms
            .iter()
            .map(|arm| arm.settings.iter().map(TriedSetting::loss).collect())
            .collect();
        let of_all = self.shared.then(|| {
            let searched: Vec<_> = losses.iter().filter(|losses| !losses.is_empty()).collect();
            lowest(mean_over_arms(&searched))
        });
        for (arm, losses) in self.arms.iter_mut().zip(losses) {
            let best = of_all.unwrap_or_else(|| lowest(losses)).filter(|_| is_over);
            let best = best.and_then(|index| arm.settings.get(index));
            arm.chosen = best.map(|setting| setting.number);
        }
    }
}

/// The index of the lowest loss; of equal ones the first.
fn lowest(losses: Vec<Option<f64>>) -> Option<usize> {
    let known = losses.into_iter().enumerate();
    let known = known.filter_map(|(index, loss)| Some((index, loss?)));
    known
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .map(|(index, _)| index)
}

/// The mean loss of each setting over the arms; none where an arm has none.
fn mean_over_arms(losses: &[&Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let count = losses.iter().map(|of| of.len()).min().unwrap_or(0);
    let mean = |setting: usize| mean(losses.iter().map(|of| of[setting]));
    (0..count).map(mean).collect()
}

/// The mean; none of no values, or if one is missing.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl SearchedArm {
    /// The chosen setting.
    pub fn choice(&self) -> Option<&TriedSetting> {
        let mut settings = self.settings.iter();
        settings.find(|setting| self.is_chosen(setting))
    }

    /// Whether a setting of the arm is the chosen one.
    pub fn is_chosen(&self, setting: &TriedSetting) -> bool {
        self.chosen == Some(setting.number)
    }

    /// The different values that were tried of each key: numbers in their order, others in that in which
    /// they were first tried.
    pub fn values(&self) -> BTreeMap<&str, Vec<&Value>> {
        let mut of_keys: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for (key, value) in self.settings.iter().flat_map(|setting| &setting.values) {
            of_keys.entry(key.as_str()).or_default().push(value);
        }
        let different = |(key, values): (_, Vec<_>)| (key, distinct(values.into_iter()));
        of_keys.into_iter().map(different).collect()
    }

    /// The numbers of the choice at the ends of what was tried: better ones may lie beyond. Nothing lies below
    /// 0, because no key of a configuration may be negative.
    pub fn edges(&self) -> Vec<Edge> {
        let Some(choice) = self.choice() else {
            return Vec::new();
        };
        let mut edges = Vec::new();
        for (key, values) in self.values() {
            let numbers: Option<Vec<f64>> = values.iter().map(|value| value.as_f64()).collect();
            let chosen = choice.values.get(key).and_then(Value::as_f64);
            if let (Some([lowest, .., highest]), Some(value)) = (numbers.as_deref(), chosen)
                && (value == *lowest || value == *highest)
                && (value == *highest || value > 0.0)
            {
                edges.push(Edge {
                    key: key.into(),
                    value,
                    is_highest: value == *highest,
                });
            }
        }
        edges
    }
}

impl TriedSetting {
    /// The mean of the last validation losses; none unless all runs have one.
    pub fn loss(&self) -> Option<f64> {
        mean(self.runs.iter().map(|run| run.validation_loss))
    }
}

impl TriedRun {
    /// Whether it has a loss or has failed.
    pub fn is_over(&self) -> bool {
        self.validation_loss.is_some() || self.error.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(number: u32, rate: f64, losses: &[Option<f64>]) -> TriedSetting {
        let run = |(index, &validation_loss): (usize, &Option<f64>)| TriedRun {
            seed: index as u64 + 1,
            validation_loss,
            error: validation_loss
                .is_none()
                .then(|| "not a finite number".into()),
        };
        TriedSetting {
            number,
            values: Setting::from([("rate".into(), rate.into())]),
            runs: losses.iter().enumerate().map(run).collect(),
        }
    }

    fn record(shared: bool, arms: &[&[TriedSetting]]) -> SearchRecord {
        let arm = |(index, settings): (usize, &&[TriedSetting])| SearchedArm {
            name: format!("arm-{index}"),
            settings: settings.to_vec(),
            ..SearchedArm::default()
        };
        SearchRecord {
            steps: 10,
            seeds: vec![1, 2],
            shared,
            keys: Vec::new(),
            arms: arms.iter().enumerate().map(arm).collect(),
        }
    }

    fn chosen(mut record: SearchRecord) -> Vec<Option<u32>> {
        record.choose();
        record.arms.iter().map(|arm| arm.chosen).collect()
    }

    /// Means of the first arm: 3.1 and 3.05; of the second 2.9 and 3.3; of both 3.0 and 3.175. The
    /// lowest single loss of the first arm is the 2.8 of its first setting.
    #[test]
    fn the_lowest_mean_wins() {
        let first = [
            setting(1, 0.1, &[Some(2.8), Some(3.4)]),
            setting(2, 0.2, &[Some(3.0), Some(3.1)]),
        ];
        let second = [
            setting(1, 0.1, &[Some(2.8), Some(3.0)]),
            setting(2, 0.2, &[Some(3.2), Some(3.4)]),
        ];
        assert_eq!(
            chosen(record(false, &[&first, &second])),
            [Some(2), Some(1)]
        );
        assert_eq!(chosen(record(true, &[&first, &second])), [Some(1), Some(1)]);
        // An arm that is not searched.
        assert_eq!(chosen(record(true, &[&first, &[]])), [Some(2), None]);
    }

    #[test]
    fn failed_settings_lose_and_nothing_is_chosen_before_the_end() {
        let settings = [
            setting(1, 0.1, &[Some(1.0), None]),
            setting(3, 0.2, &[Some(3.0), Some(3.0)]),
            setting(2, 0.4, &[Some(3.0), Some(3.0)]),
        ];
        assert_eq!(
            chosen(record(false, &[&settings])),
            [Some(3)],
            "the first of equals"
        );
        assert_eq!(chosen(record(false, &[&settings[..1]])), [None]);
        // A setting that fails in one arm is none for all of them: only the second is left.
        let other = [&settings[1..], &settings[..1]].concat();
        assert_eq!(
            chosen(record(true, &[&settings, &other])),
            [Some(3), Some(2)]
        );
        let mut open = record(false, &[&settings]);
        open.choose();
        assert_eq!(open.arms[0].chosen, Some(3));
        open.arms[0].settings[0].runs[1].error = None;
        assert_eq!(chosen(open), [None]);
    }

    #[test]
    fn choices_at_an_edge_are_found() {
        let rates_of = |rates: [f64; 3], best: usize| {
            let loss = |index| Some(if index == best { 2.0 } else { 3.0 });
            let settings: Vec<_> = rates
                .iter()
                .enumerate()
                .map(|(index, &rate)| setting(index as u32, rate, &[loss(index)]))
                .collect();
            let mut record = record(false, &[&settings]);
            record.choose();
            record.arms[0].edges()
        };
        let rates = |best| rates_of([0.4, 0.1, 0.2], best);
        let edge = |value, is_highest| Edge {
            key: "rate".into(),
            value,
            is_highest,
        };
        assert_eq!(rates(0), [edge(0.4, true)]);
        assert_eq!(rates(1), [edge(0.1, false)]);
        assert_eq!(rates(2), []);
        assert_eq!(rates_of([0.0, 0.1, 0.2], 0), [], "nothing is below 0");
        assert_eq!(rates_of([0.0, 0.1, 0.2], 2), [edge(0.2, true)]);
        let mut one = record(false, &[&[setting(1, 0.1, &[Some(1.0)])]]);
        one.choose();
        assert_eq!(one.arms[0].edges(), [], "one value has no edge");
    }

    #[test]
    fn records_come_back_as_they_were() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(SearchRecord::read(place.path()).unwrap(), None);
        let record = record(false, &[&[setting(1, 3e-4, &[Some(1.0 / 3.0), None])]]);
        record.write(place.path()).unwrap();
        assert_eq!(
            SearchRecord::read(place.path()).unwrap(),
            Some(record.clone())
        );
        let mut twice = record;
        let again = twice.arms[0].settings[0].clone();
        twice.arms[0].former.push(again);
        twice.write(place.path()).unwrap();
        let error = SearchRecord::read(place.path()).unwrap_err().to_string();
        assert!(
            error.contains("two settings of \"arm-0\" have one number"),
            "{error}"
        );
        assert!(
            error.contains("delete it and the folder `search`"),
            "{error}"
        );
    }
}
