//! The feed-forward with a mask on its hidden units.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::{Activation, MaskedSettings, Precision, plain};

use crate::differentiate::{Input, Primitive, tensor};
use crate::draw::Draw;
use crate::feed_forward::{
    gradients_of_sums, inputs, nothing_like, outputs, plain_outputs, sums_formula, tokens,
    units_formula,
};
use crate::grouped_product::product_formula;
use crate::operation::Operation;

/// Input, norm, up and down weights and factors; the units of a group; the settings.
fn draw_case(draw: &mut Draw) -> ([Input; 5], usize, MaskedSettings) {
    let [batch, time, width] = tokens(draw);
    // With groups of 16 or more, few of which are kept, only the kept ones are computed.
    let group = match draw.size(0..3) {
        0 => draw.size(1..12),
        1 => 16,
        _ => 33,
    };
    let groups = draw.size(1..7);
    let (kept, binary) = (draw.share(), draw.yes());
    let settings = MaskedSettings {
        epsilon: 1e-2,
        activation: Activation::ALL[draw.size(0..3)],
        kept_only: draw.yes(),
        precision: Precision::F32,
    };
    let shape = [batch, time, width, groups * group];
    let [x, norm, up, down] = inputs(draw, shape, settings.activation);
    // Without a norm, the input is normalized already.
    let norm = match draw.yes() {
        true => norm,
        false => Input::new(Vec::new(), [0]),
    };
    let factors = draw.factors([batch, time, groups], kept, binary);
    ([x, norm, up, down, factors], group, settings)
}

/// The norm, if there is one.
fn given(norm: Primitive) -> Option<Tensor<1>> {
    Some(tensor(norm)).filter(|norm: &Tensor<1>| norm.dims() != [0])
}

pub fn masked_feed_forward(draw: &mut Draw) {
    let (inputs, group, settings) = draw_case(draw);
    Operation {
        inputs,
        operation: &|[x, norm, up, down, factors]| {
            let (x, norm, weights) = (tensor(x), given(norm), [tensor(up), tensor(down)]);
            let output = ops::masked_feed_forward(x, norm, weights, tensor(factors), settings);
            [output.into_dispatch()]
        },
        plain: &|[x, norm, up, down, factors]| {
            [plain::masked_feed_forward::<Dispatch>(
                x, norm, up, down, factors, settings,
            )]
        },
        plain_backward: Some(&|[gradient], [x, norm, up, down, factors]| {
            let nothing = nothing_like(&x);
            plain::masked_feed_forward_backward::<Dispatch>(
                gradient, nothing, x, norm, up, down, factors, settings,
            )
            .into()
        }),
        formula: &|[x, norm, up, down, factors]| {
            let units = units_formula([x, norm, up], settings.epsilon, settings.activation);
            let masked = product_formula(units, tensor(factors), group, settings.kept_only);
            let output = masked.matmul(tensor::<2>(down).transpose().unsqueeze());
            [output.into_dispatch()]
        },
    }
    .check();
}

pub fn masked_feed_forward_with_sum(draw: &mut Draw) {
    let (inputs, group, settings) = draw_case(draw);
    Operation {
        inputs,
        operation: &|[x, norm, up, down, factors]| {
            let (x, norm, weights) = (tensor(x), given(norm), [tensor(up), tensor(down)]);
            let factors = tensor(factors);
            outputs(ops::masked_feed_forward_with_sum(
                x, norm, weights, factors, settings,
            ))
        },
        plain: &|[x, norm, up, down, factors]| {
            plain_outputs(plain::masked_feed_forward_with_sum::<Dispatch>(
                x, norm, up, down, factors, settings,
            ))
        },
        plain_backward: Some(&|[gradient, dsum, dshare], [x, norm, up, down, factors]| {
            let dsums = gradients_of_sums(dsum, dshare);
            plain::masked_feed_forward_backward::<Dispatch>(
                gradient, dsums, x, norm, up, down, factors, settings,
            )
            .into()
        }),
        formula: &|[x, norm, up, down, factors]| {
            let units = units_formula([x, norm, up], settings.epsilon, settings.activation);
            let factors: Tensor<3> = tensor(factors);
            let kept = factors.clone().detach().not_equal_elem(0.0).float();
            let kept = product_formula(units.ones_like(), kept.cast(units.dtype()), group, false);
            let [sum, share] = sums_formula(units.clone(), kept, settings.activation);
            let masked = product_formula(units, factors, group, settings.kept_only);
            let output = masked.matmul(tensor::<2>(down).transpose().unsqueeze());
            [output.into_dispatch(), sum, share]
        },
    }
    .check();
}
