//! Products with groups of channels.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

/// The product by plain operations; with `kept_only` the gradient of dropped factors is cut off.
pub fn product_formula(
    x: Tensor<3>,
    factors: Tensor<3>,
    group: usize,
    kept_only: bool,
) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    let [_, _, groups] = factors.dims();
    let factors = if kept_only {
        let kept = factors.clone().detach().not_equal_elem(0.0).float();
        let kept = kept.cast(factors.dtype());
        factors.clone().detach() + (factors.clone() - factors.detach()) * kept
    } else {
        factors
    };
    let factors = factors
        .reshape([batch, time, groups, 1])
        .repeat_dim(3, group)
        .reshape([batch, time, groups * group]);
    let lead = width - groups * group;
    if lead == 0 {
        return x * factors;
    }
    let front = x.clone().narrow(2, 0, lead);
    Tensor::cat(vec![front, x.narrow(2, lead, groups * group) * factors], 2)
}

pub fn grouped_product(draw: &mut Draw) {
    let (batch, time) = (draw.size(1..3), draw.size(1..90));
    let (groups, group, lead) = (draw.size(1..7), draw.size(1..20), draw.size(0..9));
    let (kept, binary, kept_only) = (draw.share(), draw.yes(), draw.yes());
    Operation {
        inputs: [
            draw.normal([batch, time, lead + groups * group]),
            draw.factors([batch, time, groups], kept, binary),
        ],
        operation: &|[x, factors]| {
            let product = ops::grouped_product(tensor(x), tensor(factors), group, kept_only);
            [product.into_dispatch()]
        },
        plain: &|[x, factors]| [plain::grouped_product::<Dispatch>(x, factors, group)],
        plain_backward: Some(&|[gradient], [x, factors]| {
            plain::grouped_product_backward::<Dispatch>(gradient, x, factors, group, kept_only)
                .into()
        }),
        formula: &|[x, factors]| {
            [product_formula(tensor(x), tensor(factors), group, kept_only).into_dispatch()]
        },
    }
    .check();
}
