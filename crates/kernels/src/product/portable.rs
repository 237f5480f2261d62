//! Tiles in plain Rust, for every processor.

use super::tile::{Vector, tile_functions};

/// Rows of a tile.
pub(super) const ROWS: usize = 4;

/// Eight lanes, which the compiler maps to the registers of the target.
#[derive(Clone, Copy)]
pub(super) struct Lanes([f32; 8]);

#[inline(always)]
fn multiply_add(sum: f32, left: f32, right: f32) -> f32 {
    // Fused if every processor of the target has an instruction for it; elsewhere it would be a
    // function call.
    if cfg!(target_arch = "aarch64") {
        left.mul_add(right, sum)
    } else {
        sum + left * right
    }
}

impl Vector for Lanes {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller guarantees eight values.
        Self(unsafe { from.cast::<[f32; 8]>().read() })
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: the caller guarantees one value.
        Self([unsafe { *from }; 8])
    }

    #[inline(always)]
    unsafe fn multiply_add(mut self, left: Self, right: Self) -> Self {
        for (sum, (left, right)) in self.0.iter_mut().zip(left.0.iter().zip(right.0)) {
            *sum = multiply_add(*sum, *left, right);
        }
        self
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for (sum, other) in self.0.iter_mut().zip(other.0) {
            *sum += other;
        }
        self
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller guarantees eight values.
        unsafe { to.cast::<[f32; 8]>().write(self.0) }
    }
}

tile_functions!(Lanes, [], [1 2 3 4]);
