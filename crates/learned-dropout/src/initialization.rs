//! Random initial weights that depend on the seed alone.

use burn::tensor::{Device, Tensor, TensorData};
use kernels::random::Philox;

use crate::config::TransformerConfig;
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
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        values.extend(
            generator
                .normal_pair(*position)
                .map(|value| (value * deviation) as f32),
        );
        *position += 1;
    }
    values.truncate(count);
    values
}

/// Initial weights of a transformer: matrices from `N(0, 0.02²)`, the projections that write to
/// the residual stream from `N(0, 0.02² / (2 · layers))`, norms 1, shifts `shift_init`.
pub fn initial_weights(config: &TransformerConfig, seed: u64) -> Weights {
    let generator = NoiseKey { seed, step: 0 }.stream(Purpose::Initialization, OUTSIDE_BLOCKS);
    let mut position = 0;
    let residual = DEVIATION / ((2 * config.layers) as f64).sqrt();
    let shift = config
        .learned_dropout
        .as_ref()
        .map_or(0.0, |mask| mask.function.shift_init());
    layout(config)
        .map(|spec| {
            let count = spec.shape.iter().product();
            let writes_residual = spec.name.ends_with(".attention.output.weight")
                || spec.name.ends_with(".down.weight")
                || spec.name.ends_with(".experts.down");
            let values = if spec.name.ends_with(".shift") {
                vec![shift as f32; count]
            } else if spec.shape.len() == 1 {
                vec![1.0; count]
            } else {
                let deviation = if writes_residual { residual } else { DEVIATION };
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
