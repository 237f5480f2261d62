//! What the optimizer computes.

use burn::backend::Dispatch;
use learned_dropout::ops;
use learned_dropout::ops::{AdamW, plain};

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub fn sum_of_squares(draw: &mut Draw) {
    let count = draw.size(1..10_000);
    Operation {
        inputs: [draw.normal([count])],
        operation: &|[x]| [ops::sum_of_squares(tensor(x)).into_dispatch()],
        plain: &|[x]| [plain::sum_of_squares::<Dispatch>(x)],
        plain_backward: None,
        formula: &|[x]| [tensor::<1>(x).square().sum().into_dispatch()],
    }
    .check();
}

pub fn adamw(draw: &mut Draw) {
    let count = draw.size(1..10_000);
    let step = AdamW {
        betas: [0.9, 0.95],
        gradient_scale: 0.6,
        epsilon: 1e-8,
        decay_factor: 0.99,
        rate: 0.01,
        root_scale: 1.7,
    };
    Operation {
        inputs: [
            draw.normal([count]),
            draw.normal([count]),
            draw.normal([count]),
            draw.normal([count]).map(f32::abs),
        ],
        operation: &|[parameter, gradient, first, second]| {
            let moments = [tensor(first), tensor(second)];
            let (updated, [first, second]) =
                ops::adamw(tensor(parameter), tensor(gradient), moments, step);
            [updated, first, second].map(|tensor| tensor.into_dispatch())
        },
        plain: &|[parameter, gradient, first, second]| {
            plain::adamw::<Dispatch>(parameter, gradient, first, second, step).into()
        },
        plain_backward: None,
        formula: &|[parameter, gradient, first, second]| {
            let [beta_1, beta_2] = step.betas;
            let gradient = tensor::<1>(gradient) * step.gradient_scale;
            let first = tensor::<1>(first) * beta_1 + gradient.clone() * (1.0 - beta_1);
            let second = tensor::<1>(second) * beta_2 + gradient.square() * (1.0 - beta_2);
            let root = second.clone().sqrt() * step.root_scale + step.epsilon;
            let change = first.clone() / root * step.rate;
            let updated = tensor::<1>(parameter) * step.decay_factor - change;
            [updated, first, second].map(|tensor| tensor.into_dispatch())
        },
    }
    .check();
}
