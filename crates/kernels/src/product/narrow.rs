//! Products by narrow right operands: matrices of 16 columns.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::engine::{Engine, Precision};
use super::left_operand::LeftOperand;
use super::tile::Tile;
use super::{bfloat, pairs};
use crate::matrix::View;
use crate::square::{SIDE, transpose};

/// Columns of a narrow matrix: whole registers at every level.
pub(crate) const NARROW_COLUMNS: usize = 16;

/// Rows of an output are filled up to a multiple of this: the tile unit writes whole tiles.
const ROWS_OF_TILE: usize = 16;

/// Instructions and operands of products by narrow matrices.
#[derive(Clone, Copy)]
pub(crate) struct NarrowEngine {
    engine: Engine,
    rounded: bool,
}

impl NarrowEngine {
    /// The most narrow matrices that one product takes at once.
    pub(crate) const MOST_AT_ONCE: usize = 2;

    /// The engine for a precision at the level in use.
    pub(crate) fn for_precision(precision: Precision) -> Self {
        Self {
            engine: Engine::for_precision(precision),
            rounded: precision == Precision::Bf16,
        }
    }

    /// How many narrow matrices a product had best take at once.
    pub(crate) fn matrices_at_once(self) -> usize {
        if self.engine.is_amx() {
            Self::MOST_AT_ONCE
        } else {
            1
        }
    }

    /// Whether operands are copies: packed as pairs, or rounded.
    pub(crate) fn copies(self) -> bool {
        self.rounded || self.engine.takes_pairs()
    }

    /// The length of a buffer for a [left operand](Self::left_operand); 0 where it is not copied.
    pub(crate) fn left_len(self, rows: usize, terms: usize) -> usize {
        if self.copies() {
            LeftOperand::packed_len(rows, terms, self.engine)
        } else {
            0
        }
    }

    /// The length of a packed narrow matrix of `terms` rows.
    pub(crate) fn right_len(self, terms: usize) -> usize {
        self.engine.units(terms) * NARROW_COLUMNS
    }

    /// The length of a buffer for [right operands](Self::right_operands); 0 where a matrix of f32 values
    /// is taken as it is.
    pub(crate) fn right_operands_len(self, terms: usize) -> usize {
        if self.copies() {
            self.matrices_at_once() * self.right_len(terms)
        } else {
            0
        }
    }

    /// The length of an output of `rows` rows, with room for whole tiles.
    pub(crate) fn output_len(rows: usize) -> usize {
        rows.next_multiple_of(ROWS_OF_TILE) * NARROW_COLUMNS
    }

    /// A left operand for one or several products, packed into `buffer` where it is a copy.
    ///
    /// # Panics
    /// If the buffer is too short.
    pub(crate) fn left_operand<'a>(self, left: View<'a>, buffer: &'a mut [f32]) -> LeftOperand<'a> {
        LeftOperand::new_in(left, self.engine, self.rounded, buffer)
    }

