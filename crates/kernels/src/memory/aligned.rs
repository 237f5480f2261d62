//! An allocator that aligns large blocks to cache lines.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a cache line, and of the largest register.
pub(crate) const LINE: usize = 64;

/// Size from which on blocks are aligned, in bytes.
const LARGE: usize = 4096;

/// The system's allocator, with blocks of 4 KiB and more aligned to 64 bytes.
///
/// The system aligns them to 16 bytes, so that every other 64-byte load or store of a kernel would
/// touch two cache lines.
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

/// The layout of the system's block that holds a large block, with room to align it; none for other
/// blocks. It asks for no large alignment: the system reuses freed blocks for such requests.
fn system_layout(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() > LINE {
        return None;
    }
    let size = layout.size().checked_add(LINE)?;
    Layout::from_size_align(size, HEADER).ok()
}

/// The least number of bytes in front of a large block, and the alignment of the system's blocks.
/// The last of these bytes stores the offset of the block in the system's.
const HEADER: usize = 16;

/// The offset of a large block in the system's block at `start`: from [`HEADER`] to [`LINE`] bytes.
fn offset_from(start: *mut u8) -> usize {
    LINE - start.addr() % LINE
}

/// The large block within a block of the system. Stores its offset.
///
/// # Safety
/// `start` is null, or a multiple of [`HEADER`] where at least [`LINE`] bytes can be written.
unsafe fn align_block(start: *mut u8) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    let distance = offset_from(start);
    // SAFETY: the caller guarantees that many bytes.
    unsafe {
        let block = start.add(distance);
        block.sub(1).write(distance as u8);
        block
    }
}

/// The offset of a large block in the system's block.
///
/// # Safety
/// `block` comes from [`align_block`].
unsafe fn offset_of(block: *mut u8) -> usize {
    // SAFETY: `align_block` wrote this byte.
    usize::from(unsafe { block.sub(1).read() })
}

// SAFETY: a block is one of the system, or lies in one that is large enough and aligned for it. It
// is freed with the layout that it was allocated with: both follow from the same arguments.
unsafe impl GlobalAlloc for Aligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc`; an aligned block lies in the
        // system's.
        unsafe {
            match system_layout(layout) {
                Some(outer) => align_block(System.alloc(outer)),
                None => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            match system_layout(layout) {
                Some(outer) => align_block(System.alloc_zeroed(outer)),
                None => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; a large block lies in one with the system's layout, at the stored
        // offset.
        unsafe {
            match system_layout(layout) {
                Some(outer) => System.dealloc(block.sub(offset_of(block)), outer),
                None => System.dealloc(block, layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees the size. The blocks are those of the other methods, and
        // the bytes that are copied lie in both blocks.
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
        /// Sizes below and above the limit of large blocks, beside other blocks that move them
        /// about.
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
                    let common = size.min(new);
                    prop_assert!((0..common).all(|byte| block.add(byte).read() == byte as u8));
                    (common..new).for_each(|byte| block.add(byte).write(byte as u8));
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
