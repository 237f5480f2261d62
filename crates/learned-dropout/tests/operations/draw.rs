//! Random sizes, numbers and tensors.

use std::ops::Range;

use kernels::random::{Philox, unit};

use crate::differentiate::Input;
use crate::support::values;

/// Random choices that depend only on a seed.
pub struct Draw {
    seed: u64,
    position: u64,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self { seed, position: 0 }
    }

    fn next(&mut self) -> u64 {
        self.position += 1;
        self.position
    }

    /// A whole number in the range.
    pub fn size(&mut self, range: Range<usize>) -> usize {
        let generator = Philox::new(self.seed, 1);
        let count = (range.end - range.start) as u64;
        range.start + generator.below(self.next(), count) as usize
    }

    /// A number in the range.
    pub fn number(&mut self, range: Range<f32>) -> f32 {
        let share = unit(Philox::new(self.seed, 2).number(self.next()));
        range.start + share * (range.end - range.start)
    }

    pub fn yes(&mut self) -> bool {
        self.size(0..2) == 1
    }

    /// A share in [0, 1]; often one of its ends.
    pub fn share(&mut self) -> f32 {
        match self.size(0..3) {
            0 => 0.0,
            1 => 1.0,
            _ => self.number(0.0..1.0),
        }
    }

    /// A generator for the noise of an operation.
    pub fn generator(&mut self) -> Philox {
        Philox::new(self.seed, 100 + self.next())
    }

    /// Normally distributed values.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D]) -> Input {
        let seed = self.seed.wrapping_mul(1 << 10).wrapping_add(self.next());
        Input::new(values(shape.iter().product(), seed), shape)
    }

    /// Factors of a mask. A share of about `kept` is 1 or, if not `binary`, any number; the others are 0.
    pub fn factors<const D: usize>(&mut self, shape: [usize; D], kept: f32, binary: bool) -> Input {
        let generator = self.generator();
        self.normal(shape).map_with_index(|index, value| {
            match unit(generator.number(index as u64)) < kept {
                true if binary => 1.0,
                true => value,
                false => 0.0,
            }
        })
    }
}
