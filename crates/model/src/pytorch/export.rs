//! Writing checkpoints that the author's PyTorch code loads.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::author_config_out::author_config;
use super::error::PytorchError;
use super::names::{OUTPUT_LAYER, TOKEN_EMBEDDING, author_names};
use super::pickle_out::Writer;
use crate::config::TransformerConfig;
use crate::feed_forward::FeedForwardConfig;
use crate::layout::layout;
use crate::mask_config::MaskConfig;
use crate::weights::{HostTensor, Weights, WeightsError};

/// The folder in the archive; PyTorch accepts any name.
const FOLDER: &str = "archive";
/// The alignment of storages in a file of PyTorch, in bytes.
const ALIGNMENT: u16 = 64;

/// Writes a model with the author's names. Returns notes on settings that the author's format cannot
/// express.
///
/// A path that ends in `.safetensors` becomes a safetensors file with the configuration as JSON
/// in its metadata (`model_config`); safetensors cannot share memory between tensors, so the
/// tied output layer is written twice. Every other path becomes a file for `torch.load`, with
/// `model`, `model_config` (choices as plain strings), `iter_num` 0 and no `best_val_loss`.
///
/// # Errors
/// The weights do not fit the configuration, or the file cannot be written. No partly written file
/// remains.
pub fn export(
    path: &Path,
    config: &TransformerConfig,
    weights: &Weights,
) -> Result<Vec<String>, PytorchError> {
    check(path, config, weights)?;
    let (model_config, notes) = author_config(config);
    let safetensors = path
        .extension()
        .is_some_and(|extension| extension == "safetensors");
    let bytes = if safetensors {
        safetensors_file(path, config, weights, &model_config)?
    } else {
        torch_file(config, weights, &model_config).map_err(|source| WeightsError::File {
            path: path.into(),
            source,
        })?
    };
    crate::files::write_atomically(path, &bytes).map_err(|source| WeightsError::File {
        path: path.into(),
        source,
    })?;
    Ok(notes)
}

fn check(path: &Path, config: &TransformerConfig, weights: &Weights) -> Result<(), PytorchError> {
    config
        .validate()
        .map_err(|problems| WeightsError::Impossible {
            path: path.into(),
            problems,
        })?;
    let feed_forward = &config.feed_forward;
    let dense = matches!(feed_forward, FeedForwardConfig::Dense(_));
    let mut hidden = (0..config.layers).map(|layer| feed_forward.hidden(config.width, layer));
    let other = hidden.find(|&hidden| hidden != 4 * config.width);
    if !dense || other.is_some() {
        let hidden = other.unwrap_or(4 * config.width);
        return Err(PytorchError::Value {
            path: path.into(),
            key: "feed_forward".into(),
            found: format!("{} with {hidden} hidden units", feed_forward.name()),
            expected: format!(
                "dense with {} hidden units: the author's code has no other",
                4 * config.width
            ),
        });
    }
    let masks = config.learned_dropout.as_ref();
    if let Some(problem) = masks.and_then(MaskConfig::beyond_published) {
        return Err(PytorchError::Form {
            path: path.into(),
            problem,
        });
    }
    for spec in layout(config) {
        let (name, expected) = (spec.name, spec.shape);
        match weights.get(&name) {
            None => {
                return Err(WeightsError::Missing {
                    path: path.into(),
                    name,
                    expected,
                }
                .into());
            }
            Some(tensor)
                if tensor.shape != expected
                    || tensor.values.len() != expected.iter().product::<usize>() =>
            {
                let found = tensor.shape.clone();
                return Err(WeightsError::Shape {
                    path: path.into(),
                    name,
                    expected,
                    found,
                }
                .into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The tensors under the author's names, in the order of the forward pass.
fn tensors<'a>(
    config: &'a TransformerConfig,
    weights: &'a Weights,
) -> impl Iterator<Item = (String, &'a HostTensor)> {
    author_names(config).map(|(name, author)| (author, &weights[&name]))
}

fn little_endian(tensor: &HostTensor) -> Vec<u8> {
    tensor
        .values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn torch_file(
    config: &TransformerConfig,
    weights: &Weights,
    model_config: &serde_json::Value,
) -> std::io::Result<Vec<u8>> {
    let mut pickle = Writer::new();
    pickle.key("model");
    pickle.begin_ordered();
    for (storage, (name, tensor)) in tensors(config, weights).enumerate() {
        pickle.key(&name);
        pickle.tensor(storage, &tensor.shape);
        if name == TOKEN_EMBEDDING {
            pickle.key(OUTPUT_LAYER);
            pickle.tensor(storage, &tensor.shape);
        }
    }
    pickle.end_ordered();
    pickle.key("model_config");
    pickle.value(model_config);
    pickle.key("iter_num");
    pickle.value(&serde_json::json!(0));
    pickle.key("best_val_loss");
    pickle.value(&serde_json::Value::Null);

    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .with_alignment(ALIGNMENT);
    let mut entry = |name: &str, bytes: &[u8]| {
        // Entries of 4 GiB or more need the zip64 format.
        let large = u32::try_from(bytes.len()).is_err();
        archive.start_file(format!("{FOLDER}/{name}"), options.large_file(large))?;
        archive.write_all(bytes)
    };
    entry("data.pkl", &pickle.finish())?;
    entry("byteorder", b"little")?;
    for (storage, (_, tensor)) in tensors(config, weights).enumerate() {
        entry(&format!("data/{storage}"), &little_endian(tensor))?;
    }
    entry("version", b"3\n")?;
    Ok(archive.finish()?.into_inner())
}

fn safetensors_file(
    path: &Path,
    config: &TransformerConfig,
    weights: &Weights,
    model_config: &serde_json::Value,
) -> Result<Vec<u8>, PytorchError> {
    let mut bytes: BTreeMap<String, (&[usize], Vec<u8>)> = tensors(config, weights)
        .map(|(name, tensor)| (name, (tensor.shape.as_slice(), little_endian(tensor))))
        .collect();
    let tied = bytes[TOKEN_EMBEDDING].clone();
    bytes.insert(OUTPUT_LAYER.into(), tied);
    let metadata = [
        ("format".to_string(), "pt".to_string()),
        ("model_config".to_string(), model_config.to_string()),
    ];
    let views = bytes.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes)
            .expect("a host tensor holds as many values as its shape says");
        (name.as_str(), view)
    });
    safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(|error| {
        WeightsError::Format {
            path: path.into(),
            reason: error.to_string(),
        }
        .into()
    })
}
