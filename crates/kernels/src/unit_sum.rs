//! The sum of the hidden units that are kept, for penalties on it.

use crate::lane_sums::{LANES, sum_of_lanes};
use crate::level::levelled;

/// The sum of the hidden units of all tokens after the activation function and before the factors
/// of their groups, and how many of them are not 0. Units whose factor is 0 do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnitSum {
    /// The sum of the units.
    pub sum: f32,
    /// How many units are not 0.
    pub not_zero: usize,
}

impl UnitSum {
    /// Of some units, all of them kept.
    pub(crate) fn of(units: &[f32]) -> Self {
        sum_kept(units, &[1.0], units.len().max(1))
    }

    /// Of the units of the groups whose factor is not 0. There are `group` units for each factor.
    pub(crate) fn of_kept(units: &[f32], factors: &[f32], group: usize) -> Self {
        sum_kept(units, factors, group)
    }

    /// The sum of parts, added in their order.
    pub(crate) fn total(parts: impl IntoIterator<Item = Self>) -> Self {
        let (mut sum, mut not_zero) = (0.0, 0);
        for part in parts {
            sum += f64::from(part.sum);
            not_zero += part.not_zero;
        }
        Self {
            sum: sum as f32,
            not_zero,
        }
    }
}

/// A sum in independent lanes, which compilers vectorize.
#[derive(Clone, Copy)]
struct LaneSums {
    sums: [f32; LANES],
    not_zero: [u32; LANES],
}

impl LaneSums {
    /// Adds up to a unit to each lane.
    #[inline(always)]
    fn add(&mut self, units: impl Iterator<Item = f32>) {
        let lanes = self.sums.iter_mut().zip(&mut self.not_zero);
        for ((sum, not_zero), unit) in lanes.zip(units) {
            *sum += unit;
            *not_zero += u32::from(unit != 0.0);
        }
    }

    /// Adds all units.
    #[inline(always)]
    fn add_all(&mut self, units: &[f32]) {
        let (whole, rest) = units.as_chunks::<LANES>();
        for units in whole {
            self.add(units.iter().copied());
        }
        self.add(rest.iter().copied());
    }
}

levelled! {
    fn sum_kept(units: &[f32], factors: &[f32], group: usize) -> UnitSum {
        let mut lanes = LaneSums { sums: [0.0; LANES], not_zero: [0; LANES] };
        if group == 1 {
            let kept = |(&unit, &factor): (&f32, &f32)| if factor == 0.0 { 0.0 } else { unit };
            let (whole, rest) = units.as_chunks::<LANES>();
            let (factors, rest_factors) = factors.as_chunks::<LANES>();
            for (units, factors) in whole.iter().zip(factors) {
                lanes.add(units.iter().zip(factors).map(kept));
            }
            lanes.add(rest.iter().zip(rest_factors).map(kept));
        } else {
            for (units, &factor) in units.chunks(group).zip(factors) {
                if factor != 0.0 {
                    lanes.add_all(units);
                }
            }
        }
        UnitSum {
            // In pairs: compilers make additions of single lanes of a sum in the order of the lanes.
            sum: sum_of_lanes(lanes.sums),
            not_zero: lanes.not_zero.iter().map(|&count| count as usize).sum(),
        }
    }
}

levelled! {
    /// Adds a number to the units of each group whose factor is not 0.
    pub(crate) fn add_to_kept(units: &mut [f32], factors: &[f32], group: usize, number: f32) {
        if group == 1 {
            for (unit, &factor) in units.iter_mut().zip(factors) {
                *unit += if factor == 0.0 { 0.0 } else { number };
            }
            return;
        }
        for (units, &factor) in units.chunks_exact_mut(group).zip(factors) {
            if factor != 0.0 {
                for unit in units {
                    *unit += number;
                }
            }
        }
    }
}

/// Adds a number to all units.
pub(crate) fn add_to_all(units: &mut [f32], number: f32) {
    let count = units.len().max(1);
    add_to_kept(units, &[1.0], count, number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    /// Whole numbers, whose sums in f32 are exact.
    #[test]
    fn kept_units_are_summed_and_counted() {
        for (count, group) in [
            (0, 1),
            (1, 1),
            (40, 1),
            (99, 3),
            (200, 40),
            (64, 16),
            (17, 17),
        ] {
            let units: Vec<f32> = (0..count).map(|i| (i % 5) as f32 - 1.0).collect();
            let factors: Vec<f32> = (0..count / group).map(|g| (g % 3) as f32 * 0.5).collect();
            let kept = |unit: &usize| factors[unit / group] != 0.0;
            let kept: Vec<f32> = (0..count).filter(kept).map(|unit| units[unit]).collect();
            let expected = |units: &[f32]| UnitSum {
                sum: units.iter().sum(),
                not_zero: units.iter().filter(|unit| **unit != 0.0).count(),
            };
            let check = || {
                assert_eq!(UnitSum::of_kept(&units, &factors, group), expected(&kept));
                assert_eq!(UnitSum::of(&units), expected(&units));
                let mut more = units.clone();
                add_to_kept(&mut more, &factors, group, 2.0);
                for (unit, (more, before)) in more.iter().zip(&units).enumerate() {
                    let added = if factors[unit / group] == 0.0 {
                        0.0
                    } else {
                        2.0
                    };
                    assert_eq!(*more, before + added);
                }
            };
            Level::available().for_each(|level| level.run_on(1, check));
        }
    }

    /// In f32, 2²⁴ + 1 is 2²⁴.
    #[test]
    fn parts_are_added_in_higher_precision() {
        let part = |sum| UnitSum { sum, not_zero: 1 };
        let total = UnitSum::total([part(16_777_216.0), part(1.0), part(1.0)]);
        assert_eq!(
            total,
            UnitSum {
                sum: 16_777_218.0,
                not_zero: 3
            }
        );
    }
}
