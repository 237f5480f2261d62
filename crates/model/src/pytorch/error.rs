//! Errors of reading and writing PyTorch checkpoints.

use std::path::PathBuf;

use crate::problem::ConfigProblem;
use crate::weights::WeightsError;

/// Why a PyTorch checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PytorchError {
    /// The file cannot be opened, a tensor does not fit the configuration, or the configuration is not
    /// valid.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The file is not a zip archive as `torch.save` writes it.
    #[error(
        "{path}: not a PyTorch checkpoint ({reason}); expected a file that `torch.save` of \
         PyTorch 1.6 or later wrote"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is missing or not as expected.
        reason: String,
    },
    /// The file is cut off or damaged.
    #[error("{path}: damaged PyTorch checkpoint: {reason}; copy or save the file again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The place and the kind of the damage.
        reason: String,
    },
    /// A key that is needed is missing.
    #[error("{path}: no `{key}`; expected {expected}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The path of the key: tables and key, separated by dots.
        key: String,
        /// The expected content.
        expected: &'static str,
    },
    /// A value of the configuration has another type, or is not one of the known choices.
    #[error("{path}: `{key}` is {found}; expected {expected}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The path of the key: tables and key, separated by dots.
        key: String,
        /// The value found.
        found: String,
        /// The accepted values.
        expected: String,
    },
    /// The author's code has no masks of this form.
    #[error(
        "{path}: {problem}, the only form that the author's code has; this model can be exported \
         with --format safetensors"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// The setting that the author's code does not have.
        problem: ConfigProblem,
    },
    /// The weights of the output layer are not those of the token embedding.
    #[error(
        "{path}: `output_layer.weight` differs from `token_embedding.weight`; this model has one \
         matrix for both, so the checkpoint would not predict what it predicted in PyTorch"
    )]
    Untied {
        /// The file.
        path: PathBuf,
    },
}
