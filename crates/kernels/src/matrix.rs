//! Matrices inside slices.

/// A matrix inside a slice: element `(row, column)` is at `row · row_stride + column ·
/// column_stride`. Every element lies in the slice.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A matrix whose rows begin `row_stride` values apart. Neighbouring columns are neighbours in
    /// memory.
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

    /// The `count` columns from `first` on.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn columns_from(self, first: usize, count: usize) -> Self {
        assert!(
            first <= self.columns && count <= self.columns - first,
            "columns outside of the matrix"
        );
        let start = (first * self.column_stride).min(self.values.len());
        Self {
            values: &self.values[start..],
            columns: count,
            ..self
        }
    }

    /// The `count` rows from `first` on.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn rows_from(self, first: usize, count: usize) -> Self {
        self.transposed().columns_from(first, count).transposed()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn values(&self) -> &'a [f32] {
        self.values
    }

    pub(crate) fn row_stride(&self) -> usize {
        self.row_stride
    }

    pub(crate) fn column_stride(&self) -> usize {
        self.column_stride
    }

    /// The values from the start of a row on. They begin with the row if the column stride is 1.
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.row_stride..]
    }

    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.row_stride + column * self.column_stride]
    }
}

/// The length of a slice that holds a matrix, or the largest `usize` if that overflows.
pub(crate) fn extent(
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    let last = (rows - 1)
        .checked_mul(row_stride)
        .zip((columns - 1).checked_mul(column_stride));
    last.and_then(|(row, column)| row.checked_add(column)?.checked_add(1))
        .unwrap_or(usize::MAX)
}
