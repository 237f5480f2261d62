//! Pooled buffers for intermediate values within kernels.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

use crate::memory;

/// The most bytes of pooled buffers.
const POOLED_BYTES: usize = 1 << 30;

/// Values of a cache line.
const LINE: usize = memory::LINE / size_of::<f32>();

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Buffers by their numbers of lines.
struct Pool {
    buffers: BTreeMap<usize, Vec<Vec<Line>>>,
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    buffers: BTreeMap::new(),
    bytes: 0,
});

impl Pool {
    fn give_back(&mut self, buffer: Vec<Line>) {
        let bytes = memory::LINE * buffer.capacity();
        if bytes > 0 && self.bytes + bytes <= POOLED_BYTES {
            self.bytes += bytes;
            self.buffers
                .entry(buffer.capacity())
                .or_default()
                .push(buffer);
        }
    }

    /// The smallest buffer of at least `lines` lines, unless it is much too large.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        let most = lines.saturating_mul(2).max(1 << 8);
        let (_, buffers) = self
            .buffers
            .range_mut(lines..=most)
            .find(|(_, buffers)| !buffers.is_empty())?;
        let buffer = buffers.pop()?;
        self.bytes -= memory::LINE * buffer.capacity();
        Some(buffer)
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    // No panic can leave the pool half changed.
    POOL.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A buffer that goes back to the pool when it is dropped. It is aligned to cache lines, and its
/// first values are arbitrary.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    count: usize,
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the lines are initialized and hold at least `count` values without gaps.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.count) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.count) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        pool().give_back(std::mem::take(&mut self.lines));
    }
}

/// A buffer of `count` values, pooled where there is one.
pub(crate) fn scratch(count: usize) -> Scratch {
    let needed = count.div_ceil(LINE);
    let mut lines = pool().take(needed).unwrap_or_default();
    if lines.len() < needed {
        lines.resize(needed, Line([0.0; LINE]));
    }
    let mut buffer = Scratch { lines, count };
    if cfg!(debug_assertions) {
        // A kernel that uses a value before it writes it computes NaN.
        buffer.fill(f32::NAN);
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let mut first = scratch(123_457);
        first[123_456] = 5.0;
        let address = first.as_ptr();
        drop(first);
        let again = scratch(123_000);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(again.len(), 123_000);
    }
}
