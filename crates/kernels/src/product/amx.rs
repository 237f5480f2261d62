//! Products of bf16 pairs with the tile unit of AMX, with f32 sums.
//!
//! Four of the eight tiles hold 32 × 32 sums, two hold 2 × 16 rows of the left operand, and two
//! hold 2 × 16 columns of the right one, each for 32 terms at a time. Rust has no stable intrinsics
//! for the instructions yet, so this file uses inline assembly.

use std::arch::asm;
use std::cell::Cell;

/// Rows and columns of the sums of one call.
pub(super) const BLOCK: usize = 32;
/// Pairs of one step.
pub(super) const PAIRS: usize = 16;
/// Pairs of a tile.
const TILE: usize = 16 * PAIRS;
/// Bytes of a row of a tile.
const ROW: usize = 4 * PAIRS;

/// Tile shapes in the layout that `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

thread_local! {
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// Gives all eight tiles of this thread 16 rows of 64 bytes. Does so once for each thread.
///
/// # Safety
/// The level [`Amx`](crate::level::Level::Amx) is available.
unsafe fn configure() {
    if CONFIGURED.replace(true) {
        return;
    }
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    row_bytes[..8].fill(64);
    rows[..8].fill(16);
    let shapes = Shapes {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes,
        rows,
    };
    // SAFETY: the caller guarantees that tiles can be used; the configuration is 64 valid bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) };
}

/// A product of 32 rows and 32 columns, or of only 16 rows or columns.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Steps of 16 pairs.
    pub(super) steps: usize,
    /// A tile of the left operand for each step, one after the other. The tiles of the other 16
    /// rows, if there are any, begin `left_steps` tiles later.
    pub(super) left: *const f32,
    pub(super) left_steps: usize,
    /// Pair `k` of the right operand, for 16 columns, is at `k · right_row`. The other 16 columns,
    /// if there are any, are `right_other` values away.
    pub(super) right: *const f32,
    pub(super) right_row: usize,
    pub(super) right_other: usize,
    /// The sums, with rows `output_row` apart. The sums of the other columns are `output_other`
    /// values away.
    pub(super) output: *mut f32,
    pub(super) output_row: usize,
    pub(super) output_other: usize,
    /// Whether the sums are added to the values of the output.
    pub(super) accumulate: bool,
    /// Whether there are 32 rows instead of 16.
    pub(super) both_rows: bool,
    /// Whether there are 32 columns instead of 16.
    pub(super) both_columns: bool,
}

/// Eight tiles of 16 rows of 64 bytes.
///
/// # Safety
/// A method may be called only if the implementation can run, with a tile below 8, and with an
/// address that is valid for 16 rows of 64 bytes, `stride` bytes apart.
pub(super) trait Tiles {
    unsafe fn zero<const TILE: usize>(&mut self);
    unsafe fn load<const TILE: usize>(&mut self, from: *const f32, stride: usize);
    unsafe fn store<const TILE: usize>(&self, to: *mut f32, stride: usize);
    /// `sums += left · right` of pairs.
    unsafe fn multiply_add<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self);
}

/// The tiles of the processor, for this thread. The compiler does not use them, so they keep their
/// values between statements.
pub(super) struct Hardware(());

impl Hardware {
    /// The tiles, configured.
    ///
    /// # Safety
    /// The level [`Amx`](crate::level::Level::Amx) is available.
    #[inline(always)]
    pub(super) unsafe fn configured() -> Self {
        // SAFETY: the caller guarantees it.
        unsafe { configure() };
        Self(())
    }
}

// SAFETY of all methods: a value exists only if the processor has tiles, and these are configured;
// the trait demands valid addresses.
impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn zero<const TILE: usize>(&mut self) {
        // SAFETY: see above.
        unsafe { asm!("tilezero tmm{tile}", tile = const TILE, options(nostack, nomem)) };
    }

    #[inline(always)]
    unsafe fn load<const TILE: usize>(&mut self, from: *const f32, stride: usize) {
        // SAFETY: see above.
        unsafe {
            asm!(
                "tileloadd tmm{tile}, [{from} + {stride}*1]",
                tile = const TILE, from = in(reg) from, stride = in(reg) stride,
                options(nostack, readonly)
            );
        }
    }

    #[inline(always)]
    unsafe fn store<const TILE: usize>(&self, to: *mut f32, stride: usize) {
        // SAFETY: see above.
        unsafe {
            asm!(
                "tilestored [{to} + {stride}*1], tmm{tile}",
                tile = const TILE, to = in(reg) to, stride = in(reg) stride,
                options(nostack)
            );
        }
    }

    #[inline(always)]
    unsafe fn multiply_add<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        // SAFETY: see above.
        unsafe {
            asm!(
                "tdpbf16ps tmm{sums}, tmm{left}, tmm{right}",
                sums = const SUMS, left = const LEFT, right = const RIGHT,
                options(nostack, nomem)
            );
        }
    }
}

