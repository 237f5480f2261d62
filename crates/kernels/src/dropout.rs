//! Ordinary dropout.

use crate::level::levelled;
use crate::random::Philox;
use crate::uninitialized::from_chunks;

/// Elements of one task: whole blocks of random numbers.
const CHUNK: usize = 1 << 14;

/// Ordinary dropout: an element is 0 with probability `rate`, else it is divided by `1 - rate`. The
/// number at its position in the generator's stream decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability of 0, in [0, 1).
    pub rate: f64,
    /// The source of the decisions.
    pub generator: Philox,
}

impl Dropout {
    /// Applies dropout to values. The first one has the position `first`.
    pub(crate) fn apply(&self, values: &mut [f32], first: u64) {
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        // The smallest f32 at or above the rate: comparing with it gives the same as comparing with
        // the rate.
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

/// Values whose noise is computed at once.
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
