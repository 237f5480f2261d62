//! The memory of the process.

mod aligned;

pub use aligned::Aligned;
pub(crate) use aligned::LINE;

/// The most values that an operation saves for its backward pass where it could compute them again:
/// 16 MiB.
pub const SAVED_VALUES: usize = 1 << 22;

/// Tells the C library to pool freed memory for later allocations.
///
/// A training step frees and allocates the same large blocks again and again. By default the C
/// library gives each of them back to the operating system, and every page of the next one costs a
/// page fault and is zeroed. Call this once, when the program begins. Does nothing with other C
/// libraries than glibc.
pub fn pool_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these calls only change numbers that the allocator decides by, under its lock.
    unsafe {
        // All blocks lie in the heap, and the heap never shrinks.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_TOP_PAD, 8 << 20);
        // One heap for all threads. Further heaps would give unused memory back whatever the
        // threshold is.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
