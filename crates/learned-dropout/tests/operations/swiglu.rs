//! The hidden units of SwiGLU.

use burn::backend::Dispatch;
use burn::tensor::activation::sigmoid;
use learned_dropout::ops;
use learned_dropout::ops::plain;

use crate::differentiate::tensor;
use crate::draw::Draw;
use crate::operation::Operation;

pub fn swiglu(draw: &mut Draw) {
    let (time, hidden, scale) = (draw.size(1..60), draw.size(1..30), draw.number(0.1..5.0));
    let packed = draw.normal([2, time, 2 * hidden]);
    Operation {
        inputs: [packed.map(|value| value * scale)],
        operation: &|[x]| [ops::swiglu(tensor(x)).into_dispatch()],
        plain: &|[x]| [plain::swiglu::<Dispatch>(x)],
        plain_backward: Some(&|[gradient], [x]| [plain::swiglu_backward::<Dispatch>(gradient, x)]),
        formula: &|[x]| {
            let x = tensor::<3>(x);
            let (gate, up) = (x.clone().narrow(2, 0, hidden), x.narrow(2, hidden, hidden));
            [(gate.clone() * sigmoid(gate) * up).into_dispatch()]
        },
    }
    .check();
}
