//! Random initial weights that depend only on the seed.

use kernels::random::Philox;

use crate::config::TransformerConfig;
use crate::layout::layout;
use crate::mask_control::{ControlOver, MaskControl, THRESHOLD};
use crate::pass::{NoiseKey, OUTSIDE_BLOCKS, Purpose};
use crate::site::Site;
use crate::tensor_spec::{TensorRole, TensorSpec};
use crate::weights::{HostTensor, Weights};

/// Standard deviation of initial weights in the original write-up.
pub const DEVIATION: f64 = 0.02;

/// The standard deviation of a matrix whose outputs have the same variance as its inputs.
///
/// The matrices of masks with a rank start with it. With smaller matrices a mask would start near the
/// maximum of the cosine, where the slope is 0, and would learn slowly.
pub fn scale_preserving_deviation(inputs: usize) -> f64 {
    (inputs as f64).powf(-0.5)
}

/// Generates normally distributed values, one tensor after the other.
#[derive(Debug)]
pub struct NormalValues {
    generator: Philox,
    position: u64,
}

impl NormalValues {
    /// Starts at the first value for a seed.
    pub fn new(seed: u64) -> Self {
        let key = NoiseKey { seed, step: 0 };
        Self {
            generator: key.stream(Purpose::Initialization, OUTSIDE_BLOCKS),
            position: 0,
        }
    }

    /// The next `count` values, from `N(0, deviation²)`.
    pub fn next(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        let first = self.position;
        self.position += count.div_ceil(2) as u64;
        self.generator.normals(first, count, deviation)
    }
}

/// Initial weights of a transformer: matrices from `N(0, 0.02²)`, the projections that write to
/// the residual stream from `N(0, 0.02² / (2 · layers))`, those of masks with a rank from
/// `N(0, 1 / inputs)`, norms 1, thresholds 0, and the parameters of mask functions with the values that those
/// define.
pub fn initial_weights(config: &TransformerConfig, seed: u64) -> Weights {
    let mut normal = NormalValues::new(seed);
    let residual = DEVIATION / ((2 * config.layers) as f64).sqrt();
    let mut initial = |spec: &TensorSpec| -> Vec<f32> {
        let count = spec.shape.iter().product();
        let deviation = match spec.role {
            TensorRole::NormScale => return vec![1.0; count],
            TensorRole::MaskFunction(parameter) => return vec![parameter.initial as f32; count],
            TensorRole::MaskThreshold => return vec![0.0; count],
            TensorRole::ResidualProjection => residual,
            TensorRole::MaskAttention { deviation, .. }
            | TensorRole::MaskProjection { deviation } => deviation,
            TensorRole::Weight | TensorRole::MaskEmbedding => DEVIATION,
        };
        normal.next(count, deviation)
    };
    layout(config)
        .map(|spec| {
            let values = initial(&spec);
            let TensorSpec { name, shape, .. } = spec;
            (name, HostTensor { shape, values })
        })
        .collect()
}

/// The factor of a new mask's weights in a continued model. It makes `z` small, so that `M` starts near 1
/// and the mask keeps everything.
const NEARLY_OPEN_SCALE: f32 = 0.1;

/// Weights of a transformer that continues another one. It takes the tensors of the other one, `given`. If
/// that has no masks, it adds masks that start by keeping everything: `M` is slightly below 1, so that
/// they can learn.
///
/// `given` must contain all tensors except those of masks.
///
/// # Errors
/// Names a tensor that is missing, has another shape, or does not belong to the configuration.
pub fn continued_weights(
    config: &TransformerConfig,
    seed: u64,
    mut given: Weights,
) -> Result<Weights, String> {
    let mut weights = initial_weights(config, seed);
    for TensorSpec { name, role, .. } in layout(config) {
        let tensor = weights
            .get_mut(&name)
            .expect("initial weights hold the whole layout");
        match given.remove(&name) {
            Some(found) if found.shape == tensor.shape => *tensor = found,
            Some(found) => {
                return Err(format!(
                    "tensor `{name}` has shape {:?}, the configuration expects {:?}",
                    found.shape, tensor.shape
                ));
            }
            None if role.belongs_to_one_mask() => keep_all(role, tensor),
            None if role == TensorRole::MaskEmbedding => {}
            None => return Err(format!("no tensor `{name}`")),
        }
    }
    if let Some(name) = given.into_keys().next() {
        return Err(format!(
            "tensor `{name}` has no place in this configuration"
        ));
    }
    share_thresholds(config, &mut weights);
    Ok(weights)
}

/// Gives the masks of a site that share one threshold the mean of theirs.
fn share_thresholds(config: &TransformerConfig, weights: &mut Weights) {
    for site in Site::ALL.into_iter().filter(|site| site.is_in_blocks()) {
        let control = config.masks_at(site).and_then(|masks| masks.control);
        let Some(MaskControl::Threshold(control)) = control else {
            continue;
        };
        if control.over != ControlOver::Site {
            continue;
        }
        let names: Vec<String> = (0..config.layers)
            .map(|layer| format!("{}.{THRESHOLD}", site.tensor_prefix(layer)))
            .collect();
        let thresholds = names.iter().filter_map(|name| weights.get(name));
        let thresholds: Vec<f32> = thresholds.map(|tensor| tensor.values[0]).collect();
        let mean = thresholds.iter().sum::<f32>() / thresholds.len() as f32;
        for name in names {
            if let Some(tensor) = weights.get_mut(&name) {
                tensor.values.fill(mean);
            }
        }
    }
}

/// Makes the output of a mask's generator small and gives the parameters of its function values with which it
/// is nearly 1. A threshold keeps its initial value.
fn keep_all(role: TensorRole, tensor: &mut HostTensor) {
    let values = &mut tensor.values[..];
    let shrunk = match role {
        TensorRole::MaskFunction(parameter) => {
            values.fill(parameter.nearly_open as f32);
            return;
        }
        TensorRole::MaskProjection { .. } => values,
        // Only the value projection: the last third of queries, keys and values. It is enough to shrink the
        // projection after the attention, where there is one.
        TensorRole::MaskAttention {
            makes_values: true, ..
        } => {
            let first = values.len() / 3 * 2;
            &mut values[first..]
        }
        _ => return,
    };
    for value in shrunk {
        *value *= NEARLY_OPEN_SCALE;
    }
}
