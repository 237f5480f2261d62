//! Tiles with AVX2 and FMA: 6 rows of 16 columns, in 12 of the 16 registers.

use std::arch::x86_64::*;

use super::tile::{Vector, tile_functions};

/// Rows of a tile.
pub(super) const ROWS: usize = 6;

#[derive(Clone, Copy)]
pub(super) struct Lanes(__m256);

// SAFETY of all methods: the trait demands that the processor has the instructions and that
// pointers are valid; loads and stores need no alignment.
impl Vector for Lanes {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_broadcast_ss(&*from)) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, left: Self, right: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_fmadd_ps(left.0, right.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
}

tile_functions!(Lanes, ["avx2,fma"], [1 2 3 4 5 6]);
