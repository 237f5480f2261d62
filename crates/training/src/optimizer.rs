//! AdamW, whose state is stored by the names of the parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use learned_dropout::ops;
use learned_dropout::ops::adamw;
use model::tensor_spec::TensorSpec;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::config::OptimizerConfig;

/// Why the state of the optimizer cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file does not hold the state of this model's optimizer.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// AdamW: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
///
/// With the gradient `g`, the learning rate `r` and `t` updates of the parameter so far, this one
/// counted:
/// - `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`;
/// - `p ← (1 − r · decay) p − r / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`.
///
/// Only parameters with two or more dimensions decay. A parameter without a gradient is not updated
/// at all.
#[derive(Debug)]
pub struct AdamW {
    config: OptimizerConfig,
    state: BTreeMap<String, Moments>,
}

/// The factors of one update. A learning rate alone converts into rates that leave gradients as they
/// are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub learning_rate: f64,
    /// The factor that gradients are multiplied by first: below 1 if they are clipped.
    pub gradient_scale: f64,
}

impl From<f64> for Rates {
    fn from(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            gradient_scale: 1.0,
        }
    }
}

/// The state of one parameter; the tensors are flat.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    first: Tensor<1>,
    second: Tensor<1>,
    updates: u64,
}

impl AdamW {
    /// An optimizer before its first update.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self {
            config: config.clone(),
            state: BTreeMap::new(),
        }
    }

    /// The value of a parameter after an update.
    ///
    /// Neither tensor may be on an autodiff device.
    pub fn update<const D: usize>(
        &mut self,
        name: &str,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        rates: impl Into<Rates>,
    ) -> Tensor<D> {
        let shape = parameter.dims();
        let parameter = parameter.flatten::<1>(0, D - 1);
        let gradient = gradient.flatten::<1>(0, D - 1);
        let (moments, updates) = match self.state.remove(name) {
            Some(state) => ([state.first, state.second], state.updates + 1),
            None => ([gradient.zeros_like(), gradient.zeros_like()], 1),
        };
        let (updated, [first, second]) = adamw(
            parameter,
            gradient,
            moments,
            self.step(updates, rates.into(), D >= 2),
        );
        self.state.insert(
            name.into(),
            Moments {
                shape: shape.to_vec(),
                first,
                second,
                updates,
            },
        );
        updated.reshape(shape)
    }

    /// The coefficients of a parameter's update number `updates`, from 1.
    fn step(&self, updates: u64, rates: Rates, decays: bool) -> ops::AdamW {
        let Rates {
            learning_rate,
            gradient_scale,
        } = rates;
        let [beta_1, beta_2] = self.config.betas;
        let correction = |beta: f64| 1.0 - beta.powf(updates as f64);
        let decay = if decays {
            self.config.weight_decay
        } else {
            0.0
        };
        ops::AdamW {
            betas: [beta_1 as f32, beta_2 as f32],
            gradient_scale: gradient_scale as f32,
            epsilon: self.config.epsilon as f32,
            decay_factor: (1.0 - learning_rate * decay) as f32,
            rate: (learning_rate / correction(beta_1)) as f32,
            root_scale: (1.0 / correction(beta_2).sqrt()) as f32,
        }
    }

    /// Writes the state as a safetensors file: `NAME.first_moment` and `NAME.second_moment` with
    /// the parameter's shape, and `NAME.updates`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), OptimizerError> {
        let mut entries = Vec::with_capacity(3 * self.state.len());
        for (name, moments) in &self.state {
            for (suffix, tensor) in [(FIRST, &moments.first), (SECOND, &moments.second)] {
                let data = tensor.to_data();
                let bytes: Vec<u8> = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
                entries.push((
                    format!("{name}.{suffix}"),
                    Dtype::F32,
                    moments.shape.clone(),
                    bytes,
                ));
            }
            let updates = moments.updates.to_le_bytes().to_vec();
            entries.push((format!("{name}.{UPDATES}"), Dtype::U64, vec![1], updates));
        }
        let views = entries.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes)
                .expect("a tensor has as many elements as its shape says");
            (name.as_str(), view)
        });
        let file = safetensors::serialize(views, None).map_err(|error| OptimizerError::Format {
            path: path.into(),
            reason: error.to_string(),
        })?;
        model::files::write_atomically(path, &file).map_err(|source| OptimizerError::File {
            path: path.into(),
            source,
        })
    }

    /// Reads a state that [`AdamW::write`] wrote, for a model with the parameters of `layout`.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or belongs to another model.
    pub fn read(
        config: &OptimizerConfig,
        path: &Path,
        layout: impl IntoIterator<Item = TensorSpec>,
        device: &Device,
    ) -> Result<Self, OptimizerError> {
        let bytes = std::fs::read(path).map_err(|source| OptimizerError::File {
            path: path.into(),
            source,
        })?;
        let broken = |reason: String| OptimizerError::Format {
            path: path.into(),
            reason,
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| {
            broken(format!(
                "not a readable safetensors file ({error}); it may be cut off or damaged"
            ))
        })?;
        let mut state = BTreeMap::new();
        let mut known = 0;
        for spec in layout {
            // A parameter that never had a gradient has no state.
            if file.tensor(&format!("{}.{FIRST}", spec.name)).is_err() {
                continue;
            }
            known += 3;
            let moments = read_moments(&file, &spec, device).map_err(broken)?;
            state.insert(spec.name, moments);
        }
        if known != file.len() {
            return Err(broken(format!(
                "{} tensors where this model's optimizer has {known}; it belongs to another model",
                file.len()
            )));
        }
        Ok(Self {
            config: config.clone(),
            state,
        })
    }
}

const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
const UPDATES: &str = "updates";

fn read_moments(
    file: &SafeTensors<'_>,
    spec: &TensorSpec,
    device: &Device,
) -> Result<Moments, String> {
    let tensor = |suffix: &str, dtype: Dtype, shape: &[usize]| {
        let name = format!("{}.{suffix}", spec.name);
        let view = file
            .tensor(&name)
            .map_err(|_| format!("no tensor `{name}`"))?;
        if view.dtype() != dtype || view.shape() != shape {
            return Err(format!(
                "tensor `{name}` is {:?} {:?}, expected {dtype:?} {shape:?}",
                view.dtype(),
                view.shape()
            ));
        }
        Ok(view.data().to_vec())
    };
    let moment = |suffix: &str| -> Result<Tensor<1>, String> {
        let bytes = tensor(suffix, Dtype::F32, &spec.shape)?;
        let (words, _) = bytes.as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        let count = values.len();
        Ok(Tensor::from_data(TensorData::new(values, [count]), device))
    };
    let updates = tensor(UPDATES, Dtype::U64, &[1])?;
    let updates = updates
        .as_chunks::<8>()
        .0
        .first()
        .map_or(0, |&word| u64::from_le_bytes(word));
    Ok(Moments {
        shape: spec.shape.clone(),
        first: moment(FIRST)?,
        second: moment(SECOND)?,
        updates,
    })
}
