//! Linear layers.

use burn::backend::Dispatch;
use learned_dropout::ops;
use learned_dropout::ops::{Precision, plain};

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub fn linear(draw: &mut Draw) {
    let (batch, time) = (draw.size(1..4), draw.size(1..60));
    let (inputs, outputs) = (draw.size(1..40), draw.size(1..40));
    Operation {
        inputs: [
            draw.normal([batch, time, inputs]),
            draw.normal([outputs, inputs]),
        ],
        operation: &|[x, weight]| {
            [ops::linear(tensor(x), tensor(weight), Precision::F32).into_dispatch()]
        },
        plain: &|[x, weight]| [plain::linear_without_bias::<Dispatch>(x, weight)],
        plain_backward: Some(&|[gradient], [x, weight]| {
            plain::linear_without_bias_backward::<Dispatch>(gradient, x, weight).into()
        }),
        formula: &|[x, weight]| {
            let weight = tensor::<2>(weight).transpose().unsqueeze();
            [tensor::<3>(x).matmul(weight).into_dispatch()]
        },
    }
    .check();
}