    /// The first `terms` columns of narrow matrices side by side, as a left operand: of one matrix, or of
    /// two where products take two [at once](Self::matrices_at_once). It has as many rows as the last
    /// matrix; rows that the first lacks are 0. Packed into `buffer` where it is a copy.
    ///
    /// # Panics
    /// If there are more matrices, or the buffer is too short.
    pub(crate) fn left_side_by_side<'a>(
        self,
        matrices: &[&'a [f32]],
        terms: usize,
        buffer: &'a mut [f32],
    ) -> LeftOperand<'a> {
        let rows = matrices
            .last()
            .map_or(0, |last| last.len() / NARROW_COLUMNS);
        match *matrices {
            [matrix] => self.left_operand(View::new(matrix, rows, terms, NARROW_COLUMNS), buffer),
            [first, second] => LeftOperand::side_by_side([first, second], self.engine, buffer),
            _ => panic!("{} matrices side by side", matrices.len()),
        }
    }

    /// Splits a matrix into packed narrow matrices, one after the other, each of the
    /// [length](Self::right_len) of its rows.
    ///
    /// # Panics
    /// If the buffer is too short.
    pub(crate) fn split_columns<'a>(self, matrix: View<'_>, buffer: &'a mut [f32]) -> &'a [f32] {
        let columns = matrix.columns();
        let length = self.right_len(matrix.rows());
        let buffer = &mut buffer[..columns.div_ceil(NARROW_COLUMNS) * length];
        for (index, packed) in buffer.chunks_exact_mut(length).enumerate() {
            let first = index * NARROW_COLUMNS;
            let count = NARROW_COLUMNS.min(columns - first);
            self.pack(packed, matrix.columns_from(first, count));
        }
        buffer
    }

    /// Packs narrow matrices as right operands of products of `terms` terms, one after the other, each of
    /// the [length](Self::right_len) of its terms. Rows that a matrix lacks are 0. A single matrix of f32
    /// values with all rows is taken as it is.
    ///
    /// # Panics
    /// If a matrix has more rows than terms, or the buffer is too short.
    pub(crate) fn right_operands<'a>(
        self,
        matrices: &[&'a [f32]],
        terms: usize,
        buffer: &'a mut [f32],
    ) -> &'a [f32] {
        match matrices {
            [matrix] if !self.copies() && matrix.len() == terms * NARROW_COLUMNS => return matrix,
            _ => {}
        }
        let length = self.right_len(terms);
        let buffer = &mut buffer[..matrices.len() * length];
        for (matrix, packed) in matrices.iter().zip(buffer.chunks_exact_mut(length)) {
            let rows = matrix.len() / NARROW_COLUMNS;
            assert!(rows <= terms, "rows of a narrow matrix");
            self.pack(
                packed,
                View::new(matrix, rows, NARROW_COLUMNS, NARROW_COLUMNS),
            );
        }
        buffer
    }

    /// Packs a narrow matrix, and fills rows and columns that it lacks with 0.
    fn pack(self, packed: &mut [f32], matrix: View<'_>) {
        let (terms, columns) = (matrix.rows(), matrix.columns());
        assert!(columns <= NARROW_COLUMNS, "columns of a narrow matrix");
        if self.engine.takes_pairs() {
            let units = packed.len() / NARROW_COLUMNS;
            return pairs::pack_right(packed, NARROW_COLUMNS, units, matrix);
        }
        let (filled, rest) = packed.split_at_mut(terms * NARROW_COLUMNS);
        rest.fill(0.0);
        if matrix.column_stride() == 1 {
            for (line, term) in filled.chunks_exact_mut(NARROW_COLUMNS).zip(0..terms) {
                copy_short(&mut line[..columns], &matrix.row(term)[..columns]);
                line[columns..].fill(0.0);
            }
        } else {
            let transposed = matrix.transposed();
            rows_to_columns(
                filled,
                (0..columns).map(|row| &transposed.row(row)[..terms]),
            );
        }
        if self.rounded {
            filled
                .iter_mut()
                .for_each(|value| *value = bfloat::from_bits(bfloat::to_bits(*value)));
        }
    }

    /// For each of several right operands `output = left · right`, or `output += left · right` where
    /// `accumulate`, with the first `rows` rows and `terms` terms of `left`, on this thread.
    ///
    /// - `outputs`: `[rows, NARROW_COLUMNS]` each, and their distance. Each has the
    ///   [length](Self::output_len) of whole tiles; rows behind the last one are overwritten by anything.
    /// - `right`: packed matrices one after the other, and their number of terms. Engines of pairs
    ///   multiply terms of the left operand behind the last one by 0; infinities among them give NaN.
    ///
    /// # Panics
    /// If there are no terms, or an operand or the outputs are too short.
    pub(crate) fn multiply(
        self,
        outputs: (&mut [f32], usize),
        left: &LeftOperand<'_>,
        rows: usize,
        right: (&[f32], usize),
        accumulate: bool,
    ) {
        assert_eq!(left.engine, self.engine, "operands of one engine");
        #[cfg(target_arch = "x86_64")]
        if self.engine.is_amx() {
            // SAFETY: the engine exists only where the tile unit is usable.
            let mut tiles = unsafe { amx::Hardware::configured() };
            return multiply_in_tiles(&mut tiles, outputs, left, rows, right, accumulate);
        }
        let ((outputs, stride), (right, terms)) = (outputs, right);
        let length = check(left, rows, terms, (outputs.len(), stride), right.len());
        for (right, output) in right.chunks(length).zip(outputs.chunks_mut(stride)) {
            self.multiply_one(output, left, rows, (right, terms), accumulate);
        }
    }

    /// The product by one right operand, without the tile unit.
    fn multiply_one(
        self,
        output: &mut [f32],
        left: &LeftOperand<'_>,
        rows: usize,
        (right, terms): (&[f32], usize),
        accumulate: bool,
    ) {
        assert!(
            right.len() >= self.right_len(terms),
            "right operand too short"
        );
        assert!(output.len() >= rows * NARROW_COLUMNS, "output too short");
        let (most, registers) = (self.engine.rows(), NARROW_COLUMNS / self.engine.lanes());
        let whole = self
            .engine
            .tile_function::<false>(most.min(rows.max(1)), registers);
        let tiles = output[..rows * NARROW_COLUMNS].chunks_mut(most * NARROW_COLUMNS);
        for (index, output) in tiles.enumerate() {
            let count = output.len() / NARROW_COLUMNS;
            let compute = if count == most {
                whole
            } else {
                self.engine.tile_function::<false>(count, registers)
            };
            let (start, left_row, left_step) = left.strides_from(index * most, 0);
            let tile = Tile {
                inner: self.engine.units(terms),
                left: start,
                left_row,
                left_step,
                right: right.as_ptr(),
                output: output.as_mut_ptr(),
                output_row: NARROW_COLUMNS,
                rows: std::ptr::null(),
                accumulate,
            };
            // SAFETY: the engine exists, so the processor has its instructions; the lengths of all
            // operands are checked above.
            unsafe { compute(tile) };
        }
    }
}

