//! A slice that several tasks write at once.

use std::marker::PhantomData;

/// A slice in which several tasks write disjoint elements at once.
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    count: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<T> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<'_, T> {}

// SAFETY: the tasks get parts of a slice of a type that may be sent to them. `Shared::slice`
// demands that no two parts overlap.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(values: &'a mut [T]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            count: values.len(),
            lifetime: PhantomData,
        }
    }

    /// The `count` elements from `from` on.
    ///
    /// # Panics
    /// If they do not lie in the slice.
    ///
    /// # Safety
    /// No other reference that is in use points to any of these elements.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, from: usize, count: usize) -> &'a mut [T] {
        assert!(
            from <= self.count && count <= self.count - from,
            "elements of the slice"
        );
        // SAFETY: the elements lie in the slice, which is borrowed for `'a`. The caller guarantees
        // that there is no other reference to them.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), count) }
    }

    /// The address of an element, to prefetch it. It may lie behind the slice.
    pub(crate) fn address(&self, place: usize) -> *const T {
        self.start.wrapping_add(place)
    }
}
