//! Weights on disk and in host memory.
//!
//! Matrices are stored as `[outputs, inputs]`, row by row, as PyTorch and the Hugging Face hub
//! store them; those of experts as `[experts, outputs, inputs]`. The output layer is tied to
//! `token_embedding.weight` and is not stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::config::TransformerConfig;
use crate::layout::layout;
use crate::problem::ConfigProblem;

/// A tensor of f32 in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// The shape.
    pub shape: Vec<usize>,
    /// The elements, the last dimension fastest.
    pub values: Vec<f32>,
}

/// All tensors of a transformer by name.
pub type Weights = BTreeMap<String, HostTensor>;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not in the safetensors format, or it is damaged.
    #[error("{path}: not a readable safetensors file ({reason}); it may be cut off or damaged")]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The file's configuration cannot be read.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration is not valid.
    #[error("{path}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Impossible {
        /// The file.
        path: PathBuf,
        /// All its problems.
        problems: Vec<ConfigProblem>,
    },
    /// A tensor that the configuration asks for is missing.
    #[error("{path}: no tensor `{name}`, which this configuration needs with shape {expected:?}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("{path}: tensor `{name}` has shape {found:?}, the configuration expects {expected:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that it should have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A tensor has an element type that is not supported.
    #[error("{path}: tensor `{name}` holds {found}; expected F32, F16 or BF16")]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The element type that it has.
        found: String,
    },
    /// The file has a tensor that does not belong to the configuration.
    #[error("{path}: tensor `{name}` does not belong to this configuration")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
}

/// Reads a safetensors file and checks it against the configuration.
///
/// F16 and BF16 tensors are converted to f32.
///
/// # Errors
/// The file cannot be read, is damaged, or its tensors do not fit the configuration.
pub fn read(path: &Path, config: &TransformerConfig) -> Result<Weights, WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::File {
        path: path.into(),
        source,
    })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| WeightsError::Format {
        path: path.into(),
        reason: error.to_string(),
    })?;
    let mut weights = Weights::new();
    for spec in layout(config) {
        let tensor = file.tensor(&spec.name).map_err(|_| WeightsError::Missing {
            path: path.into(),
            name: spec.name.clone(),
            expected: spec.shape.clone(),
        })?;
        if tensor.shape() != spec.shape {
            return Err(WeightsError::Shape {
                path: path.into(),
                name: spec.name,
                expected: spec.shape,
                found: tensor.shape().to_vec(),
            });
        }
        let values = to_f32(&tensor).ok_or_else(|| WeightsError::ElementType {
            path: path.into(),
            name: spec.name.clone(),
            found: format!("{:?}", tensor.dtype()),
        })?;
        weights.insert(
            spec.name,
            HostTensor {
                shape: spec.shape,
                values,
            },
        );
    }
    match file
        .names()
        .into_iter()
        .find(|name| !weights.contains_key(*name))
    {
        Some(name) => Err(WeightsError::Unknown {
            path: path.into(),
            name: name.into(),
        }),
        None => Ok(weights),
    }
}

fn to_f32(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let (pairs, _) = tensor.data().as_chunks::<2>();
    let (words, _) = tensor.data().as_chunks::<4>();
    match tensor.dtype() {
        Dtype::F32 => Some(words.iter().map(|&word| f32::from_le_bytes(word)).collect()),
        Dtype::F16 => Some(
            pairs
                .iter()
                .map(|&pair| half::f16::from_le_bytes(pair).to_f32())
                .collect(),
        ),
        Dtype::BF16 => Some(
            pairs
                .iter()
                .map(|&pair| half::bf16::from_le_bytes(pair).to_f32())
                .collect(),
        ),
        _ => None,
    }
}

/// Writes tensors as a safetensors file and flushes it to the disk.
///
/// It is written under a temporary name and then renamed, so `path` is always a complete file.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, weights: &Weights) -> Result<(), WeightsError> {
    let metadata = [("format".to_string(), "pt".to_string())]
        .into_iter()
        .collect();
    let bytes: BTreeMap<&str, Vec<u8>> = weights
        .iter()
        .map(|(name, tensor)| {
            (
                name.as_str(),
                tensor
                    .values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        })
        .collect();
    let views = weights.iter().map(|(name, tensor)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name.as_str()])
            .expect("a host tensor holds as many values as its shape says");
        (name.as_str(), view)
    });
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|error| WeightsError::Format {
            path: path.into(),
            reason: error.to_string(),
        })?;
    crate::files::write_atomically(path, &file).map_err(|source| WeightsError::File {
        path: path.into(),
        source,
    })
}
