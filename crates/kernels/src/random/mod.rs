//! Counter-based random numbers: Philox 4x32-10.
//!
//! A value depends only on its key and its position. Any thread can make any part of a noise tensor at
//! any time, with the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod philox;

use rayon::prelude::*;

#[cfg(any(test, target_arch = "x86_64"))]
use crate::level::Level;
use crate::uninitialized::from_chunks;
use philox::philox;
pub use philox::unit;

/// A stream of random numbers that can be read at any position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
}

impl Philox {
    /// Stream number `stream` of the generator with the key `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self {
            key: halves(seed),
            stream: halves(stream),
        }
    }

    /// The four numbers at position `counter`.
    #[inline]
    pub fn block(&self, counter: u64) -> [u32; 4] {
        let [low, high] = halves(counter);
        philox([low, high, self.stream[0], self.stream[1]], self.key)
    }

    /// The 32-bit number at `position`: element `position % 4` of block `position / 4`.
    #[inline]
    pub fn number(&self, position: u64) -> u32 {
        self.block(position / 4)[(position % 4) as usize]
    }

    /// Writes the numbers from `position` on as [units](unit()).
    pub(crate) fn units(&self, mut position: u64, values: &mut [f32]) {
        let begin = (position.wrapping_neg() % 4).min(values.len() as u64) as usize;
        let (head, rest) = values.split_at_mut(begin);
        for value in head {
            *value = unit(self.number(position));
            position += 1;
        }
        let done = self.units_of_eight_blocks(position / 4, rest);
        position += done as u64;
        for (block, values) in rest[done..].chunks_mut(4).enumerate() {
            let numbers = self.block(position / 4 + block as u64);
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = unit(number);
            }
        }
    }

    /// Writes the numbers from a block on as [units](unit()), eight whole blocks at a time. Gives how
    /// many it wrote; the caller writes the rest.
    #[cfg(target_arch = "x86_64")]
    fn units_of_eight_blocks(&self, first: u64, values: &mut [f32]) -> usize {
        if Level::current() < Level::Avx2 {
            return 0;
        }
        let (chunks, _) = values.as_chunks_mut();
        // SAFETY: the processor has AVX2 at this level.
        unsafe { avx2::units(chunks, self.key, self.stream, first) };
        chunks.len() * avx2::NUMBERS
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn units_of_eight_blocks(&self, _first: u64, _values: &mut [f32]) -> usize {
        0
    }

    /// A uniform integer in `[0, bound)` from the block at `counter`.
    ///
    /// Uses the high half of a 64-by-64-bit product, whose bias is at most `bound / 2⁶⁴`.
    ///
    /// # Panics
    /// If `bound` is 0: there is no such integer.
    pub fn below(&self, counter: u64, bound: u64) -> u64 {
        assert!(bound > 0, "a range without any integer");
        let [low, high, ..] = self.block(counter);
        let number = u64::from(low) | u64::from(high) << 32;
        ((u128::from(number) * u128::from(bound)) >> 64) as u64
    }

    /// A uniform value in [0, 1) with 53 bits from the block at `counter`.
    pub fn uniform(&self, counter: u64) -> f64 {
        let [low, high, ..] = self.block(counter);
        let number = u64::from(low) | u64::from(high) << 32;
        (number >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Two independent standard normal values from the block at `counter` (Box-Muller transform).
    pub fn normal_pair(&self, counter: u64) -> [f64; 2] {
        let [a, b, c, d] = self.block(counter);
        let unit = |low: u32, high: u32| {
            let number = u64::from(low) | u64::from(high) << 32;
            // In (0, 1]: the logarithm below must stay finite.
            ((number >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64)
        };
        let radius = (-2.0 * unit(a, b).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(c, d);
        [radius * angle.cos(), radius * angle.sin()]
    }

    /// The first `count` numbers as [units](fn@unit).
    pub fn first_units(&self, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        let parts = values.par_chunks_mut(UNITS).enumerate();
        parts.for_each(|(part, values)| self.units((part * UNITS) as u64, values));
        values
    }

    /// `count` normal values with a standard deviation, two from each block from `first` on.
    pub fn normals(&self, first: u64, count: usize, deviation: f64) -> Vec<f32> {
        from_chunks(count, NORMALS, |index, values| {
            let blocks = first + (index * NORMALS / 2) as u64..;
            for (values, block) in values.chunks_mut(2).zip(blocks) {
                for (value, normal) in values.iter_mut().zip(self.normal_pair(block)) {
                    value.write((normal * deviation) as f32);
                }
            }
            // SAFETY: there is a pair for every two elements.
            unsafe { values.assume_init_mut() }
        })
    }
}

/// Normal values of one task: an even number.
const NORMALS: usize = 1 << 14;

/// Units of one task: whole blocks.
const UNITS: usize = 1 << 16;

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Values from -1 to 1 for tests, from a stream of their own.
#[cfg(test)]
pub(crate) fn values(count: usize, stream: u64) -> Vec<f32> {
    let generator = Philox::new(5, stream);
    let value = |index| 2.0 * unit(generator.number(index as u64)) - 1.0;
    (0..count).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_units_are_the_single_numbers() {
        let generator = Philox::new(0x1234_5678_9ABC_DEF0, 77);
        let compare = || {
            for first in [0, 1, 2, 3, 4, 4 * (u64::from(u32::MAX) - 2) + 1] {
                for count in [0, 1, 5, 31, 32, 33, 70, 200] {
                    let mut values = vec![-1.0; count];
                    generator.units(first, &mut values);
                    for (i, &value) in values.iter().enumerate() {
                        assert_eq!(
                            value,
                            unit(generator.number(first + i as u64)),
                            "{first} + {i}"
                        );
                    }
                }
            }
        };
        Level::available().for_each(|level| level.run_on(1, compare));
    }

    #[test]
    fn first_units_are_the_single_numbers() {
        let generator = Philox::new(5, 2);
        for count in [0, 1, 9, UNITS, 2 * UNITS + 5] {
            let values = generator.first_units(count);
            assert_eq!(values.len(), count);
            for (i, &value) in values.iter().enumerate() {
                assert_eq!(value, unit(generator.number(i as u64)), "{i} of {count}");
            }
        }
    }

    #[test]
    fn many_normal_values_are_the_single_pairs() {
        let generator = Philox::new(5, 1);
        for count in [0, 1, 7, NORMALS, 2 * NORMALS + 3] {
            let values = generator.normals(11, count, 0.02);
            assert_eq!(values.len(), count);
            for (i, &value) in values.iter().enumerate() {
                let normal = generator.normal_pair(11 + i as u64 / 2)[i % 2];
                assert_eq!(value, (normal * 0.02) as f32, "{i} of {count}");
            }
        }
    }

    #[test]
    fn normal_values_have_mean_zero_and_variance_one() {
        let generator = Philox::new(7, 3);
        let values: Vec<f64> = (0..50_000).flat_map(|i| generator.normal_pair(i)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // Standard errors: 1/sqrt(1e5) = 0.0032 and sqrt(2/1e5) = 0.0045; five of each.
        assert!(mean.abs() < 0.016, "{mean}");
        assert!((variance - 1.0).abs() < 0.023, "{variance}");
    }

    #[test]
    fn bounded_integers_stay_below_their_bound() {
        let generator = Philox::new(1, 0);
        let mut seen = [0usize; 7];
        for counter in 0..7000 {
            seen[generator.below(counter, 7) as usize] += 1;
        }
        // A binomial count of mean 1000 and deviation 29.3; five deviations.
        assert!(
            seen.iter().all(|&count| (853..1147).contains(&count)),
            "{seen:?}"
        );
    }
}
