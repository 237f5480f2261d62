//! Memory for results, which is not zeroed first.
//!
//! Zeroing would be a pass over memory of its own. The memory has the type `MaybeUninit<f32>` until
//! all of it is written. Functions that write all of such a slice give it back as `&mut [f32]`.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// A value that may not be initialized.
pub(crate) type Uninit = MaybeUninit<f32>;

/// Memory for `count` values.
///
/// With debug assertions it holds NaN: a kernel that uses a value before it writes it computes NaN.
pub(crate) fn uninitialized(count: usize) -> Box<[Uninit]> {
    let mut values = Box::new_uninit_slice(count);
    if cfg!(debug_assertions) {
        values.fill(MaybeUninit::new(f32::NAN));
    }
    values
}

/// Turns memory that is written in full into a vector.
///
/// # Safety
/// Every value was written.
pub(crate) unsafe fn initialized(values: Box<[Uninit]>) -> Vec<f32> {
    // SAFETY: the caller guarantees it.
    unsafe { values.assume_init() }.into_vec()
}

/// Initialized values, for functions that write to uninitialized memory.
///
/// # Safety
/// Every value that is written to the slice is initialized.
pub(crate) unsafe fn as_uninit(values: &mut [f32]) -> &mut [Uninit] {
    let count = values.len();
    // SAFETY: `MaybeUninit<f32>` has the layout of `f32`, and the slice stays borrowed. The caller
    // leaves all values initialized.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), count) }
}

/// Initialized values, to copy to memory that is not.
pub(crate) fn as_init(values: &[f32]) -> &[Uninit] {
    // SAFETY: `MaybeUninit<f32>` has the layout of `f32` and takes all its values; nobody can write to
    // a shared slice.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// A vector of `count` values. Tasks on all threads write one chunk each: `write` gets the index of
/// a chunk and the chunk, and gives the chunk back initialized.
///
/// # Panics
/// If the chunks have no length, or `write` gives back another slice.
pub(crate) fn from_chunks(
    count: usize,
    chunk: usize,
    write: impl for<'a> Fn(usize, &'a mut [Uninit]) -> &'a mut [f32] + Sync,
) -> Vec<f32> {
    let mut values = uninitialized(count);
    let chunks = values.par_chunks_mut(chunk).enumerate();
    chunks.for_each(|(index, chunk)| {
        let place = place(chunk);
        assert_eq!(place, self::place(write(index, chunk)), "the chunk itself");
    });
    // SAFETY: each chunk was given back as initialized values.
    unsafe { initialized(values) }
}

/// [`from_chunks`] where `write` also computes a partial result of each chunk. Gives the partial
/// results in the order of the chunks.
pub(crate) fn from_chunks_with<R: Send>(
    count: usize,
    chunk: usize,
    write: impl for<'a> Fn(usize, &'a mut [Uninit]) -> (&'a mut [f32], R) + Sync,
) -> (Vec<f32>, Vec<R>) {
    let mut values = uninitialized(count);
    let chunks = values.par_chunks_mut(chunk).enumerate();
    let results = chunks.map(|(index, chunk)| {
        let place = place(chunk);
        let (written, result) = write(index, chunk);
        assert_eq!(place, self::place(written), "the chunk itself");
        result
    });
    let results = results.collect();
    // SAFETY: each chunk was given back as initialized values.
    (unsafe { initialized(values) }, results)
}

/// The address and the length of a slice.
fn place<T>(values: &[T]) -> (usize, usize) {
    (values.as_ptr().addr(), values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_up_the_vector() {
        let numbered = |index: usize, chunk: &mut [Uninit]| {
            for (place, value) in chunk.iter_mut().enumerate() {
                value.write((10 * index + place) as f32);
            }
        };
        let values = from_chunks(25, 10, |index, chunk| {
            numbered(index, chunk);
            // SAFETY: all values were written.
            unsafe { chunk.assume_init_mut() }
        });
        let expected: Vec<f32> = (0..25).map(|value| value as f32).collect();
        assert_eq!(values, expected);
        let (values, indices) = from_chunks_with(25, 10, |index, chunk| {
            numbered(index, chunk);
            // SAFETY: all values were written.
            (unsafe { chunk.assume_init_mut() }, index)
        });
        assert_eq!(values, expected);
        assert_eq!(indices, [0, 1, 2]);
    }

    #[test]
    #[should_panic(expected = "the chunk itself")]
    fn parts_of_chunks_are_refused() {
        from_chunks(3, 3, |_, chunk| chunk[..2].write_copy_of_slice(&[1.0, 2.0]));
    }
}
