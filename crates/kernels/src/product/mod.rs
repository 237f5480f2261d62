//! Matrix products with packed right operands: one driver, one small file per instruction set.
//!
//! The right operand is [packed](Packed) once and used for many tiles of the left one. A sum is
//! made in the order of its terms, in blocks whose size is fixed, whatever the number of threads,
//! the tile it falls into, and the rows beside it.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bfloat;
mod packed;
mod portable;
mod scattered;
mod tile;

pub use packed::Packed;
pub(crate) use packed::across;
pub use scattered::{Block, multiply_scattered};

use crate::level::Level;
use crate::matrix::View;
use crate::scratch::{Scratch, scratch};
use tile::{Tile, TileFunction};

/// What the operands of products are rounded to. Sums are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32: nothing is rounded.
    #[default]
    F32,
    /// bf16: 8 bits of precision.
    Bf16,
}

impl Precision {
    /// bf16 where this processor multiplies it faster than f32 at the level in use.
    pub fn fastest() -> Self {
        match Engine::of(Self::Bf16).0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs | Kind::Amx => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Instructions that products are made with. A value exists only where the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Pairs,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::is_usable as amx_is_usable;

impl Engine {
    /// The engine for a precision at the level in use.
    pub fn of(precision: Precision) -> Self {
        Self::at(Level::current(), precision)
    }

    /// All engines of this processor, whatever the level in use.
    pub fn available() -> Vec<Self> {
        let mut engines: Vec<Self> = Vec::new();
        for level in Level::ALL
            .into_iter()
            .filter(|&level| level <= Level::highest())
        {
            for precision in [Precision::F32, Precision::Bf16] {
                let engine = Self::at(level, precision);
                if !engines.contains(&engine) {
                    engines.push(engine);
                }
            }
        }
        engines
    }

    #[cfg(target_arch = "x86_64")]
    fn at(level: Level, precision: Precision) -> Self {
        let pairs = precision == Precision::Bf16;
        Self(match level {
            Level::Portable => Kind::Portable,
            Level::Avx2 => Kind::Avx2,
            Level::Amx if pairs => Kind::Amx,
            _ if pairs && is_x86_feature_detected!("avx512bf16") => Kind::Avx512Pairs,
            _ => Kind::Avx512,
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn at(_level: Level, _precision: Precision) -> Self {
        Self(Kind::Portable)
    }

    /// What it is called: `portable`, `avx2`, `avx512`, `avx512-bf16` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => "amx",
        }
    }

    /// Whether operands are pairs of bf16 values.
    pub fn takes_pairs(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs | Kind::Amx => true,
            _ => false,
        }
    }

    fn is_amx(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => true,
            _ => false,
        }
    }

    /// Values in a register.
    fn lanes(self) -> usize {
        match self.0 {
            Kind::Portable => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            _ => 16,
        }
    }

    /// Rows of a tile: what a number of rows is best a multiple of.
    pub(crate) fn rows(self) -> usize {
        match self.0 {
            Kind::Portable => portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Avx512Pairs => avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => amx::BLOCK,
        }
    }

    fn tiles<const SCATTERED: bool>(self, rows: usize, registers: usize) -> TileFunction {
        match self.0 {
            Kind::Portable => portable::tiles::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::tiles::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::tiles::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Pairs => avx512::pairs::tiles::<SCATTERED>(rows, registers),
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => unreachable!("blocks have their own function"),
        }
    }

    /// Units of `inner` terms: f32 values, or pairs rounded up to whole steps.
    fn units(self, inner: usize) -> usize {
        match (self.takes_pairs(), self.is_amx()) {
            (false, _) => inner,
            (true, false) => inner.div_ceil(2),
            (true, true) => inner.div_ceil(32) * 16,
        }
    }
}

/// Units of one block of terms: the right panel of a block stays in the first-level cache.
const BLOCK: usize = 256;

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
    let (rows, inner) = (left.rows(), left.columns());
    assert!(
        columns <= right.columns(),
        "more columns than the right operand has"
    );
    assert!(inner <= right.inner(), "inner dimensions differ");
    assert!(row_stride >= columns, "rows of the output overlap");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        output.len() >= (rows - 1) * row_stride + columns,
        "output too short"
    );
    let left = LeftOperand::new(left, right);
    let mut target = Target {
        output,
        row_stride,
        rows,
        columns,
        accumulate,
    };
    #[cfg(target_arch = "x86_64")]
    if right.engine().is_amx() {
        // SAFETY: the engine exists only where the tile unit is usable.
        let mut tiles = unsafe { amx::Hardware::configured() };
        target.blocks(&mut tiles, &left, right);
        return;
    }
    target.tiles(&left, right);
}

/// The left operand in the units of the engine.
struct LeftOperand<'a> {
    /// Rows of units, `row` apart, unless the operand is flipped.
    start: *const f32,
    row: usize,
    units: usize,
    /// An operand of f32 values whose rows do not lie one after the other.
    flipped: Option<View<'a>>,
    /// What `start` points into.
    _held: Option<Scratch>,
}

