//! Tiles with AVX-512: 8 rows of 32 columns, in 16 of the 32 registers.
//!
//! The addresses of eight rows fit into the general registers. With two fused operations a cycle
//! and a latency of four cycles, eight sums already keep the processor busy.

use std::arch::x86_64::*;

use super::tile::{Vector, tile_functions};

/// Rows of a tile.
pub(super) const ROWS: usize = 8;

#[derive(Clone, Copy)]
pub(super) struct Lanes(__m512);

// SAFETY of all methods: the trait demands that the processor has the instructions and that
// pointers are valid; loads and stores need no alignment.
impl Vector for Lanes {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_set1_ps(*from)) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, left: Self, right: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_fmadd_ps(left.0, right.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
}

tile_functions!(Lanes, ["avx512f"], [1 2 3 4 5 6 7 8]);

/// Operands whose lanes hold pairs of bf16 values. Each step multiplies two pairs in a lane and
/// adds both products to an f32 sum.
pub(super) mod pairs {
    use super::*;

    #[derive(Clone, Copy)]
    pub(in crate::product) struct Lanes(__m512);

    // SAFETY of all methods: as above; loads, broadcasts and stores move 32-bit lanes unchanged.
    impl Vector for Lanes {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_setzero_ps()) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn broadcast(from: *const f32) -> Self {
            // SAFETY: see above.
            unsafe {
                let pair = from.cast::<i32>().read_unaligned();
                Self(_mm512_castsi512_ps(_mm512_set1_epi32(pair)))
            }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, left: Self, right: Self) -> Self {
            // SAFETY: see above; both types are 64 bytes of any bits.
            unsafe {
                let [left, right] =
                    [left.0, right.0].map(|lanes| std::mem::transmute::<__m512, __m512bh>(lanes));
                Self(_mm512_dpbf16_ps(self.0, left, right))
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
    }

    tile_functions!(Lanes, ["avx512f,avx512bf16"], [1 2 3 4 5 6 7 8]);
}
