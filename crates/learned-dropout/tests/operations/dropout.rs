//! Ordinary dropout.

use burn::backend::Dispatch;
use learned_dropout::ops;
use learned_dropout::ops::{Dropout, plain};

use crate::differentiate::{dropout_factors, tensor};
use crate::draw::Draw;
use crate::operation::Operation;

pub fn dropped(draw: &mut Draw) {
    let (batch, time) = (draw.size(1..4), draw.size(1..60));
    let dropout = Dropout {
        rate: draw.number(0.05..0.9).into(),
        generator: draw.generator(),
    };
    Operation {
        inputs: [draw.normal([batch, time, 7])],
        operation: &|[x]| [ops::dropped(tensor::<3>(x), dropout).into_dispatch()],
        plain: &|[x]| [plain::dropped::<Dispatch>(x, dropout)],
        plain_backward: Some(&|[gradient], _| [plain::dropped::<Dispatch>(gradient, dropout)]),
        formula: &|[x]| {
            let x = tensor::<3>(x);
            [(x.clone() * dropout_factors(dropout, &x)).into_dispatch()]
        },
    }
    .check();
}
