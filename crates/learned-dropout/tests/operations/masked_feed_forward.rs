//! The feed-forward with a mask on its hidden units.

use burn::backend::Dispatch;
use learned_dropout::ops;
use learned_dropout::ops::{MaskedSettings, Precision, plain};

use crate::activation::gelu_formula;
use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::grouped_product::product_formula;
use crate::norm::norm_formula;
use crate::operation::Operation;

pub fn masked_feed_forward(draw: &mut Draw) {
    let (batch, time, width) = (draw.size(1..3), draw.size(1..60), draw.size(3..24));
    // With groups of 16 or more, few of which are kept, only the kept ones are computed.
    let group = match draw.size(0..3) {
        0 => draw.size(1..12),
        1 => 16,
        _ => 33,
    };
    let groups = draw.size(1..7);
    let hidden = groups * group;
    let (kept, binary) = (draw.share(), draw.yes());
    let settings = MaskedSettings {
        epsilon: 1e-2,
        kept_only: draw.yes(),
        precision: Precision::F32,
    };
    Operation {
        inputs: [
            draw.normal([batch, time, width]),
            draw.normal([width]),
            draw.normal([hidden, width]),
            draw.normal([width, hidden]),
            draw.factors([batch, time, groups], kept, binary),
        ],
        operation: &|[x, norm, up, down, factors]| {
            let (x, norm, weights) = (tensor(x), tensor(norm), [tensor(up), tensor(down)]);
            let output = ops::masked_feed_forward(x, norm, weights, tensor(factors), settings);
            [output.into_dispatch()]
        },
        plain: &|[x, norm, up, down, factors]| {
            [plain::masked_feed_forward::<Dispatch>(
                x, norm, up, down, factors, settings,
            )]
        },
        plain_backward: Some(&|[gradient], [x, norm, up, down, factors]| {
            plain::masked_feed_forward_backward::<Dispatch>(
                gradient, x, norm, up, down, factors, settings,
            )
            .into()
        }),
        formula: &|[x, norm, up, down, factors]| {
            let normal = norm_formula(tensor(x), tensor(norm), settings.epsilon);
            let units = gelu_formula(normal.matmul(tensor::<2>(up).transpose().unsqueeze()));
            let masked = product_formula(units, tensor(factors), group, settings.kept_only);
            let output = masked.matmul(tensor::<2>(down).transpose().unsqueeze());
            [output.into_dispatch()]
        },
    }
    .check();
}
