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
use super::schedule::ScheduleKind;

/// The key of the list in `config.toml`.
const KEY: &str = "changes";

/// A key that a configuration leaves out where it has its default.
const KIND_OF_SCHEDULE: &str = "train.schedule.kind";

/// Keys whose default, which a configuration without them means, is more than nothing.
const DEFAULTS: [(&str, &str); 3] = [
    (KIND_OF_SCHEDULE, "\"cosine\""),
    ("model.learned_dropout.penalty.minimum", "0.0"),
    ("model.learned_dropout.penalty.floor_coefficient", "1.0"),
];

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
            values
                .entry(KIND_OF_SCHEDULE.into())
                .or_insert_with(|| ScheduleKind::default().name().into());
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
        // As a configuration has it, so that fingerprints agree.
        values.retain(|key, value| {
            key != KIND_OF_SCHEDULE || value.as_str() != Some(ScheduleKind::default().name())
        });
    }

    /// What stands for a key that had no value: its default, where there is one.
    fn default_in_words(&self, key: &str) -> &'static str {
        // A penalty that was added or taken away had no settings on the other side.
        let penalty = "model.learned_dropout.penalty.";
        let [before, after] =
            [&self.before, &self.after].map(|of| of.contains_key(&format!("{penalty}kind")));
        if key.starts_with(penalty) && before != after {
            return "unset";
        }
        let default = DEFAULTS.iter().find(|(of, _)| *of == key);
        default.map_or("unset", |(_, default)| default)
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
                value.map_or_else(|| self.default_in_words(key).into(), ToString::to_string)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_value_is_shown_with_its_default() {
        let values = |pairs: &[(&str, toml::Value)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).into(), value.clone()));
            pairs.collect::<BTreeMap<String, toml::Value>>()
        };
        let penalty = |key: &str| format!("model.learned_dropout.penalty.{key}");
        let (kind, minimum) = (penalty("kind"), penalty("minimum"));
        let change = |before: &[(&str, toml::Value)], after: &[(&str, toml::Value)]| Change {
            step: 0,
            before: values(before),
            after: values(after),
        };
        let raised = change(
            &[("train.schedule.kind", "wsd".into())],
            &[(&minimum, 0.01.into())],
        );
        assert_eq!(
            raised.to_string(),
            "model.learned_dropout.penalty.minimum from 0.0 to 0.01, train.schedule.kind from \"wsd\" to \
             \"cosine\""
        );
        let added = change(&[], &[(&kind, "linear".into()), (&minimum, 0.01.into())]);
        assert_eq!(
            added.to_string(),
            "model.learned_dropout.penalty.kind from unset to \"linear\", \
             model.learned_dropout.penalty.minimum from unset to 0.01"
        );
    }
}
