//! Random initial weights that depend on the seed alone.

use burn::tensor::{Device, Tensor, TensorData};
use kernels::random::Philox;

use crate::config::TransformerConfig;
use crate::function::FunctionParameter;
use crate::pass::{NoiseKey, OUTSIDE_BLOCKS, Purpose};
use crate::weights::{HostTensor, Weights, layout};

/// Standard deviation of weights, the seed's.
const DEVIATION: f64 = 0.02;

/// Makes normally distributed weights, one after the other.
pub(crate) struct Initializer<'a> {
    generator: Philox,
    position: u64,
    device: &'a Device,
}

impl<'a> Initializer<'a> {
    pub(crate) fn new(seed: u64, device: &'a Device) -> Self {
        let generator = NoiseKey { seed, step: 0 }.stream(Purpose::Initialization, OUTSIDE_BLOCKS);
        Self {
            generator,
            position: 0,
            device,
        }
    }

    /// A tensor from `N(0, deviation²)`.
    pub(crate) fn normal(&mut self, shape: [usize; 2], deviation: f64) -> Tensor<2> {
        let values = normal(
            &self.generator,
            &mut self.position,
            shape[0] * shape[1],
            deviation,
        );
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}

fn normal(generator: &Philox, position: &mut u64, count: usize, deviation: f64) -> Vec<f32> {
    let first = *position;
    *position += count.div_ceil(2) as u64;
    generator.normals(first, count, deviation)
}

/// Initial weights of a transformer: matrices from `N(0, 0.02²)`, the projections that write to
/// the residual stream from `N(0, 0.02² / (2 · layers))`, those of masks with a rank from
/// `N(0, 1 / inputs)`, norms 1, what mask functions learn as they say.
pub fn initial_weights(config: &TransformerConfig, seed: u64) -> Weights {
    let generator = NoiseKey { seed, step: 0 }.stream(Purpose::Initialization, OUTSIDE_BLOCKS);
    let mut position = 0;
    let residual = DEVIATION / ((2 * config.layers) as f64).sqrt();
    let projected = config
        .learned_dropout
        .as_ref()
        .is_some_and(|mask| mask.rank.is_some());
    layout(config)
        .map(|spec| {
            let count = spec.shape.iter().product();
            let writes_residual = spec.name.ends_with(".attention.output.weight")
                || spec.name.ends_with(".down.weight")
                || spec.name.ends_with(".experts.down");
            let values = if let Some(parameter) = of_function(config, &spec.name) {
                vec![parameter.initial as f32; count]
            } else if spec.shape.len() == 1 {
                vec![1.0; count]
            } else {
                let deviation = if writes_residual {
                    residual
                } else if projected && is_of_mask(&spec.name) {
                    // The cosine is flat at 0: masks would be slow to leave it.
                    (spec.shape[1] as f64).powf(-0.5)
                } else {
                    DEVIATION
                };
                normal(&generator, &mut position, count, deviation)
            };
            (
                spec.name,
                HostTensor {
                    shape: spec.shape,
                    values,
                },
            )
        })
        .collect()
}

/// Whether a tensor belongs to a learned mask alone.
fn is_of_mask(name: &str) -> bool {
    name.contains("learned_dropout.")
}

/// The parameter of the mask function that a tensor is, if it is one.
fn of_function(config: &TransformerConfig, name: &str) -> Option<FunctionParameter> {
    let mask = config.learned_dropout.as_ref()?;
    let (_, own) = name.split_once("learned_dropout.")?;
    let mut parameters = mask.function.parameters(1).into_iter();
    parameters.find(|parameter| parameter.name == own)
}

/// How much smaller than initial weights those are with which masks begin to keep everything.
const NEARLY_NOTHING: f32 = 0.1;

/// Weights of a transformer that continues another one: the tensors of that one, and masks, where
/// it has none, that begin by keeping everything: `M` is 1 but for a little that lets them learn.
///
/// `given` may lack no tensors but those of masks.
///
/// # Errors
/// The name of a tensor that is missing, of another shape, or of no use here.
pub fn continued_weights(
    config: &TransformerConfig,
    seed: u64,
    mut given: Weights,
) -> Result<Weights, String> {
    let mut weights = initial_weights(config, seed);
    for (name, tensor) in &mut weights {
        match given.remove(name) {
            Some(found) if found.shape == tensor.shape => *tensor = found,
            Some(found) => {
                return Err(format!(
                    "tensor `{name}` has shape {:?}, the configuration expects {:?}",
                    found.shape, tensor.shape
                ));
            }
            None if is_of_mask(name) => keep_all(name, tensor, config),
            None if name.starts_with("mask_embedding.") => {}
            None => return Err(format!("no tensor `{name}`")),
        }
    }
    match given.into_keys().next() {
        Some(name) => Err(format!(
            "tensor `{name}` has no place in this configuration"
        )),
        None => Ok(weights),
    }
}

/// Makes what a mask's attention gives out small, and its shift 0; other parameters of its function
/// stay initial.
fn keep_all(name: &str, tensor: &mut HostTensor, config: &TransformerConfig) {
    let projected = config
        .learned_dropout
        .as_ref()
        .is_some_and(|mask| mask.rank.is_some());
    let values = tensor.values.len();
    let shrunk = if name.ends_with(".shift") {
        tensor.values.fill(0.0);
        0..0
    } else if of_function(config, name).is_some() {
        0..0
    } else if name.ends_with(".output.weight") {
        0..values
    } else if projected {
        0..0
    } else {
        // The last third of queries, keys and values.
        values / 3 * 2..values
    };
    for value in &mut tensor.values[shrunk] {
        *value *= NEARLY_NOTHING;
    }
}
