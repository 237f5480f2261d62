//! Asking for memory before it is read.

/// Asks for the line of the cache that holds an address; any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(from: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Values of a line of most caches.
const LINE: usize = 16;

/// Asks for `count` values.
#[inline(always)]
pub(crate) fn prefetch_values(from: *const f32, count: usize) {
    for place in (0..count).step_by(LINE) {
        prefetch(from.wrapping_add(place).cast());
    }
}
