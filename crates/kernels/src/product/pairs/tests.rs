//! Each packing function against the place and the value of every pair.

use proptest::prelude::*;

use super::*;
use crate::product::bfloat::pair;
use crate::random::values;

/// A function that packs.
type Pack = fn(&mut [f32], usize, usize, View<'_>);

/// A right operand of pairs of the rows of a matrix, packed in plain Rust or not.
fn lines_of(width: usize, units: usize, matrix: View<'_>, plain: bool) -> Vec<f32> {
    let mut output = vec![f32::NAN; units * width];
    if plain {
        let shared = Shared::new(&mut output);
        let place = |unit, column| {
            // SAFETY: only this function refers to the output, and it uses one place after the
            // other.
            let place = unsafe { shared.slice(unit * width + column, SIDE) };
            place.first_chunk_mut().expect("16 values")
        };
        plain::interleave_rows(place, 0..units, width, matrix);
    } else {
        pack_right(&mut output, width, units, matrix);
    }
    output
}

/// A left operand whose rows are the columns of a matrix, packed in plain Rust or not.
fn rows_into(output: &mut [f32], units: usize, matrix: View<'_>, plain: bool) {
    output.fill(f32::NAN);
    let output = Shared::new(output);
    if plain {
        // SAFETY: only this function refers to the output, and it uses one place after the other.
        let place = |line, unit, count| unsafe { output.slice(line * units + unit, count) };
        plain::interleave_rows_transposed(place, units, matrix);
    } else {
        // SAFETY: as above.
        unsafe { pack_left_transposed(output, |line, unit| line * units + unit, units, matrix) };
    }
}

/// Asserts the pair of each row and unit, at distances of `strides`.
fn assert_packed(
    output: &[f32],
    strides: (usize, usize),
    lines: usize,
    units: usize,
    matrix: View<'_>,
) {
    for line in 0..lines {
        for unit in 0..units {
            let expected = if line < matrix.rows() {
                pair_at(matrix, line, unit)
            } else {
                0.0
            };
            let found = output[line * strides.0 + unit * strides.1];
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "line {line}, unit {unit}"
            );
        }
    }
}

/// The first 16 and the next 16 columns of a matrix, of which the first ones may have fewer rows.
fn assert_packed_side_by_side(matrix: View<'_>, fewer: usize) {
    let columns = matrix.columns();
    let [first, second] =
        [(0, matrix.rows() - fewer), (SIDE, matrix.rows())].map(|(from, rows)| {
            let at = |row: usize, column: usize| match from + column < columns {
                true => matrix.at(row, from + column),
                false => 0.0,
            };
            let line = |row| std::array::from_fn(|column| at(row, column));
            (0..rows).map(line).collect::<Vec<[f32; SIDE]>>()
        });
    let mut output = vec![f32::NAN; matrix.rows() * SIDE];
    let mut plainly = output.clone();
    pack_side_by_side(&mut output, Layout::Rows(SIDE), [&first, &second]);
    plain::pair_side_by_side(&mut plainly, |row| SIDE * row, [&first, &second]);
    for output in [output, plainly] {
        for (row, line) in output.chunks_exact(SIDE).enumerate() {
            let both = [first.get(row).copied().unwrap_or_default(), second[row]].concat();
            for (unit, found) in line.iter().enumerate() {
                let expected = pair(both[2 * unit], both[2 * unit + 1]);
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "row {row}, unit {unit}"
                );
            }
        }
    }
}

/// A left operand in tiles of 16 × 16 pairs, each row by row.
fn assert_packed_in_tiles(matrix: View<'_>) {
    let units = matrix.columns().div_ceil(2).next_multiple_of(SIDE);
    let mut output = vec![f32::NAN; matrix.rows().next_multiple_of(SIDE) * units];
    pack_left(&mut output, Layout::Tiles(units), matrix);
    let (tiles, _) = output.as_chunks::<{ SIDE * SIDE }>();
    for row in 0..matrix.rows() {
        for unit in 0..units {
            let tile = tiles[row / SIDE * (units / SIDE) + unit / SIDE];
            let found = tile[row % SIDE * SIDE + unit % SIDE];
            let expected = pair_at(matrix, row, unit);
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "row {row}, unit {unit}"
            );
        }
    }
}

proptest! {
    /// All functions, in plain Rust and with the instructions of this processor.
    #[test]
    fn pairs_are_where_they_belong(
        rows in 1usize..50, columns in 1usize..70, gap in 0usize..20, more in 0usize..20,
    ) {
        let all = values(rows * (columns + gap), 1);
        let matrix = View::new(&all, rows, columns, columns + gap);
        // Pairs of neighbours in a row.
        let units = columns.div_ceil(2) + more;
        let by_rows = |row: usize, unit: usize| row * units + unit;
        for pack in [pair_neighbours, plain::pair_neighbours] {
            let mut output = vec![f32::NAN; rows * units];
            pack(&mut output, by_rows, units, matrix);
            assert_packed(&output, (units, 1), rows, units, matrix);
        }
        assert_packed_in_tiles(matrix);
        assert_packed_in_tiles(matrix.transposed());
        assert_packed_side_by_side(matrix, rows / 3);
        let width = rows.next_multiple_of(SIDE);
        for pack in [pair_neighbours_transposed as Pack, plain::pair_neighbours_transposed] {
            let mut output = vec![f32::NAN; units * width];
            pack(&mut output, width, units, matrix);
            assert_packed(&output, (1, width), width, units, matrix);
        }
        // Pairs of neighbouring rows.
        let (transposed, units) = (matrix.transposed(), rows.div_ceil(2) + more);
        let width = columns.next_multiple_of(SIDE);
        if width == SIDE {
            for pack in [interleave_narrow_rows as Pack, plain::interleave_narrow_rows] {
                let mut output = vec![f32::NAN; units * width];
                pack(&mut output, width, units, matrix);
                assert_packed(&output, (1, width), width, units, transposed);
            }
        }
        let output = lines_of(width, units, matrix, false);
        assert_packed(&output, (1, width), width, units, transposed);
        let output = lines_of(width, units, matrix, true);
        assert_packed(&output, (1, width), width, units, transposed);
        // The same in several micro-panels, with the last units first.
        let mut output = vec![f32::NAN; units * width];
        let shared = Shared::new(&mut output);
        for range in [units / 2..units, 0..units / 2] {
            // SAFETY: only this function refers to the output.
            unsafe { pack_right_units(shared, (2 * SIDE, units), 0, range, matrix) };
        }
        for first in (0..columns).step_by(2 * SIDE) {
            let count = (columns - first).min(2 * SIDE);
            let width = count.next_multiple_of(SIDE);
            let transposed = matrix.columns_from(first, count).transposed();
            assert_packed(&output[first * units..], (1, width), width, units, transposed);
        }
        let mut output = vec![f32::NAN; columns * units];
        rows_into(&mut output, units, matrix, false);
        assert_packed(&output, (units, 1), columns, units, transposed);
        rows_into(&mut output, units, matrix, true);
        assert_packed(&output, (units, 1), columns, units, transposed);
    }
}
