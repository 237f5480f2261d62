//! Why a checkpoint cannot be written or read.

use std::path::{Path, PathBuf};

use model::weights::WeightsError;

use crate::optimizer::OptimizerError;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is missing, cut off or changed.
    #[error("{path}: {reason}; this checkpoint is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
    /// The weights cannot be written or read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The state of the optimizer cannot be written or read.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
}

impl CheckpointError {
    /// Adds the path to an error of the operating system.
    pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            path: path.into(),
            source,
        }
    }
}
