//! The configuration of a run: reading, checking and writing it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::{Checks, ModelConfig};
use serde::{Deserialize, Serialize};

use super::changes;
use super::document::{self, Node, read_text};
use super::evaluate::EvaluationWindows;
use super::keys::{keys_of, values_of};
use super::problem::{ConfigError, Problem};
use super::reading::{Reading, add_check_problems, read};
use super::train::TrainConfig;

/// Random seed of the published runs.
pub(crate) const DEFAULT_SEED: u64 = 1337;

/// The key of the windows of evaluations.
pub(crate) const WINDOWS: &str = "train.evaluate.windows";

/// All settings that determine a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of the initial weights, the batches and all noise, up to 2⁶³ − 1.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The training data.
    pub data: DataConfig,
    /// The model.
    pub model: ModelConfig,
    /// The training.
    pub train: TrainConfig,
}

fn default_seed() -> u64 {
    DEFAULT_SEED
}

/// The training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The data folder, as `ldrop data prepare` writes it.
    pub path: PathBuf,
}

impl RunConfig {
    /// Reads a configuration file, applies overrides (`key=value`) in order and checks it.
    ///
    /// # Errors
    /// The file cannot be read, or all problems of the file and of the overrides.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse(&read_text(path)?, path, overrides)
    }

    /// Reads the configuration that a run stored, and applies overrides (`key=value`) in order.
    ///
    /// A configuration that is older than `train.evaluate.windows` means random ones.
    ///
    /// # Errors
    /// The file cannot be read, or all problems of the file and of the overrides.
    pub fn read_stored(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::read_with_windows(path, overrides, EvaluationWindows::Random)
    }

    /// [`read`](Self::read), but with these windows where the file names none.
    pub(crate) fn read_with_windows(
        path: &Path,
        overrides: &[String],
        windows: EvaluationWindows,
    ) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        // What isn't valid TOML is reported below.
        let names_none = || {
            document::parse(&text).is_ok_and(|document| document.get(WINDOWS.split('.')).is_none())
        };
        let mut settings = overrides.to_vec();
        if windows == EvaluationWindows::Random && names_none() {
            settings.insert(0, format!("{WINDOWS}=random"));
        }
        Self::parse(&text, path, &settings)
    }

    /// Whether a configuration file or the overrides of it give a value to a key.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or an override cannot be applied.
    pub(crate) fn is_given(
        path: &Path,
        overrides: &[String],
        key: &str,
    ) -> Result<bool, ConfigError> {
        let invalid = |problems| ConfigError::invalid(path, problems);
        let mut document = document::parse(&read_text(path)?).map_err(invalid)?;
        for typed in overrides {
            document::set(&mut document, typed).map_err(|problem| invalid(vec![problem]))?;
        }
        Ok(document.get(key.split('.')).is_some())
    }

    /// Reads a configuration from text; errors name it `path`.
    ///
    /// # Errors
    /// All problems of the text and of the overrides.
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut document =
            document::parse(text).map_err(|problems| ConfigError::invalid(path, problems))?;
        changes::remove(&mut document);
        let mut problems: Vec<Problem> = overrides
            .iter()
            .filter_map(|typed| document::set(&mut document, typed).err())
            .collect();
        let (config, found) = Self::from_document(&document);
        problems.extend(found);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::invalid(path, problems)),
        }
    }

    /// Reads and checks a document. Returns the configuration, if it can be read, and all problems.
    pub(crate) fn from_document(document: &Node) -> (Option<Self>, Vec<Problem>) {
        let mut document = document.clone();
        // Empty tables make the missing keys in them separate problems.
        for table in ["data", "model", "train"] {
            document.add_table(table);
        }
        let mut reading: Reading<Self> = read(&document);
        if let Some(config) = &mut reading.value {
            let given = |key: &str| reading.understood.has(&format!("train.{key}"));
            config.train.fill_in(given);
        }
        let mut checks = Checks::default();
        if let Some(config) = &reading.value {
            config.check(&mut checks);
        }
        add_check_problems(&mut reading.problems, &document, checks);
        (reading.value, reading.problems)
    }

    /// Records all values that are not allowed.
    fn check(&self, checks: &mut Checks) {
        checks.range("seed", self.seed, 0..=i64::MAX as u64);
        checks.table("model", |checks| self.model.check(checks));
        checks.table("train", |checks| self.train.check(checks));
    }

    /// The configuration as TOML, with every key.
    ///
    /// # Errors
    /// The data path is not Unicode.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }

    /// Writes the configuration as TOML, atomically.
    ///
    /// # Errors
    /// The file cannot be written, the data path is not Unicode, or the configuration has problems, with
    /// which the file could not be read again.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let text = self.to_toml().map_err(|reason| ConfigError::Unwritable {
            path: path.into(),
            reason,
        })?;
        write_text(path, &text)
    }

    /// Number of tokens in an optimizer step.
    pub fn tokens_per_step(&self) -> u64 {
        self.train.batch as u64 * self.train.accumulate as u64 * self.model.context as u64
    }

    /// All keys that a configuration can have, with dots between tables, in alphabetical order.
    pub fn keys() -> BTreeSet<String> {
        keys_of::<Self>()
    }

    /// All values by their keys, with dots between tables.
    pub fn values(&self) -> BTreeMap<String, toml::Value> {
        values_of(self)
    }

    /// The keys whose values differ, with dots between tables, in alphabetical order.
    pub fn differing_keys(&self, other: &Self) -> Vec<String> {
        let (mine, theirs) = (self.values(), other.values());
        let keys: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        keys.into_iter()
            .filter(|key| mine.get(*key) != theirs.get(*key))
            .cloned()
            .collect()
    }
}

/// Writes the text of a configuration, atomically, if it can be read again.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), ConfigError> {
    // A run with a file that cannot be read is lost.
    RunConfig::parse(text, path, &[])?;
    model::files::write_atomically(path, text.as_bytes()).map_err(|source| ConfigError::File {
        path: path.into(),
        source,
    })
}
