//! Experts.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::{Activation, ExpertSettings, Precision, plain};

use crate::activation::gelu_formula;
use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub fn gated_experts(draw: &mut Draw) {
    let (time, width, hidden) = (draw.size(1..60), draw.size(1..20), draw.size(1..30));
    let (count, used) = (draw.size(1..5), draw.share());
    let activation = Activation::ALL[draw.size(0..3)];
    let settings = ExpertSettings {
        activation,
        precision: Precision::F32,
    };
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
            let sum = ops::gated_experts(tensor(x), tensor(gates), weights, settings);
            [sum.into_dispatch()]
        },
        plain: &|[x, gates, up, down]| {
            let output = plain::gated_experts::<Dispatch>(x, gates, up, down, activation);
            [output]
        },
        plain_backward: Some(&|[gradient], [x, gates, up, down]| {
            plain::gated_experts_backward::<Dispatch>(gradient, x, gates, up, down, activation)
                .into()
        }),
        formula: &|[x, gates, up, down]| {
            let (x, gates) = (tensor::<3>(x), tensor::<3>(gates));
            let (up, down) = (tensor::<3>(up), tensor::<3>(down));
            let mut sum = Tensor::zeros_like(&x);
            let mut measures = Tensor::zeros_like(&x.clone().narrow(2, 0, 1)).repeat_dim(2, 2);
            for expert in 0..count {
                let weight = |all: &Tensor<3>| {
                    let weight = all.clone().narrow(0, expert, 1).transpose();
                    weight.repeat_dim(0, 2)
                };
                let before = x.clone().matmul(weight(&up));
                let units = match activation {
                    Activation::Gelu => gelu_formula(before),
                    Activation::Relu => before.clamp_min(0.0),
                    Activation::SquaredRelu => before.clamp_min(0.0).powi_scalar(2),
                };
                let gate = gates.clone().narrow(2, expert, 1);
                // Gates of 0 stay 0.
                let open = gate.clone().detach().not_equal_elem(0.0).float();
                let open = open.cast(gate.dtype());
                let positive = units.clone().detach().greater_elem(0.0).float();
                let positive = positive.cast(gate.dtype());
                let both = [units.clone(), positive].map(|units| units.sum_dim(2) * open.clone());
                measures = measures + Tensor::cat(both.to_vec(), 2);
                sum = sum + units.matmul(weight(&down)) * gate * open;
            }
            match activation.gives_zeros() {
                false => [sum.into_dispatch()],
                true => [Tensor::cat(vec![sum, measures], 2).into_dispatch()],
            }
        },
    }
    .check();
}
