//! Sums, multiples and means.

use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

fn shape(draw: &mut Draw) -> [usize; 3] {
    [draw.size(1..4), draw.size(1..50), draw.size(1..50)]
}

pub fn sum_of_two(draw: &mut Draw) {
    let shape = shape(draw);
    Operation {
        inputs: [draw.normal(shape), draw.normal(shape)],
        operation: &|[left, right]| {
            [ops::sum_of_two(tensor::<3>(left), tensor(right)).into_dispatch()]
        },
        plain: &|[left, right]| [plain::sum_of_two::<Dispatch>(left, right)],
        plain_backward: Some(&|[gradient], _| [gradient.clone(), gradient]),
        formula: &|[left, right]| [(tensor::<3>(left) + tensor(right)).into_dispatch()],
    }
    .check();
}

pub fn duplicated(draw: &mut Draw) {
    let shape = shape(draw);
    Operation {
        inputs: [draw.normal(shape)],
        operation: &|[x]| ops::duplicated(tensor(x)).map(Tensor::into_dispatch),
        plain: &|[x]| [x.clone(), x],
        plain_backward: Some(&|[first, second], _| [plain::sum_of_two::<Dispatch>(first, second)]),
        formula: &|[x]| [x.clone(), x],
    }
    .check();
}

pub fn mean(draw: &mut Draw) {
    let shape = shape(draw);
    Operation {
        // Values of one sign: a mean near 0 would have a large relative error.
        inputs: [draw.normal(shape).map(f32::abs)],
        operation: &|[values]| [ops::mean(tensor(values)).into_dispatch()],
        plain: &|[values]| [plain::mean::<Dispatch>(values)],
        plain_backward: Some(&|[gradient], [values]| {
            [plain::mean_backward::<Dispatch>(gradient, values.shape())]
        }),
        formula: &|[values]| [tensor::<3>(values).mean().into_dispatch()],
    }
    .check();
}

pub fn scaled(draw: &mut Draw) {
    // A factor of 1 is skipped.
    let factor = if draw.yes() {
        1.0
    } else {
        draw.number(-2.0..2.0)
    };
    let count = draw.size(1..3000);
    Operation {
        inputs: [draw.normal([count])],
        operation: &|[x]| [ops::scaled(tensor(x), factor).into_dispatch()],
        plain: &|[x]| {
            let like = tensor::<1>(x.clone());
            let factor = Tensor::<1>::from_floats([factor], &like.device()).cast(like.dtype());
            [plain::scaled::<Dispatch>(x, factor.into_dispatch())]
        },
        plain_backward: None,
        formula: &|[x]| [(tensor::<1>(x) * factor).into_dispatch()],
    }
    .check();
}
