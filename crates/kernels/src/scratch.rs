//! Memory that is used again: buffers within kernels, and fresh results.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Buffers kept for later, and no more.
const KEPT: usize = 64;

static POOL: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

fn pool() -> MutexGuard<'static, Vec<Vec<f32>>> {
    // A panic elsewhere cannot leave a list of vectors half changed.
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
        let mut pool = pool();
        if pool.len() < KEPT {
            pool.push(std::mem::take(&mut self.0));
        }
    }
}

/// A buffer of `count` values: the smallest kept one that is large enough, else a new one.
pub(crate) fn scratch(count: usize) -> Scratch {
    let mut pool = pool();
    let fits = |(index, buffer): (usize, &Vec<f32>)| {
        let capacity = buffer.capacity();
        (count..=count.saturating_mul(2).max(1 << 12))
            .contains(&capacity)
            .then_some((capacity, index))
    };
    let found = pool.iter().enumerate().filter_map(fits).min();
    let mut buffer = found.map_or_else(Vec::new, |(_, index)| pool.swap_remove(index));
    drop(pool);
    buffer.resize(count, 0.0);
    Scratch(buffer)
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
