//! Ordinary dropout.

use crate::level::levelled;
use crate::random::Philox;
use crate::uninitialized::from_chunks;

/// Elements that one thread works on at a time; whole blocks of random numbers.
const CHUNK: usize = 1 << 14;

/// Ordinary dropout: each element is 0 with probability `rate` and else divided by `1 - rate`, as its
/// position in the generator's stream decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// In [0, 1).
    pub rate: f64,
    /// Where the decisions come from.
    pub generator: Philox,
}

impl Dropout {
    /// Applies dropout in place; `first` is the position of the first value.
    pub(crate) fn apply(&self, values: &mut [f32], first: u64) {
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        // The smallest f32 of at least the rate: comparing with it is comparing with the rate.
        let rounded = self.rate as f32;
        let threshold = if f64::from(rounded) < self.rate {
            rounded.next_up()
        } else {
            rounded
        };
        let mut noise = [0.0; PART];
        for (index, values) in values.chunks_mut(PART).enumerate() {
            let noise = &mut noise[..values.len()];
            self.generator.units(first + (index * PART) as u64, noise);
            select(values, noise, threshold, scale);
        }
    }
}

/// Values whose noise is made together.
const PART: usize = 256;

levelled! {
    fn select(values: &mut [f32], noise: &[f32], threshold: f32, scale: f32) {
        for (value, &noise) in values.iter_mut().zip(noise) {
            *value *= if noise >= threshold { scale } else { 0.0 };
        }
    }
}

/// `x` after dropout. Applied to a gradient, this is the backward pass too.
pub fn forward(x: &[f32], dropout: Dropout) -> Vec<f32> {
    from_chunks(x.len(), CHUNK, |index, output| {
        let first = index * CHUNK;
        let chunk = first..first + output.len();
        let output = output.write_copy_of_slice(&x[chunk]);
        dropout.apply(output, first as u64);
        output
    })
}
