//! Every engine of this processor against sums in f64, on ragged sizes and offsets.

use learned_dropout_kernels::matrix::View;
use learned_dropout_kernels::product::{
    Engine, Packed, Precision, bfloat, multiply, multiply_columns,
};
use learned_dropout_kernels::random::Philox;
use proptest::prelude::*;

fn values(count: usize, seed: u64) -> Vec<f32> {
    let generator = Philox::new(seed, 0);
    (0..count as u64)
        .map(|i| generator.normal_pair(i)[0] as f32)
        .collect()
}

/// A matrix that begins somewhere in a slice, with gaps between rows, in either order.
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

/// `count` sums of products of normal values, each product with a relative error of 2⁻²³ and each of
/// the additions with one of 2⁻²⁴ of a sum of at most a few times √count.
fn tolerance(count: usize) -> f64 {
    4e-7 * (count as f64).max(4.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

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
        for engine in Engine::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                if engine.takes_pairs() && precision == Precision::F32 {
                    continue;
                }
                let packed = Packed::for_engine(right.view(), engine, precision);
                let mut output = before.clone();
                multiply(&mut output, stride, left.view(), &packed, accumulate);
                for (index, &found) in output.iter().enumerate() {
                    let (row, column) = (index / stride, index % stride);
                    if column >= columns {
                        assert_eq!(found, before[index], "{engine:?}: a gap was written to");
                        continue;
                    }
                    let terms = (0..inner)
                        .map(|i| left.at(row, i, precision) * right.at(i, column, precision));
                    let start = if accumulate { f64::from(before[index]) } else { 0.0 };
                    let expected = start + terms.sum::<f64>();
                    let error = (f64::from(found) - expected).abs();
                    assert!(
                        error <= tolerance(inner),
                        "{engine:?} {precision:?} ({row}, {column}): {found}, expected {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn fewer_columns_and_terms(rows in 1usize..20, inner in 1usize..40, columns in 1usize..60, all in 0usize..30) {
        let left = Matrix::new(rows, inner, 0, false, 1);
        let right = Matrix::new(inner + all, columns + all, 0, false, 2);
        for engine in Engine::available() {
            let packed = Packed::for_engine(right.view(), engine, Precision::Bf16);
            let mut output = vec![7.0; rows * columns];
            multiply_columns(&mut output, columns, left.view(), &packed, columns, false);
            for (index, &found) in output.iter().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let bf16 = Precision::Bf16;
                let expected: f64 =
                    (0..inner).map(|i| left.at(row, i, bf16) * right.at(i, column, bf16)).sum();
                assert!((f64::from(found) - expected).abs() <= tolerance(inner), "{engine:?}");
            }
        }
    }

    /// Rounding to bf16 changes a value by at most 2⁻⁸ of itself, a product of two by at most
    /// 2⁻⁷ + 2⁻¹⁶ of itself.
    #[test]
    fn bf16_stays_within_its_bound(rows in 1usize..20, inner in 1usize..200, columns in 1usize..20) {
        let left = Matrix::new(rows, inner, 0, false, 1);
        let right = Matrix::new(inner, columns, 0, false, 2);
        let packed = Packed::new(right.view(), Precision::Bf16);
        let mut output = vec![0.0; rows * columns];
        multiply(&mut output, columns, left.view(), &packed, false);
        for (index, &found) in output.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let terms = || {
                (0..inner).map(|i| {
                    left.at(row, i, Precision::F32) * right.at(i, column, Precision::F32)
                })
            };
            let size: f64 = terms().map(f64::abs).sum();
            let bound = size * (1.0 / 128.0 + 1.0 / 65_536.0) + tolerance(inner);
            assert!((f64::from(found) - terms().sum::<f64>()).abs() <= bound);
        }
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
