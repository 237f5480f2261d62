//! Products of whole operands.

use super::left_operand::LeftOperand;
use super::packed::Packed;
use super::target::Target;
use crate::matrix::View;
use crate::uninitialized::Uninit;

/// `output = left · right`, or `output += left · right` where `accumulate`, on this thread.
///
/// The rows of `output` are `row_stride` apart.
///
/// # Panics
/// If the shapes do not fit each other, or the output is too short.
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

/// [`multiply`] with the first `columns` columns of `right`, and with its first rows, as many as
/// `left` has columns.
///
/// # Panics
/// If the shapes do not fit each other, or the output is too short.
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
/// As for [`multiply_columns`].
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

/// The output of products. It has as many columns as the right operand, without gaps between rows.
pub(crate) enum Output<'a> {
    /// Memory that the next product is written to.
    New(&'a mut [Uninit]),
    /// Values that the next product is added to.
    Sum(&'a mut [f32]),
}

impl<'a> Output<'a> {
    /// Multiplies the first `rows` rows of a left operand. Gives the product, or the sum that it
    /// was added to.
    ///
    /// # Panics
    /// If the shapes do not fit each other, or the output has another length.
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
                // SAFETY: the product has written values to all its rows and columns.
                unsafe { output.assume_init_mut() }
            }
            Self::Sum(output) => {
                assert_eq!(output.len(), rows * right.columns(), "output");
                Target::new(output, right.columns(), shape, true).multiply(left, right);
                output
            }
        }
    }

    /// Multiplies the first `rows` rows of a left operand. The next product is added to this one.
    ///
    /// # Panics
    /// If the shapes do not fit each other, or the output has another length.
    pub(crate) fn add_operand(&mut self, left: &LeftOperand<'_>, rows: usize, right: &Packed) {
        let output = std::mem::replace(self, Self::Sum(&mut []));
        *self = Self::Sum(output.multiply(left, rows, right));
    }

    /// The sum of all products.
    ///
    /// # Panics
    /// If there was no product.
    pub(crate) fn into_sum(self) -> &'a mut [f32] {
        match self {
            Self::New(_) => panic!("a sum without a product"),
            Self::Sum(sum) => sum,
        }
    }

    /// [`add_operand`](Self::add_operand) with all rows of a matrix.
    ///
    /// # Panics
    /// As for [`add_operand`](Self::add_operand), or if the inner dimensions differ.
    pub(crate) fn add(&mut self, left: View<'_>, right: &Packed) {
        assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
        self.add_operand(&LeftOperand::for_product(left, right), left.rows(), right);
    }
}

/// Writes `left · right` to `output`, on this thread. There are no gaps between the rows.
///
/// # Panics
/// If the shapes do not fit each other, or the output has another length.
pub(crate) fn multiply_into<'a>(
    output: &'a mut [Uninit],
    left: View<'_>,
    right: &Packed,
) -> &'a mut [f32] {
    assert_eq!(left.columns(), right.inner(), "inner dimensions differ");
    let operand = LeftOperand::for_product(left, right);
    Output::New(output).multiply(&operand, left.rows(), right)
}
