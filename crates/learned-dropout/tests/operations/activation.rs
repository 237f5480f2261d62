//! GELU and ReLU.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

/// `x Φ(x)`.
pub fn gelu_formula<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5
}

pub fn gelu(draw: &mut Draw) {
    let (time, scale) = (draw.size(1..60), draw.number(0.1..5.0));
    Operation {
        inputs: [draw.normal([2, time, 9]).map(|value| value * scale)],
        operation: &|[x]| [ops::gelu(tensor(x)).into_dispatch()],
        plain: &|[x]| [plain::exact_gelu::<Dispatch>(x)],
        plain_backward: Some(&|[gradient], [x]| {
            [plain::exact_gelu_backward::<Dispatch>(gradient, x)]
        }),
        formula: &|[x]| [gelu_formula(tensor::<3>(x)).into_dispatch()],
    }
    .check();
}

pub fn relu(draw: &mut Draw) {
    let (time, width) = (draw.size(1..60), draw.size(1..9));
    Operation {
        inputs: [draw.normal([2, time, width])],
        operation: &|[x]| [ops::relu(tensor(x)).into_dispatch()],
        plain: &|[x]| [plain::relu_units::<Dispatch>(x)],
        plain_backward: Some(&|[gradient], [x]| {
            let relu = plain::relu_units::<Dispatch>(x);
            [plain::relu_units_backward::<Dispatch>(gradient, relu)]
        }),
        formula: &|[x]| [tensor::<3>(x).clamp_min(0.0).into_dispatch()],
    }
    .check();
}
