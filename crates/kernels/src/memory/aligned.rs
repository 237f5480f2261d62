//! An allocator whose larger blocks begin where a line of the cache does.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a line of the cache, and of the largest register.
pub(crate) const LINE: usize = 64;

/// Bytes from which on a block is aligned.
const LARGE: usize = 4096;

/// The system's allocator, but blocks from 4 KiB on begin at multiples of 64 bytes: the system's begin
/// 16 bytes behind, so that every other load or store of the kernels would reach into two lines.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: learned_dropout_kernels::memory::Aligned = learned_dropout_kernels::memory::Aligned;
///
/// let tensor = vec![1.0f32; 5000];
/// assert!(tensor.as_ptr().cast::<u8>().addr().is_multiple_of(64));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Aligned;

/// The block of the system that a large one lies in: as many bytes more as aligning it can take. It is
/// asked for without an alignment, because what is freed then fits what is asked for next.
fn system_layout(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() > LINE {
        return None;
    }
    let size = layout.size().checked_add(LINE)?;
    Layout::from_size_align(size, HEADER).ok()
}

/// Bytes in front of a large block, and the alignment of the system's: the last byte says how far the
/// block is from the system's.
const HEADER: usize = 16;

/// Where a large block begins within one of the system that begins at `start`: at least [`HEADER`] and
/// at most [`LINE`] bytes behind.
fn offset_from(start: *mut u8) -> usize {
    LINE - start.addr() % LINE
}

/// The large block within a block of the system.
///
/// # Safety
/// `start` is null or begins at least [`LINE`] writable bytes, at a multiple of [`HEADER`].
unsafe fn align_block(start: *mut u8) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    let distance = offset_from(start);
    // SAFETY: the caller vouches for that many bytes.
    unsafe {
        let block = start.add(distance);
        block.sub(1).write(distance as u8);
        block
    }
}

/// How far a large block is from the system's.
///
/// # Safety
/// `block` is a block of [`align_block`].
unsafe fn offset_of(block: *mut u8) -> usize {
    // SAFETY: `align_block` wrote this byte.
    usize::from(unsafe { block.sub(1).read() })
}

// SAFETY: blocks are those of the system, or lie within one that is large enough and aligned for them;
// they are given back with the layout that they were asked for with.
unsafe impl GlobalAlloc for Aligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        unsafe {
            match system_layout(layout) {
                Some(outer) => align_block(System.alloc(outer)),
                None => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        unsafe {
            match system_layout(layout) {
                Some(outer) => align_block(System.alloc_zeroed(outer)),
                None => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller; a large block lies in one with the outer layout.
        unsafe {
            match system_layout(layout) {
                Some(outer) => System.dealloc(block.sub(offset_of(block)), outer),
                None => System.dealloc(block, layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the size; the blocks are as in the other methods, and what is
        // copied lies in both.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(size, layout.align());
            match (system_layout(layout), system_layout(new_layout)) {
                (None, None) => System.realloc(block, layout, size),
                (Some(old), Some(new)) => {
                    let before = offset_of(block);
                    let start = System.realloc(block.sub(before), old, new.size());
                    if !start.is_null() && offset_from(start) != before {
                        let block = start.add(offset_from(start));
                        block.copy_from(start.add(before), layout.size().min(size));
                    }
                    align_block(start)
                }
                _ => {
                    let new_block = self.alloc(new_layout);
                    if !new_block.is_null() {
                        new_block.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    new_block
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).expect("a small size")
    }

    fn assert_aligned(block: *mut u8, size: usize) {
        assert!(!block.is_null());
        assert!(
            size < LARGE || block.addr().is_multiple_of(LINE),
            "{block:?}"
        );
    }

    proptest! {
        /// Sizes on both sides of where blocks become large, beside others that move them about.
        #[test]
        fn blocks_keep_what_they_hold(sizes in proptest::collection::vec(1usize..20_000, 1..20)) {
            let mut others = Vec::new();
            let mut size = sizes[0];
            // SAFETY: the layouts are those of the blocks, and only bytes within them are touched.
            unsafe {
                let zeros = Aligned.alloc_zeroed(layout(size));
                assert_aligned(zeros, size);
                prop_assert!((0..size).all(|byte| zeros.add(byte).read() == 0));
                others.push((zeros, size));
                let mut block = Aligned.alloc(layout(size));
                assert_aligned(block, size);
                (0..size).for_each(|byte| block.add(byte).write(byte as u8));
                for new in sizes {
                    block = Aligned.realloc(block, layout(size), new);
                    assert_aligned(block, new);
                    let kept = size.min(new);
                    prop_assert!((0..kept).all(|byte| block.add(byte).read() == byte as u8));
                    (kept..new).for_each(|byte| block.add(byte).write(byte as u8));
                    size = new;
                    others.push((Aligned.alloc(layout(new / 3 + 1)), new / 3 + 1));
                }
                Aligned.dealloc(block, layout(size));
                for (other, size) in others {
                    Aligned.dealloc(other, layout(size));
                }
            }
        }
    }
}
