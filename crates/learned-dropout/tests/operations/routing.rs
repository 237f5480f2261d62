//! Gates that choose experts, and what share is used.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

/// 1 for the `count` largest values and 0 for the others, by comparing all pairs.
fn chosen(scores: Tensor<3>, count: usize) -> Tensor<3> {
    let scores = scores.detach();
    let [batch, time, experts] = scores.dims();
    let [mine, other] = [3, 2].map(|dim| scores.clone().unsqueeze_dim::<4>(dim));
    let shape = [batch, time, experts, experts];
    let larger = other.expand(shape).greater(mine.expand(shape)).float();
    let larger = larger.sum_dim(3).squeeze_dim::<3>(3);
    let chosen = larger.lower_elem(count as f64 - 0.5).float();
    chosen.cast(scores.dtype())
}

pub fn best_gates(draw: &mut Draw) {
    let (time, experts) = (draw.size(1..60), draw.size(1..9));
    let count = draw.size(1..experts + 1);
    Operation {
        inputs: [draw.normal([2, time, experts])],
        operation: &|[scores]| [ops::best_gates(tensor(scores), count).into_dispatch()],
        plain: &|[scores]| [plain::best_gates::<Dispatch>(scores, count)],
        plain_backward: Some(&|[gradient], [scores]| {
            let gates = plain::best_gates::<Dispatch>(scores, count);
            [plain::best_gates_backward::<Dispatch>(gradient, gates)]
        }),
        formula: &|[scores]| {
            let scores = tensor::<3>(scores);
            let chosen = chosen(scores.clone(), count);
            if count == 1 {
                // The softmax of a single score is always 1; burn's gradient would be rounding errors.
                return [(chosen + scores * 0.0).into_dispatch()];
            }
            let taken = softmax(scores, 2) * chosen;
            [(taken.clone() / taken.sum_dim(2)).into_dispatch()]
        },
    }
    .check();
}

pub fn mean_softmax(draw: &mut Draw) {
    let (time, experts) = (draw.size(1..60), draw.size(1..9));
    Operation {
        inputs: [draw.normal([2, time, experts])],
        operation: &|[scores]| [ops::mean_softmax(tensor(scores)).into_dispatch()],
        plain: &|[scores]| [plain::mean_softmax::<Dispatch>(scores)],
        plain_backward: Some(&|[gradient], [scores]| {
            [plain::mean_softmax_backward::<Dispatch>(gradient, scores)]
        }),
        formula: &|[scores]| {
            let rows = softmax(tensor::<3>(scores), 2).reshape([2 * time, experts]);
            let means: Tensor<1> = rows.mean_dim(0).squeeze_dim(0);
            [means.into_dispatch()]
        },
    }
    .check();
}

pub fn used_share(draw: &mut Draw) {
    let (time, width, used) = (draw.size(1..60), draw.size(1..9), draw.share());
    Operation {
        inputs: [draw.factors([2, time, width], used, false)],
        operation: &|[values]| [ops::used_share(tensor(values)).into_dispatch()],
        plain: &|[values]| [plain::used_share::<Dispatch>(values)],
        plain_backward: None,
        formula: &|[values]| {
            let values = tensor::<3>(values);
            let used = values.clone().not_equal_elem(0.0).float();
            let rows = used.cast(values.dtype()).reshape([2 * time, width]);
            let shares: Tensor<1> = rows.mean_dim(0).squeeze_dim(0);
            [shares.into_dispatch()]
        },
    }
    .check();
}
