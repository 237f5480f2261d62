//! The innermost loops: dot products of few inputs with rows of weights, and sums of rows.

use super::format::{Format, LANES};
use super::lanes::{Lanes, Portable};
use crate::level::Level;
use crate::prefetch::prefetch;

/// Inputs that are multiplied at once. Each further batch reads the weights again, from the cache.
pub(super) const INPUTS: usize = 4;

/// Rows that are read at once.
const ROWS: usize = 4;

/// The distance of prefetches, in bytes.
const AHEAD: usize = 2048;

/// How weights are read.
pub(super) trait Weight {
    /// Bytes of a weight.
    const BYTES: usize;

    /// Sixteen weights.
    ///
    /// # Safety
    /// The processor has the instructions of `L`, and there are sixteen weights at `from`.
    unsafe fn load<L: Lanes>(from: *const u8) -> L;
}

macro_rules! weights {
    ($($name:ident: $bytes:literal, $load:ident;)*) => {$(
        pub(super) struct $name;

        impl Weight for $name {
            const BYTES: usize = $bytes;

            #[inline(always)]
            unsafe fn load<L: Lanes>(from: *const u8) -> L {
                // SAFETY: the caller guarantees it.
                unsafe { L::$load(from.cast()) }
            }
        }
    )*};
}

weights! {
    F32: 4, load;
    Bf16: 2, load_bf16;
    F16: 2, load_f16;
}

/// Work that is compiled for each instruction set and format.
pub(super) trait Work {
    /// Does the work.
    ///
    /// # Safety
    /// The processor has the instructions of `L`, and the weights are of the format `W`.
    unsafe fn run<L: Lanes, W: Weight>(self);
}

/// Does work at the level in use.
///
/// # Safety
/// The weights of the work are of the format.
pub(super) unsafe fn compute(format: Format, work: impl Work) {
    /// # Safety
    /// The processor has the instructions of `L`, and the weights are of the format.
    #[inline(always)]
    unsafe fn any<L: Lanes>(format: Format, work: impl Work) {
        // SAFETY: the caller guarantees it.
        unsafe {
            match format {
                Format::F32 => work.run::<L, F32>(),
                Format::Bf16 => work.run::<L, Bf16>(),
                Format::F16 => work.run::<L, F16>(),
            }
        }
    }

    /// # Safety
    /// As above.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2(format: Format, work: impl Work) {
        // SAFETY: the caller guarantees it.
        unsafe { any::<super::lanes::Avx2>(format, work) }
    }

    /// # Safety
    /// As above.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn avx512(format: Format, work: impl Work) {
        // SAFETY: the caller guarantees it.
        unsafe { any::<super::lanes::Avx512>(format, work) }
    }

    // SAFETY: the processor has the instructions of the level in use; the caller guarantees the
    // format.
    unsafe {
        match Level::current() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(format, work),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Amx => avx512(format, work),
            _ => any::<Portable>(format, work),
        }
    }
}

/// Rows of weights, one after the other.
#[derive(Clone, Copy)]
pub(super) struct WeightBlock {
    pub(super) start: *const u8,
    pub(super) rows: usize,
    /// Weights of a row, a multiple of [`LANES`].
    pub(super) stride: usize,
}

impl WeightBlock {
    #[inline(always)]
    fn row<W: Weight>(&self, row: usize) -> *const u8 {
        self.start.wrapping_add(row * self.stride * W::BYTES)
    }
}

/// Calls `put(row, input, product)` with the dot product of each row and each input.
///
/// The bits of a product do not depend on the other products.
///
/// # Safety
/// The processor has the instructions of `L`. The block has weights of the format `W`. There are at
/// most [`INPUTS`] inputs, each as long as a row.
#[inline(always)]
pub(super) unsafe fn dots<L: Lanes, W: Weight>(
    block: WeightBlock,
    inputs: &[*const f32],
    mut put: impl FnMut(usize, usize, f32),
) {
    /// The products of some rows and inputs.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn some<L: Lanes, W: Weight, const U: usize, const T: usize>(
        rows: [*const u8; U],
        inputs: &[*const f32],
        length: usize,
    ) -> [[f32; T]; U] {
        let inputs: [*const f32; T] = std::array::from_fn(|t| inputs[t]);
        // SAFETY: the caller guarantees it.
        unsafe {
            let mut sums = [[L::zero(); T]; U];
            for place in (0..length).step_by(LANES) {
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let row = row.add(place * W::BYTES);
                    prefetch(row.wrapping_add(AHEAD));
                    let weights = W::load::<L>(row);
                    for (sum, input) in sums.iter_mut().zip(inputs) {
                        *sum = sum.multiply_add(L::load(input.add(place)), weights);
                    }
                }
            }
            let mut totals = [[0.0; T]; U];
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total = sum.sum();
                }
            }
            totals
        }
    }

    macro_rules! rows {
        ($rows:literal, $inputs:literal) => {{
            let whole = block.rows / $rows * $rows;
            for first in (0..whole).step_by($rows) {
                let rows = std::array::from_fn(|row| block.row::<W>(first + row));
                // SAFETY: the caller guarantees it.
                let totals = unsafe { some::<L, W, $rows, $inputs>(rows, inputs, block.stride) };
                for (row, totals) in totals.iter().enumerate() {
                    for (input, &total) in totals.iter().enumerate() {
                        put(first + row, input, total);
                    }
                }
            }
            for row in whole..block.rows {
                // SAFETY: the caller guarantees it.
                let [totals] = unsafe {
                    some::<L, W, 1, $inputs>([block.row::<W>(row)], inputs, block.stride)
                };
                for (input, &total) in totals.iter().enumerate() {
                    put(row, input, total);
                }
            }
        }};
    }

    // As many sums as fit into the registers of AVX2.
    match inputs.len() {
        0 => {}
        1 => rows!(4, 1),
        2 => rows!(2, 2),
        3 => rows!(2, 3),
        INPUTS => rows!(1, 4),
        count => unreachable!("{count} inputs"),
    }
}

