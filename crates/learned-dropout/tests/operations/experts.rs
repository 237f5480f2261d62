//! Experts.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::{Precision, plain};

use crate::activation::gelu_formula;
use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub fn gated_experts(draw: &mut Draw) {
    let (time, width, hidden) = (draw.size(1..60), draw.size(1..20), draw.size(1..30));
    let (count, used) = (draw.size(1..5), draw.share());
    // No token uses the second expert.
    let gates = draw.factors([2, time, count], used, false);
    let gates = gates.map_with_index(|index, gate| if index % count == 1 { 0.0 } else { gate });
    Operation {
        inputs: [
            draw.normal([2, time, width]),
            gates,
            draw.normal([count, hidden, width]),
            draw.normal([count, width, hidden]),
        ],
        operation: &|[x, gates, up, down]| {
            let weights = [tensor(up), tensor(down)];
            let sum = ops::gated_experts(tensor(x), tensor(gates), weights, Precision::F32);
            [sum.into_dispatch()]
        },
        plain: &|[x, gates, up, down]| [plain::gated_experts::<Dispatch>(x, gates, up, down)],
        plain_backward: Some(&|[gradient], [x, gates, up, down]| {
            plain::gated_experts_backward::<Dispatch>(gradient, x, gates, up, down).into()
        }),
        formula: &|[x, gates, up, down]| {
            let (x, gates) = (tensor::<3>(x), tensor::<3>(gates));
            let (up, down) = (tensor::<3>(up), tensor::<3>(down));
            let mut sum = Tensor::zeros_like(&x);
            for expert in 0..count {
                let weight = |all: &Tensor<3>| {
                    let weight = all.clone().narrow(0, expert, 1).transpose();
                    weight.repeat_dim(0, 2)
                };
                let units = gelu_formula(x.clone().matmul(weight(&up)));
                let gate = gates.clone().narrow(2, expert, 1);
                // Gates of 0 stay 0.
                let open = gate.clone().detach().not_equal_elem(0.0).float();
                let open = open.cast(gate.dtype());
                sum = sum + units.matmul(weight(&down)) * gate * open;
            }
            [sum.into_dispatch()]
        },
    }
    .check();
}
