//! Products by a narrow right operand, a panel of 16 columns.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::left_operand::LeftOperand;
use super::tile::Tile;
use super::{Engine, Precision, bfloat, pairs};
use crate::matrix::View;
use crate::square::{SIDE, transpose};

/// Columns of a panel: whole registers at every level.
pub(crate) const PANEL: usize = 16;

/// What rows of an output by a panel are best a multiple of: whole tiles of every engine end there.
const WHOLE: usize = 16;

/// Instructions and operands of products by panels.
#[derive(Clone, Copy)]
pub(crate) struct PanelEngine {
    engine: Engine,
    rounded: bool,
}

impl PanelEngine {
    /// For a precision at the level in use.
    pub(crate) fn of(precision: Precision) -> Self {
        Self {
            engine: Engine::of(precision),
            rounded: precision == Precision::Bf16,
        }
    }

    /// A left operand for several products.
    pub(crate) fn left(self, left: View<'_>) -> LeftOperand<'_> {
        LeftOperand::new(left, self.engine, self.rounded)
    }

    /// Room for a left operand in the units of the engine, in values.
    pub(crate) fn left_room(self, rows: usize, terms: usize) -> usize {
        LeftOperand::room(rows, terms, self.engine)
    }

    /// A left operand for several products, in `room` unless it is taken as it is.
    ///
    /// # Panics
    /// If the room is too short.
    pub(crate) fn left_in<'a>(self, left: View<'a>, room: &'a mut [f32]) -> LeftOperand<'a> {
        LeftOperand::new_in(left, self.engine, self.rounded, room)
    }

    /// Room for a panel of `terms` rows in the units of the engine, in values.
    pub(crate) fn room(self, terms: usize) -> usize {
        self.engine.units(terms) * PANEL
    }

    /// Room for an output of `rows` rows, in values: whole tiles are written.
    pub(crate) fn output(rows: usize) -> usize {
        rows.next_multiple_of(WHOLE) * PANEL
    }

    /// A matrix of up to 16 columns as products take it: as it is, or in `room`.
    ///
    /// # Panics
    /// If there are more columns, or the room is too short.
    pub(crate) fn panel<'a>(self, matrix: View<'a>, room: &'a mut [f32]) -> &'a [f32] {
        let lies_so = matrix.columns() == PANEL
            && matrix.column_stride() == 1
            && matrix.row_stride() == PANEL;
        if lies_so && !self.rounded {
            return &matrix.values()[..matrix.rows() * PANEL];
        }
        let room = &mut room[..self.room(matrix.rows())];
        self.fill_panel(room, matrix);
        room
    }

    /// All columns of a matrix as panels, one after the other, each as long as its [room](Self::room).
    ///
    /// # Panics
    /// If the room is too short.
    pub(crate) fn fill_panels(self, room: &mut [f32], matrix: View<'_>) {
        let columns = matrix.columns();
        let firsts = (0..columns).step_by(PANEL);
        let length = self.room(matrix.rows());
        assert!(room.len() >= firsts.len() * length, "room for all panels");
        for (first, room) in firsts.zip(room.chunks_exact_mut(length)) {
            self.fill_panel(room, matrix.part(first, PANEL.min(columns - first)));
        }
    }

    fn fill_panel(self, room: &mut [f32], matrix: View<'_>) {
        let (terms, columns) = (matrix.rows(), matrix.columns());
        assert!(columns <= PANEL, "columns of a panel");
        if self.engine.takes_pairs() {
            return pairs::lines(room, PANEL, self.engine.units(terms), matrix);
        }
        if matrix.column_stride() == 1 {
            for (line, term) in room.chunks_exact_mut(PANEL).zip(0..terms) {
                line[..columns].copy_from_slice(&matrix.row(term)[..columns]);
                line[columns..].fill(0.0);
            }
        } else {
            let turned = matrix.transposed();
            put_columns(room, (0..columns).map(|row| &turned.row(row)[..terms]));
        }
        if self.rounded {
            room.iter_mut()
                .for_each(|value| *value = bfloat::from_bits(bfloat::to_bits(*value)));
        }
    }

    /// `output = left · panel`, or `output += left · panel` where `accumulate`, of the first `rows`
    /// rows and `terms` terms of `left`, on this thread.
    ///
    /// `output` is `[rows, PANEL]`, with [room](Self::output) for whole tiles, whose other rows get any
    /// values. The left operand is read once, and the panel once for each tile of rows. In pairs, terms
    /// of the left operand behind the last one are multiplied by 0, which infinities among them make NaN.
    ///
    /// # Panics
    /// If an operand is too short.
    pub(crate) fn multiply(
        self,
        output: &mut [f32],
        left: &LeftOperand<'_>,
        rows: usize,
        (panel, terms): (&[f32], usize),
        accumulate: bool,
    ) {
        assert_eq!(left.engine, self.engine, "operands of one engine");
        assert!(rows <= left.rows, "more rows than the left operand has");
        assert!(terms <= left.terms, "more terms than the left operand has");
        assert!(panel.len() >= self.room(terms), "panel too short");
        #[cfg(target_arch = "x86_64")]
        if self.engine.is_amx() {
            assert!(output.len() >= Self::output(rows), "output too short");
            // SAFETY: the engine exists only where the tile unit is usable.
            let mut tiles = unsafe { amx::Hardware::configured() };
            return blocks(&mut tiles, output, left, rows, (panel, terms), accumulate);
        }
        assert!(output.len() >= rows * PANEL, "output too short");
        let (most, registers) = (self.engine.rows(), PANEL / self.engine.lanes());
        let whole = self.engine.tiles::<false>(most.min(rows.max(1)), registers);
        for (index, output) in output[..rows * PANEL].chunks_mut(most * PANEL).enumerate() {
            let count = output.len() / PANEL;
            let compute = if count == most {
                whole
            } else {
                self.engine.tiles::<false>(count, registers)
            };
            let (start, left_row, left_step) = left.tile(index * most, 0);
            let tile = Tile {
                inner: self.engine.units(terms),
                left: start,
                left_row,
                left_step,
                right: panel.as_ptr(),
                output: output.as_mut_ptr(),
                output_row: PANEL,
                rows: std::ptr::null(),
                accumulate,
            };
            // SAFETY: the engine exists, so the processor has its instructions; the lengths of all
            // operands are checked above.
            unsafe { compute(tile) };
        }
    }
}

/// Writes rows as the columns of a panel; columns without a row are 0.
pub(crate) fn put_columns<'a>(panel: &mut [f32], rows: impl Iterator<Item = &'a [f32]> + Clone) {
    let (lines, _) = panel.as_chunks_mut::<PANEL>();
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

/// The same with the tile unit, 32 rows at a time. The output has room for whole tiles.
#[cfg(target_arch = "x86_64")]
fn blocks<T: amx::Tiles>(
    tiles: &mut T,
    output: &mut [f32],
    left: &LeftOperand<'_>,
    rows: usize,
    (panel, terms): (&[f32], usize),
    accumulate: bool,
) {
    for (index, output) in output[..PanelEngine::output(rows)]
        .chunks_mut(amx::BLOCK * PANEL)
        .enumerate()
    {
        let block = amx::Block {
            steps: terms.div_ceil(2 * amx::PAIRS),
            left: left.tile(index * amx::BLOCK, 0).0,
            left_steps: left.units / amx::PAIRS,
            right: panel.as_ptr(),
            right_row: PANEL,
            output: output.as_mut_ptr(),
            output_row: PANEL,
            accumulate,
            both_rows: output.len() > amx::BLOCK / 2 * PANEL,
            both_columns: false,
        };
        // SAFETY: whoever has the tiles can run them; the left operand has rows up to a multiple of 16
        // and pairs up to whole steps, as has the panel, and the output has room for whole tiles.
        unsafe { amx::compute(tiles, block) };
    }
}

/// `output = left · panel` in f32, or `output += left · panel` where `accumulate`, on this thread.
///
/// `panel` is `[left's columns, 16]` and `output` `[left's rows, 16]`; both may be longer.
///
/// # Panics
/// If one of both is too short.
pub(crate) fn multiply_panel(output: &mut [f32], left: View<'_>, panel: &[f32], accumulate: bool) {
    let engine = PanelEngine::of(Precision::F32);
    let operand = engine.left(left);
    let panel = (panel, left.columns());
    engine.multiply(output, &operand, left.rows(), panel, accumulate);
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::engine::Kind;
    use crate::random::{Philox, unit};

    fn values(count: usize, stream: u64) -> Vec<f32> {
        let generator = Philox::new(5, stream);
        let value = |index| 2.0 * unit(generator.number(index as u64)) - 1.0;
        (0..count).map(value).collect()
    }

    proptest! {
        /// The way of the tile unit, on tiles made of software, with some of the rows and terms.
        #[test]
        fn blocks_make_up_a_product_by_a_panel(
            rows in 1usize..70, more_rows in 0usize..20, terms in 1usize..80, more_terms in 0usize..40,
            flipped in any::<bool>(), accumulate in any::<bool>(),
        ) {
            let (all_rows, all_terms) = (rows + more_rows, terms + more_terms);
            let left = values(all_rows * all_terms, 1);
            let left = if flipped {
                View::new(&left, all_terms, all_rows, all_rows).transposed()
            } else {
                View::new(&left, all_rows, all_terms, all_terms)
            };
            let right = values(terms * PANEL, 2);
            let engine = PanelEngine { engine: Engine(Kind::Amx), rounded: true };
            let mut room = vec![f32::NAN; engine.room(terms)];
            let panel = engine.panel(View::new(&right, terms, PANEL, PANEL), &mut room);
            let before = values(PanelEngine::output(rows), 3);
            let mut output = before.clone();
            let mut tiles = amx::Software::default();
            blocks(&mut tiles, &mut output, &engine.left(left), rows, (panel, terms), accumulate);
            let rounded = |value| f64::from(bfloat::from_bits(bfloat::to_bits(value)));
            for (index, &found) in output.iter().enumerate().take(rows * PANEL) {
                let (row, column) = (index / PANEL, index % PANEL);
                let products = (0..terms)
                    .map(|i| rounded(left.at(row, i)) * rounded(right[i * PANEL + column]));
                let start = if accumulate { f64::from(before[index]) } else { 0.0 };
                let expected = start + products.sum::<f64>();
                // At most 81 additions to sums of at most 81, each off by 2⁻²⁴ of the sum.
                prop_assert!((f64::from(found) - expected).abs() <= 81.0 * 81.0 / f64::from(1 << 24));
            }
        }
    }
}
