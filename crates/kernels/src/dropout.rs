//! Ordinary dropout.

use rayon::prelude::*;

use crate::random::{Philox, unit};
use crate::scratch::uninitialized;

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
        let (mut index, mut numbers) = (u64::MAX, [0; 4]);
        for (column, value) in values.iter_mut().enumerate() {
            let position = first + column as u64;
            if position / 4 != index {
                index = position / 4;
                numbers = self.generator.block(index);
            }
            let number = numbers[(position % 4) as usize];
            *value *= if f64::from(unit(number)) >= self.rate {
                scale
            } else {
                0.0
            };
        }
    }
}

/// `x` after dropout. Applied to a gradient, this is the backward pass too.
pub fn forward(x: &[f32], dropout: Dropout) -> Vec<f32> {
    // SAFETY: every chunk is overwritten by a copy before it is changed.
    let mut output = unsafe { uninitialized(x.len()) };
    output
        .par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .enumerate()
        .for_each(|(index, (output, x))| {
            output.copy_from_slice(x);
            dropout.apply(output, (index * CHUNK) as u64);
        });
    output
}
