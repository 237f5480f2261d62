//! Checkpoints on disk. Each is complete or absent, and none is deleted while `latest` or `best` names
//! it.
//!
//! A checkpoint is written under a temporary name, flushed, and renamed. Then `latest` and `best`, two
//! files beside the folder of checkpoints that each hold the name of one, are replaced. Only then are
//! older checkpoints deleted. A process that is killed at any point leaves complete checkpoints and
//! perhaps a temporary folder, which the next start removes.

mod error;
mod state;

use std::path::{Path, PathBuf};

use model::TransformerConfig;
use model::files::{sync_folder, write_atomically};
use model::model_folder;
use model::weights::Weights;

use crate::generation_config::write_generation_config;
use crate::optimizer::AdamW;

pub use error::CheckpointError;
pub(crate) use state::hex;
pub use state::{Best, DataFingerprint, STATE_FILE, TrainerState, read as read_state};

/// Name of the folder of checkpoints in a run folder.
pub const FOLDER: &str = "checkpoints";
/// Name of the file in a run folder that names the latest checkpoint.
pub const LATEST: &str = "latest";
/// Name of the file in a run folder that names the checkpoint with the lowest validation loss.
pub const BEST: &str = "best";
/// File name of the optimizer's state in a checkpoint folder.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";

/// Prefix of the names of folders that are being written or deleted.
const TEMPORARY: &str = ".tmp-";

/// Prefix of the names of checkpoints that a new one of the same step is replacing.
const REPLACED: &str = ".old-";

/// The model folder at a path: the path itself, or the best (else the latest) checkpoint of a run
/// folder; none if it is neither.
pub fn model_folder_of(path: &Path) -> Option<PathBuf> {
    let is_model = |folder: &PathBuf| folder.join(model_folder::CONFIG_FILE).is_file();
    let named = |pointer: &&str| {
        let name = std::fs::read_to_string(path.join(pointer)).ok()?;
        Some(path.join(FOLDER).join(name.trim())).filter(is_model)
    };
    Some(path.to_path_buf())
        .filter(is_model)
        .or_else(|| [BEST, LATEST].iter().find_map(named))
}

/// The content of a checkpoint.
pub struct Checkpoint<'a> {
    /// The model's configuration.
    pub config: &'a TransformerConfig,
    /// The weights.
    pub weights: &'a Weights,
    /// The optimizer.
    pub optimizer: &'a AdamW,
    /// The run's state.
    pub state: &'a TrainerState,
    /// The content of `tokenizer.json`.
    pub tokenizer: &'a str,
    /// The token that ends a text, if the tokenizer has one.
    pub end_of_text: Option<u32>,
}

/// A checkpoint that cannot be used.
#[derive(Debug)]
pub struct DamagedCheckpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// The damage.
    pub error: CheckpointError,
}

/// The newest intact checkpoint, and newer ones that are damaged.
#[derive(Debug, Default)]
pub struct Newest {
    /// Its folder and the run's state; none if there is no intact checkpoint.
    pub intact: Option<(PathBuf, TrainerState)>,
    /// Newer checkpoints that are damaged, the newest first.
    pub damaged: Vec<DamagedCheckpoint>,
}

/// The checkpoints of a run.
#[derive(Debug)]
pub struct Checkpoints {
    run: PathBuf,
    folder: PathBuf,
}

