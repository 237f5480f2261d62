//! Some neighbouring channels.

use burn::backend::Dispatch;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub fn channels(draw: &mut Draw) {
    let (time, before) = (draw.size(1..40), draw.size(0..6));
    let (count, after) = (draw.size(1..9), draw.size(0..6));
    let (range, all) = (before..before + count, before + count + after);
    Operation {
        inputs: [draw.normal([2, time, all])],
        operation: &|[x]| [ops::channels(tensor(x), range.clone()).into_dispatch()],
        plain: &|[x]| [plain::channels::<Dispatch>(x, range.clone())],
        plain_backward: Some(&|[gradient], _| {
            [plain::channels_backward::<Dispatch>(
                gradient,
                all,
                range.clone(),
            )]
        }),
        formula: &|[x]| [tensor::<3>(x).narrow(2, before, count).into_dispatch()],
    }
    .check();
}
