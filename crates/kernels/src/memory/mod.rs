//! The memory of the process.

mod aligned;

pub use aligned::Aligned;
pub(crate) use aligned::LINE;

/// Values that an operation keeps for its backward pass where it could make them again, at most: 16 MiB.
pub const SAVED_VALUES: usize = 1 << 22;

/// Asks the C library to keep the memory that is freed, for the allocations that follow.
///
/// A training step frees and allocates the same large blocks again and again. By default each goes
/// back to the operating system, and every page of the next one costs a fault and is zeroed. Call it
/// once, when the program begins. Does nothing with other C libraries than glibc.
pub fn pool_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these calls only change numbers that the allocator decides by.
    unsafe {
        // Nothing outside the heap, and the heap is not given back.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_TOP_PAD, 8 << 20);
        // One heap for all threads: the others give back what is wholly free, whatever the
        // threshold is.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
