//! Stored weights as f32 values and as operands of products.

use super::format::{Format, Rows, half_from_bits};
use crate::level::levelled;
use crate::matrix::View;
use crate::product::{Packed, Precision, bfloat};
use crate::scratch::scratch;

levelled! {
    /// f32 values from their bytes.
    fn widen_f32(output: &mut [f32], bytes: &[u8]) {
        for (output, bytes) in output.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *output = f32::from_ne_bytes(*bytes);
        }
    }
}

levelled! {
    /// bf16 values from their bytes.
    fn widen_bf16(output: &mut [f32], bytes: &[u8]) {
        for (output, bytes) in output.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *output = bfloat::from_bits(u16::from_ne_bytes(*bytes));
        }
    }
}

levelled! {
    /// f16 values from their bytes.
    fn widen_f16(output: &mut [f32], bytes: &[u8]) {
        for (output, bytes) in output.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *output = half_from_bits(u16::from_ne_bytes(*bytes));
        }
    }
}

impl Rows {
    /// Writes the values of a row from `first` on, as many as `output` takes.
    pub(super) fn widen(&self, row: usize, first: usize, output: &mut [f32]) {
        let size = self.format().bytes();
        let start = (row * self.stride() + first) * size;
        let bytes = &self.bytes()[start..][..output.len() * size];
        match self.format() {
            Format::F32 => widen_f32(output, bytes),
            Format::Bf16 => widen_bf16(output, bytes),
            Format::F16 => widen_f16(output, bytes),
        }
    }

    /// The right operand `[length, count]` whose column `i` is the row `row(i)`.
    pub(super) fn packed_across(
        &self,
        count: usize,
        length: usize,
        row: impl Fn(usize) -> usize,
        precision: Precision,
    ) -> Packed {
        let mut values = scratch(count * length);
        for (column, values) in values.chunks_exact_mut(length).enumerate() {
            self.widen(row(column), 0, values);
        }
        let columns = View::new(&values, count, length, length);
        Packed::new(columns.transposed(), precision)
    }

    /// The right operand `[height, count]` whose row `i` is the part of the row `row(i)` from
    /// `first` on.
    pub(super) fn packed_down(
        &self,
        count: usize,
        height: usize,
        first: usize,
        row: impl Fn(usize) -> usize,
        precision: Precision,
    ) -> Packed {
        let mut values = scratch(height * count);
        for (index, values) in values.chunks_exact_mut(count).enumerate() {
            self.widen(row(index), first, values);
        }
        Packed::new(View::new(&values, height, count, count), precision)
    }
}
