//! The changes of a run's configuration that were made when it was resumed.
//!
//! They stand at the end of the run's `config.toml`, as the list `changes`. They are in the same file as
//! the values that they changed, so that one write, which is complete or absent, does both. Everything
//! that reads configurations passes over them.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::document::{Node, read_text};
use super::problem::{ConfigError, Origin, Problem};
use super::run::{RunConfig, write_text};

/// The key of the list in `config.toml`.
const KEY: &str = "changes";

/// A change of the configuration of a run that was resumed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Number of optimizer steps that were completed before it.
    pub step: u64,
    /// The changed keys that had values before, with dots between tables, and these values.
    pub before: BTreeMap<String, toml::Value>,
    /// The changed keys that have values since, and these values.
    pub after: BTreeMap<String, toml::Value>,
}

/// The end of `config.toml`.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    changes: Vec<Change>,
}

impl Change {
    /// The change of some keys from one configuration to another.
    pub(crate) fn new(step: u64, keys: &[String], before: &RunConfig, after: &RunConfig) -> Self {
        let values = |config: &RunConfig| {
            let mut values = config.values();
            values.retain(|key, _| keys.contains(key));
            values
        };
        Self {
            step,
            before: values(before),
            after: values(after),
        }
    }

    /// Gives values that this change has changed what they were before.
    pub(crate) fn undo(&self, values: &mut BTreeMap<String, toml::Value>) {
        for key in self.after.keys() {
            values.remove(key);
        }
        values.extend(self.before.clone());
    }
}

impl Display for Change {
    /// For example "train.clip from unset to 1.0, train.optimizer.weight_decay from 0.1 to 0.2".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys: Vec<&String> = self.before.keys().chain(self.after.keys()).collect();
        keys.sort();
        keys.dedup();
        for (index, key) in keys.into_iter().enumerate() {
            let value = |values: &BTreeMap<String, toml::Value>| {
                let value = values.get(key);
                value.map_or_else(|| "unset".to_string(), ToString::to_string)
            };
            let comma = if index == 0 { "" } else { ", " };
            let (before, after) = (value(&self.before), value(&self.after));
            write!(formatter, "{comma}{key} from {before} to {after}")?;
        }
        Ok(())
    }
}

/// Removes the changes from the document of a configuration.
pub(crate) fn remove(document: &mut Node) {
    document.remove(&[KEY.to_string()]);
}

/// The changes in a run's stored configuration, the oldest first.
///
/// # Errors
/// The file cannot be read, or the changes in it are damaged.
pub(crate) fn read(path: &Path) -> Result<Vec<Change>, ConfigError> {
    let text = read_text(path)?;
    let stored: Result<Stored, _> = toml::from_str(&text);
    stored.map(|stored| stored.changes).map_err(|error| {
        let message = format!(
            "`{KEY}`: {}; if the values above the first [[{KEY}]] are right, remove it and all that \
             follows it",
            error.message()
        );
        let before = error.span().and_then(|span| text.get(..span.start));
        let origin = before.map_or(Origin::Nowhere, |before| {
            Origin::Line(1 + before.matches('\n').count())
        });
        ConfigError::invalid(path, vec![Problem::new(KEY, &origin, message)])
    })
}

/// Writes a configuration with its changes as TOML, atomically.
///
/// # Errors
/// The file cannot be written, a path in the configuration is not Unicode, or the configuration has
/// problems.
pub(crate) fn write(
    path: &Path,
    config: &RunConfig,
    changes: Vec<Change>,
) -> Result<(), ConfigError> {
    if changes.is_empty() {
        return config.write(path);
    }
    let unwritable = |reason: String| ConfigError::Unwritable {
        path: path.into(),
        reason,
    };
    let changes =
        toml::to_string(&Stored { changes }).map_err(|error| unwritable(error.to_string()))?;
    let config = config.to_toml().map_err(unwritable)?;
    let text = format!("{config}\n{changes}");
    write_text(path, &text)
}
