//! Matrix products on slices with any strides.

/// A matrix inside a slice: element `(row, column)` is at
/// `row · row_stride + column · column_stride`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A matrix whose rows lie `row_stride` apart and whose columns lie side by side.
    ///
    /// # Panics
    /// If the slice is too short.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            values.len() >= extent(rows, columns, row_stride, 1),
            "slice too short"
        );
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same matrix with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    let last = (rows - 1)
        .checked_mul(row_stride)
        .zip((columns - 1).checked_mul(column_stride));
    last.and_then(|(row, column)| row.checked_add(column)?.checked_add(1))
        .unwrap_or(usize::MAX)
}

/// `output = scale · left · right (+ output)`: `output` has rows `row_stride` apart.
///
/// Runs on the calling thread, or on all threads of the current rayon pool where `parallel`.
/// The result does not depend on which.
///
/// # Panics
/// If the shapes do not fit each other or the output is too short.
pub fn product(
    output: &mut [f32],
    row_stride: usize,
    left: View<'_>,
    right: View<'_>,
    scale: f32,
    accumulate: bool,
    parallel: bool,
) {
    let (rows, inner, columns) = (left.rows, left.columns, right.columns);
    assert_eq!(inner, right.rows, "inner dimensions differ");
    assert!(row_stride >= columns, "rows of the output overlap");
    assert!(
        output.len() >= extent(rows, columns, row_stride, 1),
        "output too short"
    );
    if rows == 0 || columns == 0 {
        return;
    }
    let parallelism = if parallel {
        gemm::Parallelism::Rayon(0)
    } else {
        gemm::Parallelism::None
    };
    // SAFETY: `View` guarantees that every element of both operands lies in its slice, and the
    // assertions above do so for the output, whose slice is exclusively borrowed.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            output.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}
