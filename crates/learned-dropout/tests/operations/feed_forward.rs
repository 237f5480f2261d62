//! The dense feed-forward.

use burn::backend::Dispatch;
use burn::tensor::DType;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::activation::gelu_formula;
use crate::differentiate::{assert_close, differentiate, tensor};
use crate::draw::Draw;
use crate::norm::{NORM, norm_formula};
use crate::operation::Operation;
use crate::support::device;

pub fn norm_feed_forward(draw: &mut Draw) {
    let (batch, time) = (draw.size(1..4), draw.size(1..60));
    let (width, hidden) = (draw.size(3..24), draw.size(1..50));
    let epsilon = NORM.epsilon;
    Operation {
        inputs: [
            draw.normal([batch, time, width]),
            draw.normal([width]),
            draw.normal([hidden, width]),
            draw.normal([width, hidden]),
        ],
        operation: &|[x, norm, up, down]| {
            let weights = [tensor(up), tensor(down)];
            let output = ops::norm_feed_forward(tensor(x), tensor(norm), weights, NORM);
            [output.into_dispatch()]
        },
        plain: &|[x, norm, up, down]| {
            [plain::norm_feed_forward::<Dispatch>(
                x, norm, up, down, epsilon,
            )]
        },
        plain_backward: Some(&|[gradient], [x, norm, up, down]| {
            plain::norm_feed_forward_backward::<Dispatch>(gradient, x, norm, up, down, epsilon)
                .into()
        }),
        formula: &|[x, norm, up, down]| {
            let normal = norm_formula(tensor(x), tensor(norm), epsilon);
            let units = gelu_formula(normal.matmul(tensor::<2>(up).transpose().unsqueeze()));
            let output = units.matmul(tensor::<2>(down).transpose().unsqueeze());
            [output.into_dispatch()]
        },
    }
    .check();
}

/// The fused operation gives the same bits as its operations one after the other.
#[test]
fn many_hidden_units_are_recomputed() {
    let mut draw = Draw::new(9);
    let (tokens, width, hidden) = (4_100, 4, 1_024);
    let inputs = [
        draw.normal([1, tokens, width]),
        draw.normal([width]),
        draw.normal([hidden, width]),
        draw.normal([width, hidden]),
    ];
    let found = differentiate(&inputs, DType::F32, &device(), &|[x, norm, up, down]| {
        let weights = [tensor(up), tensor(down)];
        [ops::norm_feed_forward(tensor(x), tensor(norm), weights, NORM).into_dispatch()]
    });
    let expected = differentiate(&inputs, DType::F32, &device(), &|[x, norm, up, down]| {
        let hidden = ops::norm_linear(tensor(x), tensor(norm), tensor(up), NORM);
        [ops::linear(ops::gelu(hidden), tensor(down), NORM.precision).into_dispatch()]
    });
    assert_close("output", &found.outputs, &expected.outputs, 0.0);
    assert_close("gradient", &found.gradients, &expected.gradients, 0.0);
}
