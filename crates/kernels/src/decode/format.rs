//! How weights are stored for decoding.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use rayon::prelude::*;

use crate::level::levelled;
use crate::product::bfloat;
use crate::scratch::scratch;

/// The format of stored weights. Inputs and sums are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32 bits: nothing is rounded.
    F32,
    /// bf16: 16 bits, with 8 bits of precision and the range of f32.
    Bf16,
    /// IEEE half precision: 16 bits, with 11 bits of precision, up to 65,504.
    F16,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// Bytes of a weight.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// `f32`, `bf16` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// `value` rounded to the format, to nearest and ties to even.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::Bf16 => bfloat::from_bits(bfloat::to_bits(value)),
            Self::F16 => half_from_bits(half_to_bits(value)),
        }
    }
}

/// `value` in IEEE half precision, to nearest and ties to even. Values that are too large become
/// infinite.
#[inline(always)]
pub(super) fn half_to_bits(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = value.abs();
    let bits = if magnitude.is_nan() {
        0x7E00
    } else if magnitude >= 65_520.0 {
        0x7C00
    } else if magnitude < 6.103_515_6e-5 {
        // Below 2⁻¹⁴ the spacing is constant, 2⁻²⁴. Adding 1/2 moves these bits to the end of the
        // f32.
        ((magnitude + 0.5).to_bits() - 0.5f32.to_bits()) as u16
    } else {
        let bits = magnitude.to_bits() - (112 << 23);
        ((bits + 0xFFF + ((bits >> 13) & 1)) >> 13) as u16
    };
    sign | bits
}

/// The f32 of 16 bits in IEEE half precision.
#[inline(always)]
pub(super) fn half_from_bits(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7FFF) << 13;
    // Exponents differ by 112, except for infinities and NaN, whose exponents have all bits set.
    let scaled = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let special = magnitude | 0x7F80_0000;
    let bits = if magnitude >= 0x7C00 << 13 {
        special
    } else {
        scaled.to_bits()
    };
    f32::from_bits(bits | sign)
}

/// Rows of weights, one after the other, padded with 0 to a multiple of [`LANES`].
pub(super) struct Rows {
    memory: Memory,
    format: Format,
    length: usize,
}

/// Rows are padded to a multiple of this.
pub(super) const LANES: usize = 16;

impl Rows {
    /// Stores `count` rows of `length` weights. `row` gives the weights of each.
    pub(super) fn new<'a>(
        count: usize,
        length: usize,
        format: Format,
        row: impl Fn(usize) -> SourceRow<'a> + Sync,
    ) -> Self {
        let stride = length.next_multiple_of(LANES);
        let row_bytes = stride.checked_mul(format.bytes());
        let bytes = row_bytes
            .and_then(|bytes| bytes.checked_mul(count))
            .expect("weights that fit into memory");
        let mut rows = Self {
            memory: Memory::zeroed(bytes),
            format,
            length,
        };
        let together = rows
            .memory
            .bytes_mut()
            .par_chunks_mut(TOGETHER * stride.max(1) * format.bytes());
        together.enumerate().for_each(|(index, bytes)| {
            let first = index * TOGETHER;
            let sources: Vec<SourceRow<'_>> =
                (first..count.min(first + TOGETHER)).map(&row).collect();
            let mut values = scratch(sources.len() * length);
            SourceRow::gather(&mut values, &sources, length);
            let rows = bytes.chunks_mut((stride * format.bytes()).max(1));
            for (bytes, values) in rows.zip(values.chunks(length.max(1))) {
                match format {
                    Format::F32 => write_values(bytes, values.iter().map(|v| v.to_ne_bytes())),
                    Format::Bf16 => narrow_bf16(bytes, values),
                    Format::F16 => narrow_f16(bytes, values),
                }
            }
        });
        rows
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The distance between rows, in weights.
    pub(super) fn stride(&self) -> usize {
        self.length.next_multiple_of(LANES)
    }

    /// The address of `count` rows from `first` on.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub(super) fn address_of(&self, first: usize, count: usize) -> *const u8 {
        let row = self.stride() * self.format.bytes();
        self.memory.bytes()[first * row..][..count * row].as_ptr()
    }

    /// The bytes of all weights.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }
}

/// Rows that one task stores. If they come from neighbouring columns, they share cache lines.
const TOGETHER: usize = 16;