impl<'a> LeftOperand<'a> {
    fn new(left: View<'a>, right: &Packed) -> Self {
        let engine = right.engine();
        if !engine.takes_pairs() && !right.is_rounded() {
            return Self {
                start: left.values().as_ptr(),
                row: left.row_stride(),
                units: left.columns(),
                flipped: (left.column_stride() != 1).then_some(left),
                _held: None,
            };
        }
        let units = engine.units(left.columns());
        let rows = left
            .rows()
            .next_multiple_of(if engine.is_amx() { 16 } else { 1 });
        let mut held = scratch(rows * units);
        packed::rows(&mut held, units, left, engine.takes_pairs());
        Self {
            start: held.as_ptr(),
            row: units,
            units,
            flipped: None,
            _held: Some(held),
        }
    }
}

impl LeftOperand<'_> {
    /// Where a row begins at a term, and the distances of rows and terms.
    fn tile(&self, row: usize, term: usize) -> (*const f32, usize, usize) {
        let (row_stride, step) = match self.flipped {
            Some(view) => (view.row_stride(), view.column_stride()),
            None => (self.row, 1),
        };
        (
            self.start.wrapping_add(row * row_stride + term * step),
            row_stride,
            step,
        )
    }
}

/// A block of terms of a left operand whose rows do not lie one after the other: for each tile the
/// values of its rows, term after term.
struct Strips {
    held: Scratch,
    rows: usize,
}

/// Columns of the product from which on it pays to copy the left operand into strips.
const WORTH_STRIPS: usize = 256;

/// Values that are copied together; what is too much is overwritten by the next copy.
const COPIED: usize = 8;

impl Strips {
    /// Room for `rows` rows in tiles of `tile` rows.
    fn room(rows: usize, tile: usize) -> Self {
        Self {
            held: scratch(rows.div_ceil(tile) * (BLOCK / 2 * tile + COPIED)),
            rows: tile,
        }
    }

    fn length(&self) -> usize {
        BLOCK / 2 * self.rows + COPIED
    }

    /// Takes the `terms` terms from `first` on.
    fn fill(&mut self, left: View<'_>, first: usize, terms: usize) {
        let (length, rows) = (self.length(), self.rows);
        for term in 0..terms {
            let source = left.part(first + term, 1);
            for (strip, output) in self.held.chunks_exact_mut(length).enumerate() {
                let row = strip * rows;
                let output = &mut output[term * rows..][..COPIED];
                if left.row_stride() == 1
                    && let Some(values) = source.values().get(row..row + COPIED)
                    && rows <= COPIED
                {
                    output.copy_from_slice(values);
                    continue;
                }
                for (place, output) in output.iter_mut().enumerate().take(rows) {
                    if row + place < left.rows() {
                        *output = source.at(row + place, 0);
                    }
                }
            }
        }
    }

    /// Where the tile of a row begins, and the distances of its rows and terms.
    fn tile(&self, row: usize) -> (*const f32, usize, usize) {
        let start = &self.held[row / self.rows * self.length()..];
        (start.as_ptr(), 1, self.rows)
    }
}

/// Where the sums go.
struct Target<'a> {
    output: &'a mut [f32],
    row_stride: usize,
    rows: usize,
    columns: usize,
    accumulate: bool,
}

/// Room for one tile of any engine.
type Corner = [f32; 1024];

