//! How the values of a mask are distributed: all statistics in one pass.

use rayon::prelude::*;

use crate::level::levelled;
use crate::mask::{Keep, ROWS, add_rows, check, entropy_sum, round, write};
use crate::scratch::scratch;
use crate::uninitialized::as_uninit;
use crate::update::sum_of_squares_chunk;

/// Rows that go through all steps together, so that they stay in a near cache. Divides [`ROWS`]; a
/// multiple of [`SIDES`], so that they begin with whole words of sides.
const TOGETHER: usize = 16;

/// Sides in one word.
pub const SIDES: usize = u16::BITS as usize;

/// The statistics of a mask `M` with rows of values, one row a token. All but the sides are means and
/// shares from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskStatistics {
    /// The mean of the rounded mask; NaN if `M` has a NaN.
    pub kept: f32,
    /// Share of `M > 0.9`.
    pub near_one: f32,
    /// Share of `M < 0.1`.
    pub near_zero: f32,
    /// Mean of `−M log₂(M + 1e-9)`.
    pub entropy: f32,
    /// Mean of `M² / 2`.
    pub squared: f32,
    /// Share of the values of a row that no row keeps.
    pub never_kept: f32,
    /// Share of the values of a row that every row keeps.
    pub always_kept: f32,
    /// Which elements are at least 0.5: bit `i mod 16` of word `i / 16` is 1 where element `i` is. The
    /// bits after the last element are 0.
    pub sides: Vec<u16>,
}

/// Measures the mask `0.5 cos(attended + shift) + 0.5`, whose rows have `shift.len()` values.
///
/// # Panics
/// If the lengths do not fit, or the mask is empty.
pub fn of_cosine(attended: &[f32], shift: &[f32], keep: Keep) -> MaskStatistics {
    check(attended.len(), attended, shift);
    let (block, together) = (ROWS * shift.len(), TOGETHER * shift.len());
    let blocks = attended.par_chunks(block).enumerate();
    let parts = blocks.map(|(index, attended)| {
        let mut part = Part::new(shift.len());
        let [mut masks, mut kept] = [(); 2].map(|()| scratch(together.min(attended.len())));
        for (number, attended) in attended.chunks(together).enumerate() {
            let (masks, kept) = (&mut masks[..attended.len()], &mut kept[..attended.len()]);
            // SAFETY: all values that are written are initialized.
            let masks = write(unsafe { as_uninit(masks) }, attended, shift);
            kept.copy_from_slice(masks);
            round(kept, keep, index * block + number * together);
            part.add(masks, kept);
        }
        part
    });
    Part::combine(parts.collect(), attended.len())
}

/// Measures a mask `M` that is rounded to `kept`, with rows of `width` values.
///
/// # Panics
/// If the lengths do not fit, or the mask is empty.
pub fn of_values(masks: &[f32], kept: &[f32], width: usize) -> MaskStatistics {
    assert_eq!(masks.len(), kept.len(), "one rounded value per element");
    assert!(
        width > 0 && masks.len().is_multiple_of(width),
        "whole rows of values"
    );
    let (block, together) = (ROWS * width, TOGETHER * width);
    let blocks = masks.par_chunks(block).zip(kept.par_chunks(block));
    let parts = blocks.map(|(masks, kept)| {
        let mut part = Part::new(width);
        for (masks, kept) in masks.chunks(together).zip(kept.chunks(together)) {
            part.add(masks, kept);
        }
        part
    });
    Part::combine(parts.collect(), masks.len())
}

/// The share of `count` elements whose sides differ between two masks.
///
/// # Panics
/// If the lengths differ.
pub fn differing_share(left: &[u16], right: &[u16], count: usize) -> f32 {
    assert_eq!(left.len(), right.len());
    let words = left.iter().zip(right);
    let differing: u64 = words
        .map(|(left, right)| u64::from((left ^ right).count_ones()))
        .sum();
    (differing as f64 / count as f64) as f32
}

/// The sums over a block of rows.
struct Part {
    rows: usize,
    near_one: u64,
    near_zero: u64,
    entropy: f64,
    squares: f64,
    /// The rows that keep each value, up to [`ROWS`].
    kept: Vec<f32>,
    sides: Vec<u16>,
}

impl Part {
    fn new(width: usize) -> Self {
        Self {
            rows: 0,
            near_one: 0,
            near_zero: 0,
            entropy: 0.0,
            squares: 0.0,
            kept: vec![0.0; width],
            sides: Vec::with_capacity(ROWS * width / SIDES),
        }
    }

    fn add(&mut self, masks: &[f32], kept: &[f32]) {
        let [near_one, near_zero] = near_ends(masks);
        self.near_one += near_one;
        self.near_zero += near_zero;
        self.entropy += entropy_sum(masks);
        self.squares += sum_of_squares_chunk(masks);
        add_rows(&mut self.kept, kept);
        add_sides(&mut self.sides, masks);
        self.rows += masks.len() / self.kept.len();
    }

    /// The statistics of all blocks, `count` elements. The order of additions does not depend on the
    /// number of threads.
    fn combine(parts: Vec<Self>, count: usize) -> MaskStatistics {
        assert!(count > 0, "a mean of nothing");
        let width = parts[0].kept.len();
        let mut kept = vec![0.0; width];
        for part in &parts {
            for (sum, &value) in kept.iter_mut().zip(&part.kept) {
                *sum += f64::from(value);
            }
        }
        let rows: usize = parts.iter().map(|part| part.rows).sum();
        let share = |of: fn(&Self) -> u64| parts.iter().map(of).sum::<u64>() as f64 / count as f64;
        let mean = |of: fn(&Self) -> f64| parts.iter().map(of).sum::<f64>() / count as f64;
        let of_values = |number: usize| number as f64 / width as f64;
        let never_kept = kept.iter().filter(|&&rows| rows == 0.0).count();
        let always_kept = kept.iter().filter(|&&kept| kept == rows as f64).count();
        MaskStatistics {
            kept: (kept.iter().sum::<f64>() / count as f64) as f32,
            near_one: share(|part| part.near_one) as f32,
            near_zero: share(|part| part.near_zero) as f32,
            entropy: mean(|part| part.entropy) as f32,
            squared: mean(|part| 0.5 * part.squares) as f32,
            never_kept: of_values(never_kept) as f32,
            always_kept: of_values(always_kept) as f32,
            sides: parts.into_iter().flat_map(|part| part.sides).collect(),
        }
    }
}

levelled! {
    /// How many masks are above 0.9, and how many below 0.1.
    fn near_ends(masks: &[f32]) -> [u64; 2] {
        // Counts of 32 bits are vectors as wide as the masks.
        let (mut near_one, mut near_zero) = (0u32, 0u32);
        for &mask in masks {
            near_one += u32::from(mask > 0.9);
            near_zero += u32::from(mask < 0.1);
        }
        [near_one.into(), near_zero.into()]
    }
}

levelled! {
    /// Adds words of sides.
    fn add_sides(sides: &mut Vec<u16>, masks: &[f32]) {
        let (words, rest) = masks.as_chunks::<SIDES>();
        for word in words {
            let mut bits = 0;
            for (place, &mask) in word.iter().enumerate() {
                bits |= u16::from(mask >= 0.5) << place;
            }
            sides.push(bits);
        }
        if !rest.is_empty() {
            let bits = rest.iter().enumerate();
            let bits = bits.map(|(place, &mask)| u16::from(mask >= 0.5) << place);
            sides.push(bits.fold(0, |word, bit| word | bit));
        }
    }
}
