//! Products of whole operands.

use super::left_operand::LeftOperand;
use super::packed::Packed;
use super::target::Target;
use crate::matrix::View;
use crate::uninitialized::Uninit;

/// `output = left · right`, or `output += left · right` where `accumulate`, on this thread.
///
/// `output` has rows `row_stride` apart.
///
/// # Panics
/// If the shapes do not fit each other or the output is too short.
pub fn multiply(
    output: &mut [f32],
    row_stride: usize,
    left: View<'_>,
    right: &Packed,
    accumulate: bool,
) {
    assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
    multiply_columns(output, row_stride, left, right, right.columns(), accumulate);
}

/// [`multiply`] by the first `columns` columns and the first rows of `right`, as many as `left` has
/// columns.
///
/// # Panics
/// If the shapes do not fit each other or the output is too short.
pub fn multiply_columns(
    output: &mut [f32],
    row_stride: usize,
    left: View<'_>,
    right: &Packed,
    columns: usize,
    accumulate: bool,
) {
    let operand = LeftOperand::for_product(left, right);
    multiply_operand(
        output,
        row_stride,
        &operand,
        left.rows(),
        right,
        columns,
        accumulate,
    );
}

/// [`multiply_columns`] with the first `rows` rows of a left operand that is used more than once.
///
/// # Panics
/// As there.
pub(crate) fn multiply_operand(
    output: &mut [f32],
    row_stride: usize,
    left: &LeftOperand<'_>,
    rows: usize,
    right: &Packed,
    columns: usize,
    accumulate: bool,
) {
    Target::new(output, row_stride, [rows, columns], accumulate).multiply(left, right);
}

/// Where a product goes that has as many columns as the right operand, row after row.
pub(crate) enum Output<'a> {
    /// Memory that the product is written to.
    New(&'a mut [Uninit]),
    /// Values that the product is added to.
    Sum(&'a mut [f32]),
}

impl<'a> Output<'a> {
    /// The product of the first `rows` rows of a left operand, or what it was added to.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the output has another length.
    pub(crate) fn multiply(
        self,
        left: &LeftOperand<'_>,
        rows: usize,
        right: &Packed,
    ) -> &'a mut [f32] {
        let shape = [rows, right.columns()];
        match self {
            Self::New(output) => {
                assert_eq!(output.len(), rows * right.columns(), "output");
                Target::new_uninit(output, right.columns(), shape).multiply(left, right);
                // SAFETY: the product has written all its rows and columns, which are all values.
                unsafe { output.assume_init_mut() }
            }
            Self::Sum(output) => {
                assert_eq!(output.len(), rows * right.columns(), "output");
                Target::new(output, right.columns(), shape, true).multiply(left, right);
                output
            }
        }
    }

    /// Multiplies, and goes on with the result: the next product is added to it.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the output has another length.
    pub(crate) fn add_operand(&mut self, left: &LeftOperand<'_>, rows: usize, right: &Packed) {
        let output = std::mem::replace(self, Self::Sum(&mut []));
        *self = Self::Sum(output.multiply(left, rows, right));
    }

    /// The sum of all products.
    ///
    /// # Panics
    /// If there was none.
    pub(crate) fn into_sum(self) -> &'a mut [f32] {
        match self {
            Self::New(_) => panic!("a sum without a product"),
            Self::Sum(sum) => sum,
        }
    }

    /// [`add_operand`](Self::add_operand) with all rows of a matrix.
    ///
    /// # Panics
    /// As there, or if the inner dimensions differ.
    pub(crate) fn add(&mut self, left: View<'_>, right: &Packed) {
        assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
        self.add_operand(&LeftOperand::for_product(left, right), left.rows(), right);
    }
}

/// `left · right`, written to `output` row after row, on this thread.
///
/// # Panics
/// If the shapes do not fit each other or the output has another length.
pub(crate) fn multiply_into<'a>(
    output: &'a mut [Uninit],
    left: View<'_>,
    right: &Packed,
) -> &'a mut [f32] {
    assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
    let operand = LeftOperand::for_product(left, right);
    Output::New(output).multiply(&operand, left.rows(), right)
}