/// Adds to each output the sum of the rows, each times its coefficient for that output.
///
/// - `coefficients`: `[outputs, rows]`; rows are added in their order
///
/// # Safety
/// The processor has the instructions of `L`. The block has weights of the format `W`. There are at
/// most [`INPUTS`] outputs, each as long as a row, to which nothing else refers.
#[inline(always)]
pub(super) unsafe fn add_rows<L: Lanes, W: Weight>(
    block: WeightBlock,
    coefficients: &[f32],
    outputs: &[*mut f32],
) {
    let (count, length) = (block.rows, block.stride);
    let row = |index| block.row::<W>(index);
    // SAFETY: the caller guarantees it.
    unsafe { add::<L, W, false>((count, length), row, row, coefficients, outputs) };
}

/// [`add_rows`] for some rows of the block. The others are not read.
///
/// - `coefficients`: `[outputs, listed]`
///
/// # Panics
/// If a row does not lie in the block.
///
/// # Safety
/// As for [`add_rows`].
#[inline(always)]
pub(super) unsafe fn add_listed_rows<L: Lanes, W: Weight>(
    block: WeightBlock,
    listed: &[u32],
    coefficients: &[f32],
    outputs: &[*mut f32],
) {
    assert!(
        listed.iter().all(|&row| (row as usize) < block.rows),
        "rows"
    );
    let row = |index: usize| block.row::<W>(listed[index] as usize);
    // The rows that are read next; after the last, those behind the block.
    let next = |index: usize| match listed.get(index + ROWS) {
        Some(&row) => block.row::<W>(row as usize),
        None => block.row::<W>(block.rows + index + ROWS - listed.len()),
    };
    // SAFETY: the rows lie in the block; the caller guarantees the rest.
    unsafe {
        add::<L, W, true>(
            (listed.len(), block.stride),
            row,
            next,
            coefficients,
            outputs,
        );
    }
}

/// Adds `count` rows of `length` weights, whose addresses `row` gives. Meanwhile loads into the cache
/// what is read next: if the rows are `LISTED`, the row that `next` gives for each, else the weights
/// behind it.
///
/// # Safety
/// As for [`add_rows`], with rows of the format `W` at the addresses.
#[inline(always)]
unsafe fn add<L: Lanes, W: Weight, const LISTED: bool>(
    (count, length): (usize, usize),
    row: impl Fn(usize) -> *const u8,
    next: impl Fn(usize) -> *const u8,
    coefficients: &[f32],
    outputs: &[*mut f32],
) {
    /// Adds some rows.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn some<L: Lanes, W: Weight, const LISTED: bool, const U: usize, const T: usize>(
        rows: [*const u8; U],
        next: [*const u8; U],
        coefficients: [*const f32; T],
        outputs: &[*mut f32],
        length: usize,
    ) {
        let outputs: [*mut f32; T] = std::array::from_fn(|t| outputs[t]);
        // SAFETY: the caller guarantees it.
        unsafe {
            for place in (0..length).step_by(LANES) {
                let mut weights = [L::zero(); U];
                for (weights, (row, next)) in weights.iter_mut().zip(rows.iter().zip(next)) {
                    let row = row.add(place * W::BYTES);
                    prefetch(if LISTED {
                        next.wrapping_add(place * W::BYTES)
                    } else {
                        row.wrapping_add(AHEAD)
                    });
                    *weights = W::load::<L>(row);
                }
                for (coefficients, output) in coefficients.iter().zip(outputs) {
                    let output = output.add(place);
                    let mut sum = L::load(output);
                    for (row, &weights) in weights.iter().enumerate() {
                        sum = sum.multiply_add(L::splat(coefficients.add(row)), weights);
                    }
                    sum.store(output);
                }
            }
        }
    }

    macro_rules! rows {
        ($inputs:literal) => {{
            let at = |row: usize| -> [*const f32; $inputs] {
                std::array::from_fn(|t| coefficients[t * count + row..].as_ptr())
            };
            let whole = count / ROWS * ROWS;
            for first in (0..whole).step_by(ROWS) {
                let rows = std::array::from_fn(|place| row(first + place));
                let next = std::array::from_fn(|place| next(first + place));
                let at = at(first);
                // SAFETY: the caller guarantees it.
                unsafe { some::<L, W, LISTED, ROWS, $inputs>(rows, next, at, outputs, length) };
            }
            for last in whole..count {
                let (rows, next, at) = ([row(last)], [next(last)], at(last));
                // SAFETY: the caller guarantees it.
                unsafe { some::<L, W, LISTED, 1, $inputs>(rows, next, at, outputs, length) };
            }
        }};
    }

    assert!(coefficients.len() >= outputs.len() * count, "coefficients");
    match outputs.len() {
        0 => {}
        1 => rows!(1),
        2 => rows!(2),
        3 => rows!(3),
        INPUTS => rows!(4),
        count => unreachable!("{count} outputs"),
    }
}