/// Copies a row that is too short for a call of `memcpy`.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub(crate) fn copy_short<T: Copy>(to: &mut [T], from: &[T]) {
    assert_eq!(to.len(), from.len(), "rows of one length");
    let (to, to_rest) = to.as_chunks_mut::<NARROW_COLUMNS>();
    let (from, from_rest) = from.as_chunks::<NARROW_COLUMNS>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

/// Writes rows as the columns of a narrow matrix. Columns without a row are 0.
pub(crate) fn rows_to_columns<'a>(
    matrix: &mut [f32],
    rows: impl Iterator<Item = &'a [f32]> + Clone,
) {
    let (lines, _) = matrix.as_chunks_mut::<NARROW_COLUMNS>();
    for (index, lines) in lines.chunks_mut(SIDE).enumerate() {
        let mut square = [[0.0; SIDE]; SIDE];
        for (line, row) in square.iter_mut().zip(rows.clone()) {
            let row = row.get(index * SIDE..).unwrap_or_default();
            match row.first_chunk() {
                Some(row) => *line = *row,
                None => line[..row.len()].copy_from_slice(row),
            }
        }
        transpose(&mut square);
        lines.copy_from_slice(&square[..lines.len()]);
    }
}

/// Checks that the left operand has the rows and terms, and that there is an output with room for whole
/// tiles for each right operand. Gives the length of a right operand.
///
/// # Panics
/// If not, or if there are no terms.
fn check(
    left: &LeftOperand<'_>,
    rows: usize,
    terms: usize,
    (outputs, stride): (usize, usize),
    right: usize,
) -> usize {
    assert!(rows <= left.rows, "more rows than the left operand has");
    assert!(terms <= left.terms, "more terms than the left operand has");
    let length = left.engine.units(terms) * NARROW_COLUMNS;
    assert!(
        length > 0 && right.is_multiple_of(length),
        "right operands of all terms"
    );
    let before = (right / length).saturating_sub(1) * stride;
    let output = NarrowEngine::output_len(rows);
    assert!(
        stride >= output && outputs >= before + output,
        "room for all outputs"
    );
    length
}

