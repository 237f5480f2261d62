//! LayerNorm, alone and with a linear layer.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::{NormSettings, Precision, plain};

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub const NORM: NormSettings = NormSettings {
    epsilon: 1e-2,
    precision: Precision::F32,
};

pub fn norm_formula(x: Tensor<3>, gain: Tensor<1>, epsilon: f32) -> Tensor<3> {
    let centered = x.clone() - x.mean_dim(2);
    let variance = centered.clone().square().mean_dim(2);
    centered / (variance + epsilon).sqrt() * gain.unsqueeze()
}

pub fn layer_norm(draw: &mut Draw) {
    let epsilon = 1e-5;
    // Not two channels: they are always normalized to ±1, so the gradient would consist of rounding errors.
    let (batch, time, width) = (draw.size(1..4), draw.size(1..90), draw.size(3..40));
    Operation {
        inputs: [draw.normal([batch, time, width]), draw.normal([width])],
        operation: &|[x, weight]| {
            [ops::layer_norm(tensor(x), tensor(weight), epsilon).into_dispatch()]
        },
        plain: &|[x, weight]| {
            [plain::layer_norm_without_bias::<Dispatch>(
                x, weight, epsilon,
            )]
        },
        plain_backward: Some(&|[gradient], [x, weight]| {
            plain::layer_norm_without_bias_backward::<Dispatch>(gradient, x, weight, epsilon).into()
        }),
        formula: &|[x, weight]| [norm_formula(tensor(x), tensor(weight), epsilon).into_dispatch()],
    }
    .check();
}

pub fn norm_linear(draw: &mut Draw) {
    let (batch, time) = (draw.size(1..4), draw.size(1..60));
    let (inputs, outputs) = (draw.size(3..40), draw.size(1..40));
    let epsilon = NORM.epsilon;
    Operation {
        inputs: [
            draw.normal([batch, time, inputs]),
            draw.normal([inputs]),
            draw.normal([outputs, inputs]),
        ],
        operation: &|[x, norm, weight]| {
            let output = ops::norm_linear(tensor(x), tensor(norm), tensor(weight), NORM);
            [output.into_dispatch()]
        },
        plain: &|[x, norm, weight]| [plain::norm_linear::<Dispatch>(x, norm, weight, epsilon)],
        plain_backward: Some(&|[gradient], [x, norm, weight]| {
            plain::norm_linear_backward::<Dispatch>(gradient, x, norm, weight, epsilon).into()
        }),
        formula: &|[x, norm, weight]| {
            let normal = norm_formula(tensor(x), tensor(norm), epsilon);
            let weight = tensor::<2>(weight).transpose().unsqueeze();
            [normal.matmul(weight).into_dispatch()]
        },
    }
    .check();
}