levelled! {
    fn narrow_bf16(bytes: &mut [u8], values: &[f32]) {
        let (places, _) = bytes.as_chunks_mut::<2>();
        for (place, &value) in places.iter_mut().zip(values) {
            *place = bfloat::to_bits(value).to_ne_bytes();
        }
    }
}

levelled! {
    fn narrow_f16(bytes: &mut [u8], values: &[f32]) {
        let (places, _) = bytes.as_chunks_mut::<2>();
        for (place, &value) in places.iter_mut().zip(values) {
            *place = half_to_bits(value).to_ne_bytes();
        }
    }
}

fn write_values<const N: usize>(bytes: &mut [u8], values: impl Iterator<Item = [u8; N]>) {
    let (places, _) = bytes.as_chunks_mut::<N>();
    for (place, value) in places.iter_mut().zip(values) {
        *place = value;
    }
}

/// A row or a column of a matrix.
#[derive(Clone, Copy)]
pub(super) struct SourceRow<'a> {
    pub(super) values: &'a [f32],
    pub(super) step: usize,
}

impl SourceRow<'_> {
    fn count(&self) -> usize {
        self.values.len().div_ceil(self.step)
    }

    /// Copies rows one after the other.
    fn gather(output: &mut [f32], rows: &[Self], length: usize) {
        for row in rows {
            assert_eq!(row.count(), length, "row");
        }
        if rows.iter().all(|row| row.step == 1) {
            for (output, row) in output.chunks_exact_mut(length.max(1)).zip(rows) {
                output.copy_from_slice(row.values);
            }
            return;
        }
        for place in 0..length {
            for (index, row) in rows.iter().enumerate() {
                output[index * length + place] = row.values[place * row.step];
            }
        }
    }
}

/// Bytes, aligned to a huge page if there are enough of them.
struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

/// The size of a huge page of most processors, in bytes.
const PAGE: usize = 2 << 20;

impl Memory {
    fn layout(bytes: usize) -> Layout {
        // Small matrices waste a page of their own.
        let align = if bytes < PAGE { 64 } else { PAGE };
        let size = bytes.checked_next_multiple_of(align);
        size.and_then(|size| Layout::from_size_align(size, align).ok())
            .expect("weights that fit into memory")
    }

    fn zeroed(bytes: usize) -> Self {
        let bytes = bytes.max(1);
        let layout = Self::layout(bytes);
        // SAFETY: the size is not 0.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        if layout.align() == PAGE {
            // SAFETY: the range was just allocated and begins with a page. The call is only advice,
            // so its result does not matter.
            unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        // SAFETY: the memory was just allocated with this size.
        unsafe { start.write_bytes(0, layout.size()) };
        Self { start, bytes }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes were allocated and written.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.bytes)) };
    }
}

// SAFETY: the bytes change only through an exclusive reference to their owner.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_back_and_are_the_nearest() {
        let mut before = half_from_bits(0);
        for bits in 0..0x7C00u16 {
            let value = half_from_bits(bits);
            assert_eq!(half_to_bits(value), bits);
            assert_eq!(half_to_bits(-value), bits | 0x8000);
            if bits > 0 {
                assert!(value > before);
                let middle = 0.5 * (before + value);
                assert_eq!(
                    half_to_bits(middle),
                    bits - (bits & 1),
                    "a tie goes to even"
                );
                assert_eq!(half_to_bits(middle * (1.0 + 1e-6)), bits);
                assert_eq!(half_to_bits(middle * (1.0 - 1e-6)), bits - 1);
            }
            before = value;
        }
        // 1.5, the largest, the smallest normal and the smallest value, from the standard.
        for (bits, value) in [
            (0x3E00, 1.5),
            (0x7BFF, 65_504.0),
            (0x0400, 2f32.powi(-14)),
            (1, 2f32.powi(-24)),
        ] {
            assert_eq!(half_from_bits(bits), value);
        }
        assert_eq!(half_to_bits(65_519.0), 0x7BFF);
        assert_eq!(half_to_bits(65_520.0), 0x7C00);
        assert_eq!(half_from_bits(0x7C00), f32::INFINITY);
        assert_eq!(
            half_from_bits(half_to_bits(f32::NEG_INFINITY)),
            f32::NEG_INFINITY
        );
        assert!(half_from_bits(half_to_bits(f32::NAN)).is_nan());
    }
}