/// Computes a block. Tiles 0 to 3 hold the sums, row by row; 4 and 5 hold rows of the left operand,
/// 6 and 7 columns of the right one.
///
/// # Safety
/// The tiles can be used, and all addresses of the block are valid.
#[inline(always)]
pub(super) unsafe fn compute<T: Tiles>(tiles: &mut T, block: Block) {
    // SAFETY: the caller guarantees it.
    unsafe {
        load_sums(tiles, block);
        match (block.both_rows, block.both_columns) {
            (true, true) => multiply::<T, true, true>(tiles, block),
            (true, false) => multiply::<T, true, false>(tiles, block),
            (false, true) => multiply::<T, false, true>(tiles, block),
            (false, false) => multiply::<T, false, false>(tiles, block),
        }
        store_sums(tiles, block);
    }
}

/// Loads the sums so far, or sets them to 0.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn load_sums<T: Tiles>(tiles: &mut T, block: Block) {
    let [right, below, across] = block.corners();
    let stride = block.output_row * 4;
    // SAFETY: the caller guarantees it.
    unsafe {
        if !block.accumulate {
            tiles.zero::<0>();
            tiles.zero::<1>();
            tiles.zero::<2>();
            tiles.zero::<3>();
            return;
        }
        tiles.load::<0>(block.output, stride);
        if block.both_columns {
            tiles.load::<1>(right, stride);
        }
        if block.both_rows {
            tiles.load::<2>(below, stride);
        }
        if block.both_rows && block.both_columns {
            tiles.load::<3>(across, stride);
        }
    }
}

/// Adds the products of all steps.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn multiply<T: Tiles, const ROWS: bool, const COLUMNS: bool>(tiles: &mut T, block: Block) {
    let (mut left, mut right) = (block.left, block.right);
    let right_row = block.right_row * 4;
    let below = block.left_steps * TILE;
    for _ in 0..block.steps {
        // SAFETY: the caller guarantees it.
        unsafe {
            tiles.load::<4>(left, ROW);
            tiles.load::<6>(right, right_row);
            tiles.multiply_add::<0, 4, 6>();
            if COLUMNS {
                tiles.load::<7>(right.wrapping_add(block.right_other), right_row);
                tiles.multiply_add::<1, 4, 7>();
            }
            if ROWS {
                tiles.load::<5>(left.wrapping_add(below), ROW);
                tiles.multiply_add::<2, 5, 6>();
            }
            if ROWS && COLUMNS {
                tiles.multiply_add::<3, 5, 7>();
            }
        }
        left = left.wrapping_add(TILE);
        right = right.wrapping_add(PAIRS * block.right_row);
    }
}

/// Stores the sums.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn store_sums<T: Tiles>(tiles: &T, block: Block) {
    let [right, below, across] = block.corners();
    let stride = block.output_row * 4;
    // SAFETY: the caller guarantees it.
    unsafe {
        tiles.store::<0>(block.output, stride);
        if block.both_columns {
            tiles.store::<1>(right, stride);
        }
        if block.both_rows {
            tiles.store::<2>(below, stride);
        }
        if block.both_rows && block.both_columns {
            tiles.store::<3>(across, stride);
        }
    }
}

impl Block {
    /// The addresses of the right, the lower and the lower right quarter of the sums.
    #[inline(always)]
    fn corners(&self) -> [*mut f32; 3] {
        let below = self.output.wrapping_add(16 * self.output_row);
        let other = self.output_other;
        [
            self.output.wrapping_add(other),
            below,
            below.wrapping_add(other),
        ]
    }
}

/// Tiles in plain arrays, which follow the definition of the instructions. With them, processors
/// without a tile unit test how blocks are put together.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Software([[[u32; 16]; 16]; 8]);

// SAFETY of all methods: plain memory; the trait demands valid addresses.
#[cfg(test)]
impl Tiles for Software {
    unsafe fn zero<const TILE: usize>(&mut self) {
        self.0[TILE] = Default::default();
    }

    unsafe fn load<const TILE: usize>(&mut self, from: *const f32, stride: usize) {
        for (row, values) in self.0[TILE].iter_mut().enumerate() {
            let from = from.wrapping_byte_add(row * stride).cast::<[u32; 16]>();
            // SAFETY: see above.
            *values = unsafe { from.read_unaligned() };
        }
    }

    unsafe fn store<const TILE: usize>(&self, to: *mut f32, stride: usize) {
        for (row, values) in self.0[TILE].iter().enumerate() {
            let to = to.wrapping_byte_add(row * stride).cast::<[u32; 16]>();
            // SAFETY: see above.
            unsafe { to.write_unaligned(*values) };
        }
    }

    unsafe fn multiply_add<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        let halves = |pair: u32| [pair << 16, pair & 0xFFFF_0000].map(f32::from_bits);
        for row in 0..16 {
            for unit in 0..16 {
                let left = halves(self.0[LEFT][row][unit]);
                for column in 0..16 {
                    let right = halves(self.0[RIGHT][unit][column]);
                    let sum = f32::from_bits(self.0[SUMS][row][column]);
                    let sum = sum + left[0] * right[0] + left[1] * right[1];
                    self.0[SUMS][row][column] = sum.to_bits();
                }
            }
        }
    }
}
