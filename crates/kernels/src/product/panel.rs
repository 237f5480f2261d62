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

    /// The most panels whose products are made together.
    pub(crate) const MOST_TOGETHER: usize = 2;

    /// Panels whose products are best made together.
    pub(crate) fn together(self) -> usize {
        if self.engine.is_amx() {
            Self::MOST_TOGETHER
        } else {
            1
        }
    }

    /// Whether operands are copied, be it into pairs or rounded.
    pub(crate) fn copies(self) -> bool {
        self.rounded || self.engine.takes_pairs()
    }

    /// Room for a [left operand](Self::left_in), in values: none where it is taken as it is.
    pub(crate) fn left_room(self, rows: usize, terms: usize) -> usize {
        if self.copies() {
            LeftOperand::room(rows, terms, self.engine)
        } else {
            0
        }
    }

    /// Room for the [operands](Self::operands) of products that are made together, in values: none where
    /// a panel of all terms is taken as it is.
    pub(crate) fn operands_room(self, terms: usize) -> usize {
        if self.copies() {
            self.together() * self.room(terms)
        } else {
            0
        }
    }

    /// A left operand for one or several products, in `room` unless it is taken as it is.
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

    /// All columns of a matrix as panels, one after the other, each as long as its [room](Self::room).
    ///
    /// # Panics
    /// If the room is too short.
    pub(crate) fn panels<'a>(self, matrix: View<'_>, room: &'a mut [f32]) -> &'a [f32] {
        let columns = matrix.columns();
        let length = self.room(matrix.rows());
        let room = &mut room[..columns.div_ceil(PANEL) * length];
        for (index, room) in room.chunks_exact_mut(length).enumerate() {
            let first = index * PANEL;
            self.fill_panel(room, matrix.part(first, PANEL.min(columns - first)));
        }
        room
    }

    /// Panels `[rows, PANEL]` as products of `terms` terms take them, one after the other, each as long
    /// as its [room](Self::room): a single one of f32 values as it is, else in `room`. Rows that one
    /// lacks are 0.
    ///
    /// # Panics
    /// If one has more rows than terms, or the room is too short.
    pub(crate) fn operands<'a>(
        self,
        panels: &[&'a [f32]],
        terms: usize,
        room: &'a mut [f32],
    ) -> &'a [f32] {
        match panels {
            [panel] if !self.copies() && panel.len() == terms * PANEL => return panel,
            _ => {}
        }
        let length = self.room(terms);
        let room = &mut room[..panels.len() * length];
        for (panel, room) in panels.iter().zip(room.chunks_exact_mut(length)) {
            let rows = panel.len() / PANEL;
            assert!(rows <= terms, "rows of a panel");
            self.fill_panel(room, View::new(panel, rows, PANEL, PANEL));
        }
        room
    }

    /// The first `terms` columns of panels `[rows, PANEL]` as a left operand of as many rows as the last
    /// one has, in `room` unless it is taken as it is: of one panel, or of two, with their columns side by
    /// side, where products are made [together](Self::together). Rows that the first lacks are 0.
    ///
    /// # Panics
    /// If there are more panels, or the room is too short.
    pub(crate) fn left_of_panels<'a>(
        self,
        panels: &[&'a [f32]],
        terms: usize,
        room: &'a mut [f32],
    ) -> LeftOperand<'a> {
        let rows = panels.last().map_or(0, |panel| panel.len() / PANEL);
        match *panels {
            [panel] => self.left_in(View::new(panel, rows, terms, PANEL), room),
            [first, second] => LeftOperand::of_panels([first, second], self.engine, room),
            _ => panic!("{} panels side by side", panels.len()),
        }
    }

    /// Fills the room with a panel; rows that it lacks are 0.
    fn fill_panel(self, room: &mut [f32], matrix: View<'_>) {
        let (terms, columns) = (matrix.rows(), matrix.columns());
        assert!(columns <= PANEL, "columns of a panel");
        if self.engine.takes_pairs() {
            return pairs::lines(room, PANEL, room.len() / PANEL, matrix);
        }
        let (room, rest) = room.split_at_mut(terms * PANEL);
        rest.fill(0.0);
        if matrix.column_stride() == 1 {
            for (line, term) in room.chunks_exact_mut(PANEL).zip(0..terms) {
                copy_short(&mut line[..columns], &matrix.row(term)[..columns]);
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

    /// For each of several panels `output = left · panel`, or `output += left · panel` where
    /// `accumulate`, of the first `rows` rows and `terms` terms of `left`, on this thread.
    ///
    /// Outputs are `[rows, PANEL]`, each with [room](Self::output) for whole tiles, whose other rows get
    /// any values, and begin `stride` apart. In pairs, terms of the left operand behind the last one are
    /// multiplied by 0, which infinities among them make NaN.
    ///
    /// # Panics
    /// If there are no terms, or an operand or the outputs are too short.
    pub(crate) fn multiply(
        self,
        outputs: (&mut [f32], usize),
        left: &LeftOperand<'_>,
        rows: usize,
        panels: (&[f32], usize),
        accumulate: bool,
    ) {
        assert_eq!(left.engine, self.engine, "operands of one engine");
        #[cfg(target_arch = "x86_64")]
        if self.engine.is_amx() {
            // SAFETY: the engine exists only where the tile unit is usable.
            let mut tiles = unsafe { amx::Hardware::configured() };
            return blocks(&mut tiles, outputs, left, rows, panels, accumulate);
        }
        let ((outputs, stride), (panels, terms)) = (outputs, panels);
        let length = check(left, rows, terms, (outputs.len(), stride), panels.len());
        for (panel, output) in panels.chunks(length).zip(outputs.chunks_mut(stride)) {
            self.multiply_one(output, left, rows, (panel, terms), accumulate);
        }
    }

    /// The product by one panel, without the tile unit.
    fn multiply_one(
        self,
        output: &mut [f32],
        left: &LeftOperand<'_>,
        rows: usize,
        (panel, terms): (&[f32], usize),
        accumulate: bool,
    ) {
        assert!(panel.len() >= self.room(terms), "panel too short");
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

/// Copies a row that is too short for a call of `memcpy`.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub(crate) fn copy_short<T: Copy>(to: &mut [T], from: &[T]) {
    assert_eq!(to.len(), from.len(), "rows of one length");
    let (to, to_rest) = to.as_chunks_mut::<PANEL>();
    let (from, from_rest) = from.as_chunks::<PANEL>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
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

/// The length of a panel, where the left operand has so many rows and terms, and there is an output for
/// each panel, with room for whole tiles.
///
/// # Panics
/// If it has not, or there are no terms.
fn check(
    left: &LeftOperand<'_>,
    rows: usize,
    terms: usize,
    (outputs, stride): (usize, usize),
    panels: usize,
) -> usize {
    assert!(rows <= left.rows, "more rows than the left operand has");
    assert!(terms <= left.terms, "more terms than the left operand has");
    let length = left.engine.units(terms) * PANEL;
    assert!(
        length > 0 && panels.is_multiple_of(length),
        "panels of all terms"
    );
    let before = (panels / length).saturating_sub(1) * stride;
    let room = PanelEngine::output(rows);
    assert!(
        stride >= room && outputs >= before + room,
        "room for all outputs"
    );
    length
}

/// The products by panels with the tile unit, two panels and 32 rows at a time.
///
/// # Panics
/// As for [`PanelEngine::multiply`].
#[cfg(target_arch = "x86_64")]
fn blocks<T: amx::Tiles>(
    tiles: &mut T,
    (outputs, stride): (&mut [f32], usize),
    left: &LeftOperand<'_>,
    rows: usize,
    (panels, terms): (&[f32], usize),
    accumulate: bool,
) {
    assert!(left.engine.is_amx(), "an operand in tiles");
    let length = check(left, rows, terms, (outputs.len(), stride), panels.len());
    let whole = rows.next_multiple_of(WHOLE);
    for (panels, outputs) in panels
        .chunks(2 * length)
        .zip(outputs.chunks_mut(2 * stride))
    {
        for row in (0..whole).step_by(amx::BLOCK) {
            let (start, left_steps) = left.tiles_from(row);
            let block = amx::Block {
                steps: terms.div_ceil(2 * amx::PAIRS),
                left: start,
                left_steps,
                right: panels.as_ptr(),
                right_row: PANEL,
                right_other: length,
                output: outputs[row * PANEL..].as_mut_ptr(),
                output_row: PANEL,
                output_other: stride,
                accumulate,
                both_rows: row + WHOLE < whole,
                both_columns: panels.len() > length,
            };
            // SAFETY: whoever has the tiles can run them; the left operand has rows up to a multiple of
            // 16 and pairs up to whole steps, as have the panels, and all outputs have room for whole
            // tiles.
            unsafe { amx::compute(tiles, block) };
        }
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
    let operand = engine.left_in(left, &mut []);
    let panel = (panel, left.columns());
    engine.multiply_one(output, &operand, left.rows(), panel, accumulate);
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::engine::Kind;
    use crate::random::values;

    const AMX: PanelEngine = PanelEngine {
        engine: Engine(Kind::Amx),
        rounded: true,
    };

    fn rounded(value: f32) -> f64 {
        f64::from(bfloat::from_bits(bfloat::to_bits(value)))
    }

    /// The products with tiles made of software, `[panel, stride]`, and what was there before.
    fn products(
        left: &LeftOperand<'_>,
        rows: usize,
        panels: (&[f32], usize),
        (stride, accumulate): (usize, bool),
    ) -> [Vec<f32>; 2] {
        let before = values(3 * stride, 3);
        let mut outputs = before.clone();
        let mut tiles = amx::Software::default();
        let to = (&mut outputs[..], stride);
        blocks(&mut tiles, to, left, rows, panels, accumulate);
        [outputs, before]
    }

    proptest! {
        /// The way of the tile unit, on tiles made of software, with some of the rows and terms.
        #[test]
        fn blocks_make_up_a_product_by_panels(
            rows in 1usize..70, more_rows in 0usize..20, terms in 1usize..80, more_terms in 0usize..40,
            columns in 1usize..=3 * PANEL, flipped in any::<bool>(), accumulate in any::<bool>(),
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
            let mut room = vec![f32::NAN; 3 * AMX.room(terms)];
            let panels = (AMX.panels(right, &mut room), terms);
            let stride = PanelEngine::output(rows) + 5;
            let mut room = vec![f32::NAN; AMX.left_room(all_rows, all_terms)];
            let operand = AMX.left_in(left, &mut room);
            let [found, before] = products(&operand, rows, panels, (stride, accumulate));
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                let place = column / PANEL * stride + row * PANEL + column % PANEL;
                let products = (0..terms).map(|i| rounded(left.at(row, i)) * rounded(right.at(i, column)));
                let start = if accumulate { f64::from(before[place]) } else { 0.0 };
                let expected = start + products.sum::<f64>();
                // At most 81 additions to sums of at most 81, each off by 2⁻²⁴ of the sum.
                let bound = 81.0 * 81.0 / f64::from(1 << 24);
                prop_assert!((f64::from(found[place]) - expected).abs() <= bound);
            }
        }

        /// Two panels, the first perhaps with fewer rows, as a left and as a right operand.
        #[test]
        fn panels_side_by_side_are_operands(rows in 1usize..70, fewer in 0usize..20) {
            let counts = [rows.saturating_sub(fewer), rows];
            let panels = [1, 2].map(|stream| values(rows * PANEL, stream));
            let lines = [0, 1].map(|index| &panels[index][..counts[index] * PANEL]);
            let at = |row: usize, column: usize| match row < counts[column / PANEL] {
                true => rounded(panels[column / PANEL][row * PANEL + column % PANEL]),
                false => 0.0,
            };
            let bound = 70.0 * 70.0 / f64::from(1 << 24);
            // [rows, 32] · [32, PANEL].
            let right = values(2 * PANEL * PANEL, 4);
            let mut rooms = [(); 2].map(|()| vec![f32::NAN; 2 * AMX.room(rows).max(AMX.left_room(rows, 32))]);
            let [left_room, right_room] = &mut rooms;
            let left = AMX.left_of_panels(&lines, 2 * PANEL, left_room);
            let right_panel = AMX.panels(View::new(&right, 2 * PANEL, PANEL, PANEL), right_room);
            let stride = PanelEngine::output(rows);
            let [found, _] = products(&left, rows, (right_panel, 2 * PANEL), (stride, false));
            for (index, found) in found[..rows * PANEL].iter().enumerate() {
                let products = (0..2 * PANEL)
                    .map(|i| at(index / PANEL, i) * rounded(right[i * PANEL + index % PANEL]));
                prop_assert!((f64::from(*found) - products.sum::<f64>()).abs() <= bound);
            }
            // [3, rows] · [rows, 32].
            let left = values(3 * rows, 5);
            let operand = AMX.left_in(View::new(&left, 3, rows, rows), left_room);
            let right_panels = AMX.operands(&lines, rows, right_room);
            let stride = PanelEngine::output(3);
            let [found, _] = products(&operand, 3, (right_panels, rows), (stride, false));
            for (row, column) in (0..3).flat_map(|row| (0..2 * PANEL).map(move |c| (row, c))) {
                let place = column / PANEL * stride + row * PANEL + column % PANEL;
                let products = (0..rows).map(|i| rounded(left[row * rows + i]) * at(i, column));
                prop_assert!((f64::from(found[place]) - products.sum::<f64>()).abs() <= bound);
            }
        }
    }
}