/// The products with the tile unit, by two narrow matrices and for 32 rows at a time.
///
/// # Panics
/// As for [`NarrowEngine::multiply`].
#[cfg(target_arch = "x86_64")]
fn multiply_in_tiles<T: amx::Tiles>(
    tiles: &mut T,
    (outputs, stride): (&mut [f32], usize),
    left: &LeftOperand<'_>,
    rows: usize,
    (right, terms): (&[f32], usize),
    accumulate: bool,
) {
    assert!(left.engine.is_amx(), "an operand in tiles");
    let length = check(left, rows, terms, (outputs.len(), stride), right.len());
    let whole = rows.next_multiple_of(ROWS_OF_TILE);
    let pairs = right.chunks(2 * length).zip(outputs.chunks_mut(2 * stride));
    for (right, outputs) in pairs {
        for row in (0..whole).step_by(amx::BLOCK) {
            let (start, left_steps) = left.tiles_from(row);
            let block = amx::Block {
                steps: terms.div_ceil(2 * amx::PAIRS),
                left: start,
                left_steps,
                right: right.as_ptr(),
                right_row: NARROW_COLUMNS,
                right_other: length,
                output: outputs[row * NARROW_COLUMNS..].as_mut_ptr(),
                output_row: NARROW_COLUMNS,
                output_other: stride,
                accumulate,
                both_rows: row + ROWS_OF_TILE < whole,
                both_columns: right.len() > length,
            };
            // SAFETY: the tiles can be used. The left operand has rows up to a multiple of 16; both
            // operands have pairs up to whole steps; all outputs have room for whole tiles.
            unsafe { amx::compute(tiles, block) };
        }
    }
}

