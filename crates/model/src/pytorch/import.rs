//! Reading the author's checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};

use super::archive::{self, Archive};
use super::author_config;
use super::error::PytorchError;
use super::names::{OUTPUT_LAYER, TOKEN_EMBEDDING, author_name, without_wrappers};
use super::pickle::Pickle;
use super::pickle_value::Value;
use crate::config::TransformerConfig;
use crate::layout::layout;
use crate::weights::{HostTensor, Weights, WeightsError};

/// A model read from a PyTorch checkpoint.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The configuration.
    pub config: TransformerConfig,
    /// The weights, under the names of [`layout`](crate::layout::layout).
    pub weights: Weights,
    /// Notes on what was left out, converted or assumed, one sentence each.
    pub notes: Vec<String>,
}

/// The last parts of the names of buffers, which are not weights: older attention code stores its causal
/// mask in the checkpoint.
const CAUSAL_MASKS: [&str; 3] = ["tril", "causal_mask", "mask"];

/// Reads one of the author's checkpoints: `model` and `model_config` of the file.
///
/// Weights may be f64, f32, f16 or bf16 and stored in any layout; they become f32. Names may
/// have the prefixes of `torch.compile` and of data parallelism. The file is not trusted: nothing in it is
/// executed, and the sizes in it are checked against the size of the file.
///
/// # Errors
/// The file cannot be read, is damaged, is not such a checkpoint, or holds a model that
/// [`TransformerConfig`] cannot describe. The message names the file and the key or tensor.
pub fn import(path: &Path) -> Result<Imported, PytorchError> {
    let Archive { pickle, size } = archive::open(path)?;
    let mut notes = Vec::new();
    note_other_keys(&pickle, &mut notes);
    let mut tensors = open_tensors(path, &pickle)?;
    let vocabulary = tensors
        .get(TOKEN_EMBEDDING)
        .or_else(|| tensors.get(OUTPUT_LAYER));
    let vocabulary = vocabulary.and_then(|tensor| tensor.shape().first().copied());
    let config = author_config::read(path, &pickle, vocabulary, &mut notes)?;
    check_config(path, &config, tensors.len())?;

    let output_layer = tensors.remove(OUTPUT_LAYER);
    if let (None, Some(tied)) = (tensors.get(TOKEN_EMBEDDING), &output_layer) {
        tensors.insert(TOKEN_EMBEDDING.into(), tied.clone());
    }
    check_shapes(path, &config, &tensors, size)?;
    let mut weights = Weights::new();
    for spec in layout(&config) {
        let name = author_name(&spec.name);
        if let Some(tensor) = tensors.remove(&name) {
            let values = read_tensor(path, &name, &tensor)?;
            weights.insert(
                spec.name,
                HostTensor {
                    shape: spec.shape,
                    values,
                },
            );
        }
    }
    if let Some(tied) = output_layer {
        let embedding = &weights[TOKEN_EMBEDDING];
        check_dtype(path, OUTPUT_LAYER, &tied)?;
        let same = tied.shape() == embedding.shape
            && same_bits(&read_tensor(path, OUTPUT_LAYER, &tied)?, &embedding.values);
        if !same {
            return Err(PytorchError::Untied { path: path.into() });
        }
    }
    for name in tensors.into_keys() {
        if !name
            .rsplit('.')
            .next()
            .is_some_and(|last| CAUSAL_MASKS.contains(&last))
        {
            return Err(WeightsError::Unknown {
                path: path.into(),
                name,
            }
            .into());
        }
        notes.push(format!("{name} is not used: it is no weight"));
    }
    Ok(Imported {
        config,
        weights,
        notes,
    })
}

fn note_other_keys(pickle: &Pickle, notes: &mut Vec<String>) {
    let others: Vec<&str> = pickle
        .entries(pickle.root())
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
        .filter(|key| !matches!(*key, "model" | "model_config") && key.len() <= 60)
        .take(20)
        .collect();
    if !others.is_empty() {
        notes.push(format!("not read: {}", others.join(", ")));
    }
}

