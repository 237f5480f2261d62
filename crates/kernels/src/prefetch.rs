//! Loading memory into the cache before it is read.

/// Loads the cache line of an address. Any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(from: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Values of a cache line of most processors.
const LINE: usize = 16;

/// Loads `count` values.
#[inline(always)]
pub(crate) fn prefetch_values(from: *const f32, count: usize) {
    for place in (0..count).step_by(LINE) {
        prefetch(from.wrapping_add(place).cast());
    }
}
