//! Products of every engine of this processor against sums in f64, on ragged sizes and offsets.

mod common;

use common::{assert_within, at_every_level, cases, values};
use learned_dropout_kernels::matrix::View;
use learned_dropout_kernels::product::{
    Engine, Packed, Precision, bfloat, multiply, multiply_columns,
};
use proptest::prelude::*;

/// A matrix with an offset in its slice and gaps between rows, stored row by row or column by
/// column.
struct Matrix {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
    offset: usize,
    gap: usize,
    flipped: bool,
}

impl Matrix {
    fn new(rows: usize, columns: usize, offset: usize, flipped: bool, seed: u64) -> Self {
        let (lines, line) = if flipped {
            (columns, rows)
        } else {
            (rows, columns)
        };
        let gap = offset % 3;
        Self {
            values: values(offset + lines * (line + gap), seed),
            rows,
            columns,
            offset,
            gap,
            flipped,
        }
    }

    fn view(&self) -> View<'_> {
        let values = &self.values[self.offset..];
        if self.flipped {
            View::new(values, self.columns, self.rows, self.rows + self.gap).transposed()
        } else {
            View::new(values, self.rows, self.columns, self.columns + self.gap)
        }
    }

    fn at(&self, row: usize, column: usize, precision: Precision) -> f64 {
        let (line, place, length) = if self.flipped {
            (column, row, self.rows)
        } else {
            (row, column, self.columns)
        };
        let value = self.values[self.offset + line * (length + self.gap) + place];
        f64::from(match precision {
            Precision::F32 => value,
            Precision::Bf16 => bfloat::from_bits(bfloat::to_bits(value)),
        })
    }
}

/// `left · right` in f64, with operands of a precision, and the sums of the magnitudes of its terms.
fn product(left: &Matrix, right: &Matrix, precision: Precision, inner: usize) -> Vec<[f64; 2]> {
    let places = (0..left.rows).flat_map(|row| (0..right.columns).map(move |c| (row, c)));
    let sums = places.map(|(row, column)| {
        let terms =
            || (0..inner).map(|i| left.at(row, i, precision) * right.at(i, column, precision));
        [terms().sum(), terms().map(f64::abs).sum()]
    });
    sums.collect()
}

/// Sums of `count` products of normal values: each product has a relative error of 2⁻²³ and each
/// addition one of 2⁻²⁴ of a sum of at most a few times √count.
fn tolerance(count: usize) -> f64 {
    4e-7 * (count as f64).max(4.0)
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn every_engine_multiplies(
        rows in 1usize..75, inner in 0usize..80, columns in 1usize..75,
        offset in 0usize..7, left_flipped in any::<bool>(), right_flipped in any::<bool>(),
        accumulate in any::<bool>(), many_terms in any::<bool>(),
    ) {
        let inner = if many_terms { inner * 11 } else { inner };
        let left = Matrix::new(rows, inner, offset, left_flipped, 1);
        let right = Matrix::new(inner, columns, offset / 2, right_flipped, 2);
        let stride = columns + offset;
        let before = values(rows * stride, 3);
        let precisions = [Precision::F32, Precision::Bf16];
        let expected = precisions.map(|precision| product(&left, &right, precision, inner));
        let check = |engine: Engine, precision, product: &[[f64; 2]]| {
            let packed = Packed::for_engine(right.view(), engine, precision);
            let mut output = before.clone();
            multiply(&mut output, stride, left.view(), &packed, accumulate);
            let name = engine.name();
            for (row, (found, before)) in output.chunks(stride).zip(before.chunks(stride)).enumerate() {
                assert_eq!(found[columns..], before[columns..], "{name}: a gap was written to");
                let products = product[row * columns..][..columns].iter().zip(before);
                let expected = products.map(|(&[product, _], &before)| {
                    let start = if accumulate { f64::from(before) } else { 0.0 };
                    (start + product, tolerance(inner))
                });
                assert_within(&found[..columns], expected, name);
            }
        };
        at_every_level(|_| {
            for engine in Engine::available() {
                for (precision, expected) in precisions.into_iter().zip(&expected) {
                    if precision == Precision::Bf16 || !engine.takes_pairs() {
                        check(engine, precision, expected);
                    }
                }
            }
        });
    }

    #[test]
    fn fewer_columns_and_terms(
        rows in 1usize..20, inner in 1usize..40, columns in 1usize..60, all in 0usize..30,
    ) {
        let left = Matrix::new(rows, inner, 0, false, 1);
        let right = Matrix::new(inner + all, columns + all, 0, false, 2);
        let expected = product(&left, &right, Precision::Bf16, inner);
        let expected = || {
            let rows = expected.chunks(columns + all);
            let products = rows.flat_map(|row| &row[..columns]);
            products.map(|&[product, _]| (product, tolerance(inner)))
        };
        at_every_level(|_| {
            for engine in Engine::available() {
                let packed = Packed::for_engine(right.view(), engine, Precision::Bf16);
                let mut output = vec![7.0; rows * columns];
                multiply_columns(&mut output, columns, left.view(), &packed, columns, false);
                assert_within(&output, expected(), engine.name());
            }
        });
    }

    /// Rounding to bf16 changes a value by at most 2⁻⁸ of itself, a product of two by at most
    /// 2⁻⁷ + 2⁻¹⁶ of itself.
    #[test]
    fn bf16_stays_within_its_bound(rows in 1usize..20, inner in 1usize..200, columns in 1usize..20) {
        let left = Matrix::new(rows, inner, 0, false, 1);
        let right = Matrix::new(inner, columns, 0, false, 2);
        let expected = product(&left, &right, Precision::F32, inner);
        at_every_level(|_| {
            let packed = Packed::new(right.view(), Precision::Bf16);
            let mut output = vec![0.0; rows * columns];
            multiply(&mut output, columns, left.view(), &packed, false);
            let bounded = expected.iter().map(|&[product, size]| {
                (product, size * (1.0 / 128.0 + 1.0 / 65_536.0) + tolerance(inner))
            });
            assert_within(&output, bounded, "bf16");
        });
    }
}

#[test]
fn engines_have_names_of_their_own() {
    let names: Vec<_> = Engine::available()
        .iter()
        .map(|engine| engine.name())
        .collect();
    assert_eq!(names[0], "portable");
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
}

#[test]
#[should_panic(expected = "inner dimensions differ")]
fn products_that_do_not_fit_are_refused() {
    let values = [0.0; 6];
    let (left, right) = (View::new(&values, 2, 3, 3), View::new(&values, 2, 3, 3));
    let right = Packed::new(right, Precision::F32);
    multiply(&mut [0.0; 4], 2, left, &right, false);
}

#[test]
#[should_panic(expected = "output too short")]
fn rows_that_reach_beyond_all_memory_are_refused() {
    let values = [0.0; 6];
    let right = Packed::new(View::new(&values, 2, 2, 2), Precision::F32);
    // Three rows: the last one would begin at 2⁶⁴, which is 0 in 64 bits.
    let row_stride = usize::MAX / 2 + 1;
    let left = View::new(&values, 3, 2, 2);
    multiply(&mut [0.0; 4], row_stride, left, &right, false);
}

#[test]
#[should_panic(expected = "columns outside of the matrix")]
fn columns_beyond_all_numbers_are_refused() {
    View::new(&[0.0; 6], 2, 3, 3).columns_from(usize::MAX, 2);
}
