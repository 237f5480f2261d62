//! Products of bf16 pairs by the tile unit of AMX, with f32 sums.
//!
//! Four of the eight tiles hold 32 × 32 sums, two hold 2 × 16 rows of the left operand and two
//! 2 × 16 columns of the right one, each 32 terms at a time. The instructions have no stable
//! intrinsics yet, so they are written out.

use std::arch::asm;
use std::cell::Cell;
use std::sync::OnceLock;

/// Rows and columns of the sums of one call.
pub(super) const BLOCK: usize = 32;
/// Pairs of one step.
pub(super) const PAIRS: usize = 16;

/// Whether the processor has the tile unit and the operating system lets this process use it.
pub(crate) fn is_usable() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| has_tiles() && is_permitted())
}

fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    if __cpuid(0).eax < 7 {
        return false;
    }
    __cpuid_count(7, 0).edx & BF16_AND_TILE == BF16_AND_TILE
}

#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: this system call only asks for a permission of the process and takes no pointers;
    // the kernel overwrites rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

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

/// Gives all eight tiles of this thread 16 rows of 64 bytes, once.
fn configure() {
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
    // SAFETY: `is_usable` was true when the engine was made; the configuration is 64 valid bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) };
}

/// 32 rows times 32 columns, or 16 where the second half is left out.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Steps of 16 pairs.
    pub(super) steps: usize,
    /// Row `i` of the left operand begins at `i · left_row` pairs; 16 or 32 rows of `16 · steps`.
    pub(super) left: *const f32,
    pub(super) left_row: usize,
    /// Pair `k` of the right operand begins at `k · right_row`; 16 or 32 columns.
    pub(super) right: *const f32,
    pub(super) right_row: usize,
    /// The sums, rows `output_row` apart.
    pub(super) output: *mut f32,
    pub(super) output_row: usize,
    /// Whether the sums are added to what the output holds.
    pub(super) accumulate: bool,
    /// Whether there are 32 rows, not 16.
    pub(super) both_rows: bool,
    /// Whether there are 32 columns, not 16.
    pub(super) both_columns: bool,
}

/// Writes `tile load/store` of the sums that exist.
macro_rules! sums {
    ($block:ident, $instruction:literal) => {{
        let stride = $block.output_row * 4;
        let first = $block.output;
        let below = first.wrapping_add(16 * $block.output_row);
        macro_rules! move_tile {
                                    ($tile:literal, $address:expr) => {
                                        if $instruction == 0 {
                                            asm!(
                                                concat!("tileloadd tmm", $tile, ", [{0} + {1}*1]"),
                                                in(reg) $address, in(reg) stride, options(nostack)
                                            );
                                        } else {
                                            asm!(
                                                concat!("tilestored [{0} + {1}*1], tmm", $tile),
                                                in(reg) $address, in(reg) stride, options(nostack)
                                            );
                                        }
                                    };
                                }
        move_tile!("0", first);
        if $block.both_columns {
            move_tile!("1", first.wrapping_add(16));
        }
        if $block.both_rows {
            move_tile!("2", below);
            if $block.both_columns {
                move_tile!("3", below.wrapping_add(16));
            }
        }
    }};
}

/// Computes a block of sums.
///
/// # Safety
/// [`is_usable`] is true, and all addresses of the block are valid.
pub(super) unsafe fn compute(block: Block) {
    configure();
    // SAFETY: the caller vouches for the processor and the addresses. Tiles are not registers that
    // the compiler knows or uses, so they keep their values from one statement to the next.
    unsafe {
        if block.accumulate {
            sums!(block, 0);
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        }
        match (block.both_rows, block.both_columns) {
            (true, true) => multiply_32_32(block),
            (true, false) => multiply_32_16(block),
            (false, true) => multiply_16_32(block),
            (false, false) => multiply_16_16(block),
        }
        sums!(block, 1);
    }
}

/// Defines a loop over the steps of a block.
macro_rules! multiply {
    ($name:ident, $($line:literal),*) => {
        /// # Safety
        /// See [`compute`].
        #[inline(always)]
        unsafe fn $name(block: Block) {
            let mut left = block.left;
            let mut right = block.right;
            let left_below = 16 * block.left_row * 4;
            for _ in 0..block.steps {
                // SAFETY: passed on to the caller.
                unsafe {
                    asm!(
                        $($line,)*
                        left = in(reg) left,
                        left_row = in(reg) block.left_row * 4,
                        below = in(reg) left.wrapping_byte_add(left_below),
                        right = in(reg) right,
                        right_row = in(reg) block.right_row * 4,
                        options(nostack, readonly)
                    );
                }
                left = left.wrapping_add(PAIRS);
                right = right.wrapping_add(PAIRS * block.right_row);
            }
        }
    };
}

multiply!(
    multiply_32_32,
    "tileloadd tmm4, [{left} + {left_row}*1]",
    "tileloadd tmm6, [{right} + {right_row}*1]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm7, [{right} + {right_row}*1 + 64]",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tileloadd tmm5, [{below} + {left_row}*1]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7"
);
multiply!(
    multiply_32_16,
    "tileloadd tmm4, [{left} + {left_row}*1]",
    "tileloadd tmm6, [{right} + {right_row}*1]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm5, [{below} + {left_row}*1]",
    "tdpbf16ps tmm2, tmm5, tmm6"
);
multiply!(
    multiply_16_32,
    "tileloadd tmm4, [{left} + {left_row}*1]",
    "tileloadd tmm6, [{right} + {right_row}*1]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm7, [{right} + {right_row}*1 + 64]",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "/* {below} */"
);
multiply!(
    multiply_16_16,
    "tileloadd tmm4, [{left} + {left_row}*1]",
    "tileloadd tmm6, [{right} + {right_row}*1]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "/* {below} */"
);
