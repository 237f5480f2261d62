//! Rows of a table, and the sums of their gradients.

mod common;

use common::{TOLERANCE, assert_close, at_every_level, cases, exact, on_any_threads, values};
use learned_dropout_kernels::embedding;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn rows_and_sums(entries in 1usize..50, width in 1usize..20, count in 0usize..200) {
        let (table, gradient) = (values(entries * width, 1), values(count * width, 2));
        let ids: Vec<u32> = (0..count).map(|i| (i * i % entries) as u32).collect();
        let mut expected = exact(&table);
        for (i, &id) in ids.iter().enumerate() {
            for c in 0..width {
                expected[id as usize * width + c] += f64::from(gradient[i * width + c]);
            }
        }
        at_every_level(|_| {
            let rows = on_any_threads(|| embedding::gather(&table, &ids, width));
            for (row, &id) in rows.chunks(width).zip(&ids) {
                assert_eq!(row, &table[id as usize * width..][..width]);
            }
            assert_eq!(rows.len(), count * width);
            let mut sums = table.clone();
            embedding::scatter_add(&mut sums, &ids, &gradient, width);
            assert_close(&sums, &expected, TOLERANCE, "sums");
        });
    }
}

#[test]
#[should_panic(expected = "ids below the rows")]
fn ids_outside_of_the_table_are_refused() {
    embedding::gather(&[0.0; 6], &[0, 3], 2);
}
