//! Counter-based random numbers: Philox 4x32-10.
//!
//! A value depends on its key and its position alone, so any part of a noise tensor can be made
//! at any time, by any thread, with the same bits.
//! From Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).

#[cfg(target_arch = "x86_64")]
mod lanes;

#[cfg(any(test, target_arch = "x86_64"))]
use crate::level::Level;
use crate::uninitialized::from_chunks;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// A stream of random numbers that can be read at any position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
}

impl Philox {
    /// The stream numbered `stream` of the generator keyed by `seed`.
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

    /// The numbers from `position` on as [units](unit).
    pub(crate) fn units(&self, mut position: u64, values: &mut [f32]) {
        let begin = (position.wrapping_neg() % 4).min(values.len() as u64) as usize;
        let (head, rest) = values.split_at_mut(begin);
        for value in head {
            *value = unit(self.number(position));
            position += 1;
        }
        let done = self.many_units(position / 4, rest);
        position += done as u64;
        for (block, values) in rest[done..].chunks_mut(4).enumerate() {
            let numbers = self.block(position / 4 + block as u64);
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = unit(number);
            }
        }
    }

    /// The numbers from a block on as [units](unit), as many as can be made many at a time: gives how many.
    #[cfg(target_arch = "x86_64")]
    fn many_units(&self, first: u64, values: &mut [f32]) -> usize {
        if Level::current() < Level::Avx2 {
            return 0;
        }
        let (chunks, _) = values.as_chunks_mut();
        // SAFETY: the processor has AVX2 at this level.
        unsafe { lanes::units(chunks, *self, first) };
        chunks.len() * lanes::NUMBERS
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn many_units(&self, _first: u64, _values: &mut [f32]) -> usize {
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

    /// Two independent standard normal values from the block at `counter` (Box and Muller).
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

/// Normal values that a thread makes at a time: an even number.
const NORMALS: usize = 1 << 14;

/// The smallest unit that is not 0.
const UNIT: f32 = 1.0 / (1u32 << 24) as f32;

/// A uniform value in [0, 1) with 24 bits: every value is exact in f32.
#[inline]
pub fn unit(number: u32) -> f32 {
    (number >> 8) as f32 * UNIT
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

#[inline]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [
            key[0].wrapping_add(KEY_STEPS[0]),
            key[1].wrapping_add(KEY_STEPS[1]),
        ];
    }
    counter
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

    /// Known answers of the authors' own test vectors (Random123, `kat_vectors`).
    #[test]
    fn matches_the_published_test_vectors() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

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
    fn units_are_below_one() {
        assert_eq!(unit(0), 0.0);
        assert!(unit(u32::MAX) < 1.0);
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