/// The tensors of `model` under the author's names. Only their places are read, not their values.
fn open_tensors(path: &Path, pickle: &Pickle) -> Result<BTreeMap<String, Tensor>, PytorchError> {
    let missing = || PytorchError::Missing {
        path: path.into(),
        key: "model".into(),
        expected: "the weights, as the author's training writes them",
    };
    let model = pickle.entry(pickle.root(), "model").ok_or_else(missing)?;
    if !matches!(pickle.value(model), Value::Dict(_)) {
        return Err(missing());
    }
    let opened: HashMap<String, Tensor> = guarded(path, || {
        PytorchReader::with_top_level_key(path, "model").map(PytorchReader::into_tensors)
    })?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in opened {
        let plain = without_wrappers(&name).to_string();
        if tensors.insert(plain.clone(), tensor).is_some() {
            return Err(PytorchError::Damaged {
                path: path.into(),
                reason: format!("there are two tensors `{plain}`"),
            });
        }
    }
    Ok(tensors)
}

/// Calls the reader of tensors. An error or a panic of it means that the file is damaged.
fn guarded<T, E: std::fmt::Display>(
    path: &Path,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, PytorchError> {
    let damaged = |reason: String| PytorchError::Damaged {
        path: path.into(),
        reason,
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| damaged(error.to_string())),
        Err(_) => Err(damaged(
            "its tensors are described in a way that makes no sense".into(),
        )),
    }
}

fn check_config(
    path: &Path,
    config: &TransformerConfig,
    tensors: usize,
) -> Result<(), PytorchError> {
    // This comes before the count of parameters, which takes time for each layer.
    if config.layers > tensors {
        return Err(PytorchError::Value {
            path: path.into(),
            key: "model_config.n_layer".into(),
            found: config.layers.to_string(),
            expected: format!("no more layers than the {tensors} tensors of the file"),
        });
    }
    config.validate().map_err(|problems| {
        WeightsError::Impossible {
            path: path.into(),
            problems,
        }
        .into()
    })
}

/// Checks that every tensor of the configuration is present, before any is read.
fn check_shapes(
    path: &Path,
    config: &TransformerConfig,
    tensors: &BTreeMap<String, Tensor>,
    file_size: u64,
) -> Result<(), PytorchError> {
    let mut bytes = 0u64;
    for spec in layout(config) {
        let (name, expected) = (author_name(&spec.name), spec.shape);
        let Some(tensor) = tensors.get(&name) else {
            return Err(WeightsError::Missing {
                path: path.into(),
                name,
                expected,
            }
            .into());
        };
        if tensor.shape() != expected {
            let found = tensor.shape().to_vec();
            return Err(WeightsError::Shape {
                path: path.into(),
                name,
                expected,
                found,
            }
            .into());
        }
        check_dtype(path, &name, tensor)?;
        bytes = bytes.saturating_add(tensor.byte_len() as u64);
    }
    if bytes > file_size {
        return Err(PytorchError::Damaged {
            path: path.into(),
            reason: format!("its tensors claim {bytes} bytes, but the file has {file_size}"),
        });
    }
    Ok(())
}

fn check_dtype(path: &Path, name: &str, tensor: &Tensor) -> Result<(), PytorchError> {
    match tensor.dtype() {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => Ok(()),
        other => Err(WeightsError::ElementType {
            path: path.into(),
            name: name.into(),
            found: format!("{other:?}"),
        }
        .into()),
    }
}

/// The elements as f32, row by row.
fn read_tensor(path: &Path, name: &str, tensor: &Tensor) -> Result<Vec<f32>, PytorchError> {
    let bytes = guarded(path, || tensor.read())?;
    let (pairs, _) = bytes.as_chunks::<2>();
    let (words, _) = bytes.as_chunks::<4>();
    let (longs, _) = bytes.as_chunks::<8>();
    // The reader of tensors returns bytes in the order of this machine.
    let values: Vec<f32> = match tensor.dtype() {
        DType::F64 => longs
            .iter()
            .map(|&long| f64::from_ne_bytes(long) as f32)
            .collect(),
        DType::F32 => words.iter().map(|&word| f32::from_ne_bytes(word)).collect(),
        DType::F16 => pairs
            .iter()
            .map(|&pair| half::f16::from_ne_bytes(pair).to_f32())
            .collect(),
        DType::BF16 => pairs
            .iter()
            .map(|&pair| half::bf16::from_ne_bytes(pair).to_f32())
            .collect(),
        _ => Vec::new(),
    };
    if values.len() != tensor.num_elements() {
        return Err(PytorchError::Damaged {
            path: path.into(),
            reason: format!(
                "tensor `{name}` holds {} values, its shape asks for {}",
                values.len(),
                tensor.num_elements()
            ),
        });
    }
    Ok(values)
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