/// `output = left · right` in f32, or `output += left · right` where `accumulate`, on this thread.
///
/// `right` is `[left's columns, 16]` and `output` `[left's rows, 16]`; both may be longer.
///
/// # Panics
/// If one of both is too short.
pub(crate) fn multiply_narrow(output: &mut [f32], left: View<'_>, right: &[f32], accumulate: bool) {
    let engine = NarrowEngine::for_precision(Precision::F32);
    let operand = engine.left_operand(left, &mut []);
    let right = (right, left.columns());
    engine.multiply_one(output, &operand, left.rows(), right, accumulate);
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::engine::Kind;
    use crate::random::values;

    const AMX: NarrowEngine = NarrowEngine {
        engine: Engine(Kind::Amx),
        rounded: true,
    };

    fn rounded(value: f32) -> f64 {
        f64::from(bfloat::from_bits(bfloat::to_bits(value)))
    }

    /// The products with tiles in software, `[matrix, stride]`, and what the outputs held before.
    fn products(
        left: &LeftOperand<'_>,
        rows: usize,
        right: (&[f32], usize),
        (stride, accumulate): (usize, bool),
    ) -> [Vec<f32>; 2] {
        let before = values(3 * stride, 3);
        let mut outputs = before.clone();
        let mut tiles = amx::Software::default();
        let to = (&mut outputs[..], stride);
        multiply_in_tiles(&mut tiles, to, left, rows, right, accumulate);
        [outputs, before]
    }

    proptest! {
        /// With some of the rows and terms of the left operand.
        #[test]
        fn tiles_compute_products_by_narrow_matrices(
            rows in 1usize..70, more_rows in 0usize..20, terms in 1usize..80, more_terms in 0usize..40,
            columns in 1usize..=3 * NARROW_COLUMNS, flipped in any::<bool>(), accumulate in any::<bool>(),
        ) {
            let (all_rows, all_terms) = (rows + more_rows, terms + more_terms);
            let left = values(all_rows * all_terms, 1);
            let left = if flipped {
                View::new(&left, all_terms, all_rows, all_rows).transposed()
            } else {
                View::new(&left, all_rows, all_terms, all_terms)
            };
            let right = values(terms * columns, 2);
            let right = View::new(&right, terms, columns, columns);
            let mut buffer = vec![f32::NAN; 3 * AMX.right_len(terms)];
            let packed = (AMX.split_columns(right, &mut buffer), terms);
            let stride = NarrowEngine::output_len(rows) + 5;
            let mut buffer = vec![f32::NAN; AMX.left_len(all_rows, all_terms)];
            let operand = AMX.left_operand(left, &mut buffer);
            let [found, before] = products(&operand, rows, packed, (stride, accumulate));
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                let place =
                    column / NARROW_COLUMNS * stride + row * NARROW_COLUMNS + column % NARROW_COLUMNS;
                let products = (0..terms).map(|i| rounded(left.at(row, i)) * rounded(right.at(i, column)));
                let start = if accumulate { f64::from(before[place]) } else { 0.0 };
                let expected = start + products.sum::<f64>();
                // At most 81 additions to sums of at most 81, each off by 2⁻²⁴ of the sum.
                let bound = 81.0 * 81.0 / f64::from(1 << 24);
                prop_assert!((f64::from(found[place]) - expected).abs() <= bound);
            }
        }

        /// Two narrow matrices, the first perhaps with fewer rows, as a left and as a right operand.
        #[test]
        fn two_narrow_matrices_are_operands(rows in 1usize..70, fewer in 0usize..20) {
            let counts = [rows.saturating_sub(fewer), rows];
            let matrices = [1, 2].map(|stream| values(rows * NARROW_COLUMNS, stream));
            let filled = [0, 1].map(|index| &matrices[index][..counts[index] * NARROW_COLUMNS]);
            let at = |row: usize, column: usize| {
                let (matrix, column) = (column / NARROW_COLUMNS, column % NARROW_COLUMNS);
                match row < counts[matrix] {
                    true => rounded(matrices[matrix][row * NARROW_COLUMNS + column]),
                    false => 0.0,
                }
            };
            let bound = 70.0 * 70.0 / f64::from(1 << 24);
            // [rows, 32] · [32, 16].
            let both = 2 * NARROW_COLUMNS;
            let right = values(both * NARROW_COLUMNS, 4);
            let length = 2 * AMX.right_len(rows).max(AMX.left_len(rows, both));
            let mut buffers = [(); 2].map(|()| vec![f32::NAN; length]);
            let [left_buffer, right_buffer] = &mut buffers;
            let left = AMX.left_side_by_side(&filled, both, left_buffer);
            let right_view = View::new(&right, both, NARROW_COLUMNS, NARROW_COLUMNS);
            let packed = (AMX.split_columns(right_view, right_buffer), both);
            let stride = NarrowEngine::output_len(rows);
            let [found, _] = products(&left, rows, packed, (stride, false));
            for (index, found) in found[..rows * NARROW_COLUMNS].iter().enumerate() {
                let (row, column) = (index / NARROW_COLUMNS, index % NARROW_COLUMNS);
                let products =
                    (0..both).map(|i| at(row, i) * rounded(right[i * NARROW_COLUMNS + column]));
                prop_assert!((f64::from(*found) - products.sum::<f64>()).abs() <= bound);
            }
            // [3, rows] · [rows, 32].
            let left = values(3 * rows, 5);
            let operand = AMX.left_operand(View::new(&left, 3, rows, rows), left_buffer);
            let packed = (AMX.right_operands(&filled, rows, right_buffer), rows);
            let stride = NarrowEngine::output_len(3);
            let [found, _] = products(&operand, 3, packed, (stride, false));
            for (row, column) in (0..3).flat_map(|row| (0..both).map(move |c| (row, c))) {
                let place =
                    column / NARROW_COLUMNS * stride + row * NARROW_COLUMNS + column % NARROW_COLUMNS;
                let products = (0..rows).map(|i| rounded(left[row * rows + i]) * at(i, column));
                prop_assert!((f64::from(found[place]) - products.sum::<f64>()).abs() <= bound);
            }
        }
    }
}