impl Checkpoints {
    /// Opens the checkpoints of a run folder, which may have none yet. Removes folders that a killed
    /// process left half-written or half-deleted.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(run: &Path) -> Result<Self, CheckpointError> {
        let folder = run.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(CheckpointError::at(&folder))?;
        let checkpoints = Self {
            run: run.into(),
            folder,
        };
        for name in checkpoints.names()? {
            if name.starts_with(TEMPORARY) {
                checkpoints.remove_entry(&name)?;
            } else if let Some(replaced) = name.strip_prefix(REPLACED) {
                checkpoints.finish_replacing(replaced)?;
            }
        }
        Ok(checkpoints)
    }

    /// The name of the checkpoint of a step.
    pub fn name(step: u64) -> String {
        format!("step-{step:08}")
    }

    /// Writes a checkpoint under the name of its step, makes it the latest, and the best one if
    /// the state says so; then deletes all but the `keep` latest and the best.
    ///
    /// # Errors
    /// A file cannot be written. The earlier checkpoints remain, and so do `latest` and `best`.
    pub fn write(
        &self,
        checkpoint: &Checkpoint<'_>,
        keep: usize,
    ) -> Result<PathBuf, CheckpointError> {
        let step = checkpoint.state.step;
        let name = Self::name(step);
        let temporary = format!("{TEMPORARY}{name}");
        self.remove_entry(&temporary)?;
        let writing = self.folder.join(&temporary);
        std::fs::create_dir(&writing).map_err(CheckpointError::at(&writing))?;
        write_files(&writing, checkpoint)?;
        sync_folder(&writing).map_err(CheckpointError::at(&writing))?;
        let folder = self.put_in_place(&writing, &name)?;
        self.point_and_prune(checkpoint.state, keep)?;
        Ok(folder)
    }

    /// Renames a complete folder to its final name. An older folder may have that name: a damaged
    /// checkpoint that the run was not resumed from, or one from before an evaluation at the same step.
    fn put_in_place(&self, writing: &Path, name: &str) -> Result<PathBuf, CheckpointError> {
        let folder = self.folder.join(name);
        let replaced = self.folder.join(format!("{REPLACED}{name}"));
        if folder.exists() {
            std::fs::rename(&folder, &replaced).map_err(CheckpointError::at(&folder))?;
        }
        std::fs::rename(writing, &folder).map_err(CheckpointError::at(&folder))?;
        sync_folder(&self.folder).map_err(CheckpointError::at(&self.folder))?;
        self.finish_replacing(name)?;
        Ok(folder)
    }

    /// Removes the replaced checkpoint, or restores it if the new one is not in its place.
    fn finish_replacing(&self, name: &str) -> Result<(), CheckpointError> {
        let folder = self.folder.join(name);
        let replaced = format!("{REPLACED}{name}");
        if folder.exists() {
            return self.remove_entry(&replaced);
        }
        let replaced = self.folder.join(replaced);
        std::fs::rename(&replaced, &folder).map_err(CheckpointError::at(&replaced))
    }

    /// Sets `latest` and `best` from a state, and deletes older checkpoints.
    ///
    /// # Errors
    /// A file cannot be written or deleted.
    pub fn point_and_prune(
        &self,
        state: &TrainerState,
        keep: usize,
    ) -> Result<(), CheckpointError> {
        let latest = Self::name(state.step);
        self.point(LATEST, &latest)?;
        let best = state.best.as_ref().map(|best| Self::name(best.step));
        if let Some(best) = best.as_ref().filter(|best| self.folder.join(best).exists()) {
            self.point(BEST, best)?;
        }
        let mut steps = self.steps()?;
        steps.retain(|&step| step <= state.step);
        for step in steps.into_iter().skip(keep.max(1)) {
            let name = Self::name(step);
            // The checkpoint in `best` stays even if the state has a better one that is lost.
            let is_named = best.as_ref() == Some(&name) || self.named(BEST).as_ref() == Some(&name);
            if !is_named {
                self.delete(&name)?;
            }
        }
        Ok(())
    }

    /// Finds the newest checkpoint whose files are all intact.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest(&self) -> Result<Newest, CheckpointError> {
        let mut newest = Newest::default();
        for step in self.steps()? {
            let folder = self.folder.join(Self::name(step));
            match state::read(&folder) {
                Ok(state) => {
                    newest.intact = Some((folder, state));
                    break;
                }
                Err(error) => newest.damaged.push(DamagedCheckpoint { folder, error }),
            }
        }
        Ok(newest)
    }

    /// The name in the file `latest` or `best`; none if there is no such file.
    pub fn named(&self, pointer: &str) -> Option<String> {
        let name = std::fs::read_to_string(self.run.join(pointer)).ok()?;
        Some(name.trim().to_string())
    }

    fn point(&self, pointer: &str, name: &str) -> Result<(), CheckpointError> {
        if self.named(pointer).as_deref() == Some(name) {
            return Ok(());
        }
        let path = self.run.join(pointer);
        write_atomically(&path, format!("{name}\n").as_bytes()).map_err(CheckpointError::at(&path))
    }

    /// The steps of all checkpoints, the newest first.
    fn steps(&self) -> Result<Vec<u64>, CheckpointError> {
        let mut steps: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_prefix("step-")?.parse().ok())
            .collect();
        steps.sort_unstable_by(|left, right| right.cmp(left));
        Ok(steps)
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        std::fs::read_dir(&self.folder)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                    .collect()
            })
            .map_err(CheckpointError::at(&self.folder))
    }

    /// Deletes a checkpoint. It is renamed first, so that no checkpoint is ever half-deleted.
    fn delete(&self, name: &str) -> Result<(), CheckpointError> {
        let folder = self.folder.join(name);
        if !folder.exists() {
            return Ok(());
        }
        let temporary = format!("{TEMPORARY}deleted-{name}");
        self.remove_entry(&temporary)?;
        std::fs::rename(&folder, self.folder.join(&temporary))
            .map_err(CheckpointError::at(&folder))?;
        sync_folder(&self.folder).map_err(CheckpointError::at(&self.folder))?;
        self.remove_entry(&temporary)
    }

    fn remove_entry(&self, name: &str) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        let removed = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(CheckpointError::at(&path))
    }
}

fn write_files(folder: &Path, checkpoint: &Checkpoint<'_>) -> Result<(), CheckpointError> {
    model_folder::write(folder, checkpoint.config, checkpoint.weights)?;
    checkpoint.optimizer.write(&folder.join(OPTIMIZER_FILE))?;
    let path = folder.join(model_folder::TOKENIZER_FILE);
    write_atomically(&path, checkpoint.tokenizer.as_bytes()).map_err(CheckpointError::at(&path))?;
    write_generation_config(folder, checkpoint.config, checkpoint.end_of_text)
        .map_err(|(path, source)| CheckpointError::File { path, source })?;
    state::write(folder, checkpoint.state)
}
