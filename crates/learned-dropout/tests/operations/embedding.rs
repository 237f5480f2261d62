//! Rows of a table, and positions that all sequences share.

use burn::backend::Dispatch;
use burn::tensor::DType;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::{Function, assert_close, differentiate, ids, tensor};
use crate::draw::Draw;
use crate::operation::{Operation, TOLERANCE};
use crate::support::device;

/// Ids below the number of entries; some are repeated.
fn repeated(entries: usize, count: usize) -> Vec<usize> {
    (0..count).map(|i| i * i % entries).collect()
}

pub fn tied_rows(draw: &mut Draw) {
    let (entries, width) = (draw.size(1..30), draw.size(1..20));
    let chosen = repeated(entries, draw.size(1..60));
    Operation {
        inputs: [draw.normal([entries, width])],
        operation: &|[table]| {
            let table = tensor(table);
            let ids = ids(&chosen, &table);
            let (rows, table) = ops::tied_rows(table, ids);
            [rows.into_dispatch(), table.into_dispatch()]
        },
        plain: &|[table]| {
            let ids = ids(&chosen, &tensor::<2>(table.clone())).into_dispatch();
            [plain::rows::<Dispatch>(table.clone(), ids), table]
        },
        plain_backward: Some(&|[rows_gradient, table_gradient], [table]| {
            let ids = ids(&chosen, &tensor::<2>(table)).into_dispatch();
            [plain::add_to_rows::<Dispatch>(
                table_gradient,
                ids,
                rows_gradient,
            )]
        }),
        formula: &|[table]| {
            let table = tensor::<2>(table);
            let rows = table.clone().select(0, ids(&chosen, &table));
            [rows.into_dispatch(), table.into_dispatch()]
        },
    }
    .check();
}

#[test]
fn both_uses_of_a_table_meet_or_one_is_missing() {
    let mut draw = Draw::new(8);
    for _ in 0..12 {
        let (entries, width) = (draw.size(1..30), draw.size(1..20));
        let chosen = repeated(entries, draw.size(1..60));
        let inputs = [
            draw.normal([entries, width]),
            draw.normal([chosen.len(), width]),
        ];
        let agree = |fast: Function<'_, 2, 1>, slow: Function<'_, 2, 1>| {
            let found = differentiate(&inputs, DType::F32, &device(), fast);
            let expected = differentiate(&inputs, DType::F32, &device(), slow);
            assert_close("output", &found.outputs, &expected.outputs, TOLERANCE);
            assert_close("gradient", &found.gradients, &expected.gradients, TOLERANCE);
        };
        agree(
            &|[table, other]| {
                let (table, other) = (tensor(table), tensor::<2>(other));
                let ids = ids(&chosen, &table);
                let (rows, table) = ops::tied_rows(table, ids);
                let product = (rows * other.clone()).matmul(table.transpose());
                [(product + other.sum_dim(1)).into_dispatch()]
            },
            &|[table, other]| {
                let (table, other) = (tensor::<2>(table), tensor::<2>(other));
                let rows = table.clone().select(0, ids(&chosen, &table));
                let product = (rows * other.clone()).matmul(table.transpose());
                [(product + other.sum_dim(1)).into_dispatch()]
            },
        );
        agree(
            &|[table, other]| {
                let table = tensor(table);
                let ids = ids(&chosen, &table);
                [(ops::tied_rows(table, ids).0 * tensor(other)).into_dispatch()]
            },
            &|[table, other]| {
                let table = tensor::<2>(table);
                let ids = ids(&chosen, &table);
                [(table.select(0, ids) * tensor(other)).into_dispatch()]
            },
        );
        agree(
            &|[table, other]| {
                let table = tensor(table);
                let ids = ids(&chosen, &table);
                let table = ops::tied_rows(table, ids).1;
                [tensor::<2>(other).matmul(table.transpose()).into_dispatch()]
            },
            &|[table, other]| {
                let table = tensor::<2>(table).transpose();
                [tensor::<2>(other).matmul(table).into_dispatch()]
            },
        );
    }
}

pub fn sum_with_shared(draw: &mut Draw) {
    let [batch, time, width] = [draw.size(1..4), draw.size(1..50), draw.size(1..50)];
    Operation {
        inputs: [
            draw.normal([batch, time, width]),
            draw.normal([time, width]),
        ],
        operation: &|[x, shared]| [ops::sum_with_shared(tensor(x), tensor(shared)).into_dispatch()],
        plain: &|[x, shared]| [plain::sum_with_shared::<Dispatch>(x, shared)],
        plain_backward: Some(&|[gradient], _| {
            let sums = plain::sum_over_batch::<Dispatch>(gradient.clone());
            [gradient, sums]
        }),
        formula: &|[x, shared]| {
            [(tensor::<3>(x) + tensor::<2>(shared).unsqueeze()).into_dispatch()]
        },
    }
    .check();
}