impl Target<'_> {
    /// Goes through blocks of terms, panels of columns and tiles of rows.
    fn tiles(&mut self, left: &LeftOperand<'_>, right: &Packed) {
        let (engine, rows) = (right.engine(), self.rows);
        let lanes = engine.lanes();
        if left.units == 0 && !self.accumulate {
            for row in 0..rows {
                self.output[row * self.row_stride..][..self.columns].fill(0.0);
            }
        }
        let mut strips = left
            .flipped
            .filter(|_| self.columns >= WORTH_STRIPS)
            .map(|left| Strips::room(left.rows(), engine.rows()));
        let block = if left.flipped.is_some() {
            BLOCK / 2
        } else {
            BLOCK
        };
        let tiles = rows.div_ceil(engine.rows());
        for first in (0..left.units).step_by(block) {
            let inner = block.min(left.units - first);
            let accumulate = self.accumulate || first > 0;
            if let Some((strips, left)) = strips.as_mut().zip(left.flipped) {
                strips.fill(left, first, inner);
            }
            for panel in right.panels(self.columns) {
                let registers = panel.width / lanes;
                let part = panel.part(first, inner);
                for row in (0..rows).step_by(engine.rows()) {
                    let count = engine.rows().min(rows - row);
                    panel.prefetch_next(part, row / engine.rows(), tiles);
                    let (start, left_row, left_step) = match &strips {
                        Some(strips) => strips.tile(row),
                        None => left.tile(row, first),
                    };
                    let tile = Tile {
                        inner,
                        left: start,
                        left_row,
                        left_step,
                        right: part.as_ptr(),
                        output: std::ptr::null_mut(),
                        output_row: 0,
                        rows: std::ptr::null(),
                        accumulate,
                    };
                    let compute = engine.tiles::<false>(count, registers);
                    let place = Place {
                        row,
                        count,
                        column: panel.column,
                        width: panel.width,
                    };
                    self.put(place, accumulate, |output, output_row, accumulate| {
                        // SAFETY: the engine exists, so the processor has its instructions; the
                        // operands hold all rows, columns and terms, and `put` gives whole tiles.
                        unsafe {
                            compute(Tile {
                                output,
                                output_row,
                                accumulate,
                                ..tile
                            })
                        };
                    });
                }
            }
        }
    }

    /// The same in blocks of 32 rows and 32 columns.
    #[cfg(target_arch = "x86_64")]
    fn blocks<T: amx::Tiles>(&mut self, tiles: &mut T, left: &LeftOperand<'_>, right: &Packed) {
        for panel in right.panels(self.columns) {
            for row in (0..self.rows).step_by(amx::BLOCK) {
                let count = amx::BLOCK.min(self.rows - row);
                let block = amx::Block {
                    steps: left.units / amx::PAIRS,
                    left: left.start.wrapping_add(row * left.row),
                    left_row: left.row,
                    right: panel.values.as_ptr(),
                    right_row: panel.width,
                    output: std::ptr::null_mut(),
                    output_row: 0,
                    accumulate: self.accumulate,
                    both_rows: count > 16,
                    both_columns: panel.width > 16,
                };
                let place = Place {
                    row,
                    count: count.next_multiple_of(16),
                    column: panel.column,
                    width: panel.width,
                };
                self.put(place, self.accumulate, |output, output_row, accumulate| {
                    let block = amx::Block {
                        output,
                        output_row,
                        accumulate,
                        ..block
                    };
                    // SAFETY: whoever has the tiles can run them; the left operand has rows up to a
                    // multiple of 16, and `put` gives whole blocks.
                    unsafe { amx::compute(tiles, block) };
                });
            }
        }
    }

    /// Has a tile written to its place; where it reaches over the edge, by way of a buffer.
    fn put(&mut self, place: Place, accumulate: bool, compute: impl FnOnce(*mut f32, usize, bool)) {
        let Place {
            row,
            count,
            column,
            width,
        } = place;
        let start = row * self.row_stride + column;
        if row + count <= self.rows && column + width <= self.columns {
            // The last row of the tile ends within the output: `multiply` has checked its length.
            return compute(
                self.output[start..].as_mut_ptr(),
                self.row_stride,
                accumulate,
            );
        }
        let mut corner: Corner = [0.0; 1024];
        compute(corner.as_mut_ptr(), width, false);
        let valid = width.min(self.columns - column);
        for (index, sums) in corner.chunks_exact(width).enumerate().take(count) {
            if row + index >= self.rows {
                break;
            }
            let output = &mut self.output[start + index * self.row_stride..][..valid];
            if accumulate {
                for (output, sum) in output.iter_mut().zip(sums) {
                    *output += sum;
                }
            } else {
                output.copy_from_slice(&sums[..valid]);
            }
        }
    }
}

/// A tile's place in the output.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    count: usize,
    column: usize,
    width: usize,
}

#[cfg(all(test, target_arch = "x86_64"))]
mod block_tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Philox, unit};

    fn values(count: usize, stream: u64) -> Vec<f32> {
        let generator = Philox::new(7, stream);
        let value = |index| 2.0 * unit(generator.number(index as u64)) - 1.0;
        (0..count).map(value).collect()
    }

    proptest! {
        /// The way of the tile unit through a product, on tiles made of software.
        #[test]
        fn blocks_make_up_a_product(
            rows in 1usize..70, inner in 0usize..100, columns in 1usize..70, gap in 0usize..3,
            flipped in any::<bool>(), accumulate in any::<bool>(),
        ) {
            let (left, right) = (values(rows * inner, 1), values(inner * columns, 2));
            let left = if flipped {
                View::new(&left, inner, rows, rows).transposed()
            } else {
                View::new(&left, rows, inner, inner)
            };
            let right = View::new(&right, inner, columns, columns);
            let packed = Packed::for_engine(right, Engine(Kind::Amx), Precision::Bf16);
            let row_stride = columns + gap;
            let before = values(rows * row_stride, 3);
            let mut output = before.clone();
            let mut target = Target { output: &mut output, row_stride, rows, columns, accumulate };
            let left_operand = LeftOperand::new(left, &packed);
            target.blocks(&mut amx::Software::default(), &left_operand, &packed);
            let rounded = |value| f64::from(bfloat::from_bits(bfloat::to_bits(value)));
            for (index, &found) in output.iter().enumerate() {
                let (row, column) = (index / row_stride, index % row_stride);
                if column >= columns {
                    prop_assert_eq!(found, before[index]);
                    continue;
                }
                let terms = (0..inner).map(|i| rounded(left.at(row, i)) * rounded(right.at(i, column)));
                let start = if accumulate { f64::from(before[index]) } else { 0.0 };
                let expected = start + terms.sum::<f64>();
                // At most 101 additions to sums of at most 101, each off by 2⁻²⁴ of the sum.
                prop_assert!((f64::from(found) - expected).abs() <= 101.0 * 101.0 / f64::from(1 << 24));
            }
        }
    }
}
