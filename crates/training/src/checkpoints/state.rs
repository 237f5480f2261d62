//! `trainer_state.json`: the state of a run, and the lengths and hashes of a checkpoint's other files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use model::penalty::Control;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::error::CheckpointError;
use crate::early_stop::StopState;

/// File name of the state in a checkpoint folder.
pub const STATE_FILE: &str = "trainer_state.json";

const FORMAT_VERSION: u32 = 1;

/// The state of a run between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Number of completed optimizer steps.
    pub step: u64,
    /// Number of micro-batches drawn: the number of the next one, which keys its windows and noise.
    pub micro_batches: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// The run's seed.
    pub seed: u64,
    /// The step of the last evaluation.
    pub evaluated: Option<u64>,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// The penalty's adaptation to its target, from the first step on; none without a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// The next step's coefficient of the feed-forwards' auxiliary loss; none unless it adapts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auxiliary_coefficient: Option<f64>,
    /// What is needed to end the run early.
    #[serde(default, skip_serializing_if = "StopState::is_empty")]
    pub stop: StopState,
    /// Fingerprints of the data.
    pub data: DataFingerprint,
    /// Hash of the configuration's keys that affect the weights.
    pub config: String,
}

/// The best evaluation of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The step of the evaluation.
    pub step: u64,
    /// Its validation loss, in nats per token.
    pub validation_loss: f64,
}

/// Hashes of both splits' tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFingerprint {
    /// Of the training split.
    pub train: String,
    /// Of the validation split.
    pub validation: String,
}

/// Length and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    bytes: u64,
    xxh3: String,
}

/// The content of the file: the state, the stamps of the checkpoint's other files, and a hash of both.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    format_version: u32,
    state: TrainerState,
    files: BTreeMap<String, Stamp>,
    xxh3: String,
}

impl StateFile {
    fn hash(&self) -> String {
        let content = serde_json::to_vec(&(self.format_version, &self.state, &self.files))
            .expect("numbers and strings serialize");
        hex(xxh3_64(&content))
    }
}

/// Writes the state, with stamps of all files in the folder.
pub(super) fn write(folder: &Path, state: &TrainerState) -> Result<(), CheckpointError> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(CheckpointError::at(folder))? {
        let entry = entry.map_err(CheckpointError::at(folder))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, stamp(&path).map_err(CheckpointError::at(&path))?);
    }
    let mut file = StateFile {
        format_version: FORMAT_VERSION,
        state: state.clone(),
        files,
        xxh3: String::new(),
    };
    file.xxh3 = file.hash();
    let mut text = serde_json::to_vec_pretty(&file).expect("numbers and strings serialize");
    text.push(b'\n');
    let path = folder.join(STATE_FILE);
    model::files::write_atomically(&path, &text).map_err(CheckpointError::at(&path))
}

/// Reads the state of a checkpoint and checks that all its files are intact.
///
/// # Errors
/// A file is missing, cut off or changed.
pub fn read(folder: &Path) -> Result<TrainerState, CheckpointError> {
    let path = folder.join(STATE_FILE);
    let damaged = |path: &Path, reason: String| CheckpointError::Damaged {
        path: path.into(),
        reason,
    };
    let text = std::fs::read(&path).map_err(|error| damaged(&path, error.to_string()))?;
    let file: StateFile = serde_json::from_slice(&text)
        .map_err(|error| damaged(&path, format!("not a readable state: {error}")))?;
    if file.format_version != FORMAT_VERSION {
        let reason = format!(
            "format version {}, this program reads {FORMAT_VERSION}",
            file.format_version
        );
        return Err(damaged(&path, reason));
    }
    if file.xxh3 != file.hash() {
        return Err(damaged(&path, "its content was changed".into()));
    }
    for (name, expected) in &file.files {
        // Whoever made the checkpoint chose the names: a path out of the folder may lead to a device that
        // never ends.
        if Path::new(name).file_name() != Some(OsStr::new(name)) {
            let reason = format!("\"{name}\" is not the name of a file in the checkpoint");
            return Err(damaged(&path, reason));
        }
        let path = folder.join(name);
        let found = stamp(&path).map_err(|error| damaged(&path, error.to_string()))?;
        if found.bytes != expected.bytes {
            let reason = format!("{} bytes, expected {}", found.bytes, expected.bytes);
            return Err(damaged(&path, reason));
        }
        if found != *expected {
            return Err(damaged(&path, "its content was changed".into()));
        }
    }
    Ok(file.state)
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let mut file = File::open(path)?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => {
                return Ok(Stamp {
                    bytes,
                    xxh3: hex(hash.digest()),
                });
            }
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// A hash in hexadecimal, as in files.
pub(crate) fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_checkpoint_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let stamp = Stamp {
            bytes: 0,
            xxh3: hex(xxh3_64(&[])),
        };
        // Reading `/dev/zero` would never end.
        for name in ["/dev/zero", "../a", "a/../../b", "a/b", "a/", "..", "."] {
            let mut file = StateFile {
                format_version: FORMAT_VERSION,
                state: TrainerState::default(),
                files: BTreeMap::from([(name.to_owned(), stamp.clone())]),
                xxh3: String::new(),
            };
            file.xxh3 = file.hash();
            let text = serde_json::to_vec(&file).unwrap();
            std::fs::write(place.path().join(STATE_FILE), text).unwrap();
            let error = read(place.path()).unwrap_err().to_string();
            let expected = format!("\"{name}\" is not the name of a file");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
