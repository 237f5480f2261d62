//! Memory that is used again: buffers within kernels, and fresh results.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Bytes kept for later, and no more.
const KEPT: usize = 1 << 30;

/// Buffers by their capacity.
struct Pool {
    buffers: BTreeMap<usize, Vec<Vec<f32>>>,
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    buffers: BTreeMap::new(),
    bytes: 0,
});

impl Pool {
    fn put(&mut self, buffer: Vec<f32>) {
        let bytes = 4 * buffer.capacity();
        if bytes > 0 && self.bytes + bytes <= KEPT {
            self.bytes += bytes;
            self.buffers
                .entry(buffer.capacity())
                .or_default()
                .push(buffer);
        }
    }

    /// The smallest buffer for `count` values that is not far too large.
    fn take(&mut self, count: usize) -> Option<Vec<f32>> {
        let most = count.saturating_mul(2).max(1 << 12);
        let (_, buffers) = self
            .buffers
            .range_mut(count..=most)
            .find(|(_, buffers)| !buffers.is_empty())?;
        let buffer = buffers.pop()?;
        self.bytes -= 4 * buffer.capacity();
        Some(buffer)
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    // No panic can leave the pool half changed.
    POOL.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A buffer from the pool, which it goes back to. Holds any values at first.
pub(crate) struct Scratch(Vec<f32>);

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        pool().put(std::mem::take(&mut self.0));
    }
}

/// A buffer of `count` values, kept from earlier where there is one.
pub(crate) fn scratch(count: usize) -> Scratch {
    let kept = pool().take(count);
    let mut buffer = kept.unwrap_or_default();
    buffer.resize(count, 0.0);
    poison(&mut buffer);
    Scratch(buffer)
}

/// Fills memory whose values nobody may use with NaN where the program is tested, so that whoever
/// uses them is found out.
fn poison(values: &mut [f32]) {
    if cfg!(debug_assertions) {
        values.fill(f32::NAN);
    }
}

/// A vector for results, without the pass over memory that zeroing it would be.
///
/// # Safety
/// Every element must be written before it is read.
#[allow(clippy::uninit_vec)]
pub(crate) unsafe fn uninitialized(count: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    // SAFETY: the capacity is there, an f32 has no invalid bits and no destructor, and the caller
    // vouches that nothing is read before it is written.
    unsafe { values.set_len(count) };
    poison(&mut values);
    values
}

/// A slice that several tasks write at once, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    count: usize,
    lifetime: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: the elements are plain values; `Shared::part` demands that no two tasks share any.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(values: &'a mut [f32]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            count: values.len(),
            lifetime: std::marker::PhantomData,
        }
    }

    /// The elements from `from` on, `count` of them.
    ///
    /// # Panics
    /// If they do not lie in the slice.
    ///
    /// # Safety
    /// No other part that is in use holds any of these elements.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, from: usize, count: usize) -> &'a mut [f32] {
        assert!(
            from <= self.count && count <= self.count - from,
            "a part outside"
        );
        // SAFETY: the elements lie in the slice, and the caller vouches that they are not shared.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), count) }
    }
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
