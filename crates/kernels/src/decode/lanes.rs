//! Sixteen f32 sums, in as many registers as an instruction set needs for them.
//!
//! All instruction sets with fused multiply-add give the same bits: they compute the same sixteen
//! sums and add them in the same order.

use super::format::half_from_bits;
use crate::product::bfloat;

/// Sixteen values.
///
/// # Safety
/// A method may be called only if the processor has the instructions of the implementation.
/// Pointers must be valid for sixteen values ([`splat`](Lanes::splat): for one).
pub(super) trait Lanes: Copy {
    unsafe fn zero() -> Self;
    unsafe fn splat(from: *const f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn load_bf16(from: *const u16) -> Self;
    unsafe fn load_f16(from: *const u16) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + left · right`.
    unsafe fn multiply_add(self, left: Self, right: Self) -> Self;
    /// The sum of all lanes: lanes eight apart are added first, then four, two and one.
    unsafe fn sum(self) -> f32;
}

/// Plain Rust, for every processor.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 16]);

// SAFETY of all methods: the trait demands that pointers are valid for sixteen values.
impl Lanes for Portable {
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 16])
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: see above.
        Self([unsafe { *from }; 16])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { from.cast::<[f32; 16]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: see above.
        let bits = unsafe { from.cast::<[u16; 16]>().read_unaligned() };
        Self(bits.map(bfloat::from_bits))
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: see above.
        let bits = unsafe { from.cast::<[u16; 16]>().read_unaligned() };
        Self(bits.map(half_from_bits))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn multiply_add(mut self, left: Self, right: Self) -> Self {
        for (sum, (left, right)) in self.0.iter_mut().zip(left.0.iter().zip(right.0)) {
            *sum =
                crate::math::multiply_add::<{ cfg!(target_arch = "aarch64") }>(*left, right, *sum);
        }
        self
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut lanes = self.0;
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
        }
        lanes[0]
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// The sum of eight lanes in the order of [`Lanes::sum`]: lanes four apart first.
    ///
    /// # Safety
    /// The processor has AVX.
    #[inline(always)]
    unsafe fn sum_of_eight(lanes: __m256) -> f32 {
        // SAFETY: the caller guarantees AVX.
        unsafe {
            let four = _mm_add_ps(
                _mm256_castps256_ps128(lanes),
                _mm256_extractf128_ps::<1>(lanes),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            let one = _mm_add_ss(two, _mm_movehdup_ps(two));
            _mm_cvtss_f32(one)
        }
    }

    /// Eight bf16 values as f32.
    ///
    /// # Safety
    /// The processor has AVX2, and there are eight values at `from`.
    #[inline(always)]
    unsafe fn eight_of_bf16(from: *const u16) -> __m256 {
        // SAFETY: the caller guarantees AVX2 and eight values.
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }

    /// Two registers of AVX2, with FMA and F16C.
    #[derive(Clone, Copy)]
    pub(in crate::decode) struct Avx2(__m256, __m256);

    // SAFETY of all methods: the trait demands that the processor has the instructions and that
    // pointers are valid; loads and stores need no alignment.
    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_setzero_ps(), _mm256_setzero_ps()) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            // SAFETY: see above.
            let value = unsafe { _mm256_broadcast_ss(&*from) };
            Self(value, value)
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn load_bf16(from: *const u16) -> Self {
            // SAFETY: see above.
            unsafe { Self(eight_of_bf16(from), eight_of_bf16(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn load_f16(from: *const u16) -> Self {
            // SAFETY: see above.
            unsafe {
                let low = _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
                let high = _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast()));
                Self(low, high)
            }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, left: Self, right: Self) -> Self {
            // SAFETY: see above.
            unsafe {
                Self(
                    _mm256_fmadd_ps(left.0, right.0, self.0),
                    _mm256_fmadd_ps(left.1, right.1, self.1),
                )
            }
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: see above.
            unsafe { sum_of_eight(_mm256_add_ps(self.0, self.1)) }
        }
    }

    /// One register of AVX-512.
    #[derive(Clone, Copy)]
    pub(in crate::decode) struct Avx512(__m512);

    // SAFETY of all methods: as above.
    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_setzero_ps()) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_set1_ps(*from)) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn load_bf16(from: *const u16) -> Self {
            // SAFETY: see above.
            unsafe {
                let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)))
            }
        }

        #[inline(always)]
        unsafe fn load_f16(from: *const u16) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, left: Self, right: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm512_fmadd_ps(left.0, right.0, self.0)) }
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: see above.
            unsafe {
                let high = _mm512_extractf32x8_ps::<1>(self.0);
                sum_of_eight(_mm256_add_ps(_mm512_castps512_ps256(self.0), high))
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};
