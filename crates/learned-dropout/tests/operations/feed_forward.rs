//! The dense feed-forward.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{DType, Shape, Tensor};
use learned_dropout::ops;
use learned_dropout::ops::{Activation, FeedForwardSettings, HiddenUnits, plain};

use crate::activation::gelu_formula;
use crate::differentiate::{Function, Input, Primitive, assert_close, differentiate, tensor};
use crate::draw::Draw;
use crate::norm::{NORM, norm_formula};
use crate::operation::{Operation, TOLERANCE};
use crate::support::device;

/// The settings of a feed-forward with any activation function.
fn settings(draw: &mut Draw) -> FeedForwardSettings {
    FeedForwardSettings {
        epsilon: NORM.epsilon,
        activation: Activation::ALL[draw.size(0..3)],
        precision: NORM.precision,
    }
}

/// Sequences, tokens and channels. The norm leaves two directions less than there are channels, so the
/// gradients of a token with few channels can cancel but for rounding errors: there are more tokens then.
pub fn tokens(draw: &mut Draw) -> [usize; 3] {
    let width = draw.size(3..24);
    let fewest = if width < 6 { 20 } else { 1 };
    [draw.size(1..4), draw.size(fewest..60), width]
}

/// Input, norm, up and down weights. With ReLU, no hidden unit is so close to 0 that rounding could decide
/// whether it is used: it counts or not, and its gradient is 1 or 0.
pub fn inputs(
    draw: &mut Draw,
    [batch, time, width, hidden]: [usize; 4],
    activation: Activation,
) -> [Input; 4] {
    loop {
        let inputs = [
            draw.normal([batch, time, width]),
            draw.normal([width]),
            draw.normal([hidden, width]),
            draw.normal([width, hidden]),
        ];
        let [x, norm, up, _] = &inputs;
        if !activation.gives_zeros() || nearest_to_zero(x, norm, up) > 1e-5 {
            return inputs;
        }
    }
}

/// The smallest magnitude of a hidden unit before its activation function, with and without the norm.
fn nearest_to_zero(x: &Input, norm: &Input, up: &Input) -> f64 {
    let exact =
        |input: &Input| -> Vec<f64> { input.values.iter().copied().map(f64::from).collect() };
    let (x, norm, up) = (exact(x), exact(norm), exact(up));
    let width = norm.len();
    let mut nearest = f64::INFINITY;
    for x in x.chunks(width) {
        let mean = x.iter().sum::<f64>() / width as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let scale = 1.0 / (variance + f64::from(NORM.epsilon)).sqrt();
        for up in up.chunks(width) {
            let terms = x.iter().zip(&norm).zip(up);
            let unit: f64 = terms.map(|((x, norm), up)| (x - mean) * norm * up).sum();
            let without_norm: f64 = x.iter().zip(up).map(|(x, up)| x * up).sum();
            nearest = nearest.min((unit * scale).abs()).min(without_norm.abs());
        }
    }
    nearest
}

/// The hidden units by plain operations; without a norm if that is `[0]`.
pub fn units_formula(
    [x, norm, up]: [Primitive; 3],
    epsilon: f32,
    activation: Activation,
) -> Tensor<3> {
    let norm = tensor::<1>(norm);
    let normal = match norm.dims() {
        [0] => tensor(x),
        _ => norm_formula(tensor(x), norm, epsilon),
    };
    let hidden = normal.matmul(tensor::<2>(up).transpose().unsqueeze());
    match activation {
        Activation::Gelu => gelu_formula(hidden),
        Activation::Relu => hidden.clamp_min(0.0),
        Activation::SquaredRelu => hidden.clone().clamp_min(0.0) * hidden,
    }
}

pub fn norm_feed_forward(draw: &mut Draw) {
    let [batch, time, width] = tokens(draw);
    let shape = [batch, time, width, draw.size(1..50)];
    let settings = settings(draw);
    Operation {
        inputs: inputs(draw, shape, settings.activation),
        operation: &|[x, norm, up, down]| {
            let weights = [tensor(up), tensor(down)];
            let output = ops::norm_feed_forward(tensor(x), tensor(norm), weights, settings);
            [output.into_dispatch()]
        },
        plain: &|[x, norm, up, down]| {
            [plain::norm_feed_forward::<Dispatch>(
                x, norm, up, down, settings,
            )]
        },
        plain_backward: Some(&|[gradient], [x, norm, up, down]| {
            let nothing = nothing_like(&x);
            plain::norm_feed_forward_backward::<Dispatch>(
                gradient, nothing, x, norm, up, down, settings,
            )
            .into()
        }),
        formula: &|[x, norm, up, down]| {
            let units = units_formula([x, norm, up], settings.epsilon, settings.activation);
            let output = units.matmul(tensor::<2>(down).transpose().unsqueeze());
            [output.into_dispatch()]
        },
    }
    .check();
}

/// No gradients of the sums.
pub fn nothing_like(x: &Primitive) -> Primitive {
    Dispatch::float_zeros(Shape::new([0]), &x.device(), x.dtype().into())
}

/// The three outputs of an operation with a sum.
pub fn outputs((output, units): (Tensor<3>, HiddenUnits)) -> [Primitive; 3] {
    let sums = [units.sum, units.not_zero].map(Tensor::into_dispatch);
    let [sum, not_zero] = sums;
    [output.into_dispatch(), sum, not_zero]
}

/// The output, the sum and the share of a plain body with a sum.
pub fn plain_outputs((output, sums): (Primitive, Primitive)) -> [Primitive; 3] {
    let sums = tensor::<1>(sums);
    let [sum, not_zero] = [sums.clone().narrow(0, 0, 1), sums.narrow(0, 1, 1)];
    [output, sum.into_dispatch(), not_zero.into_dispatch()]
}

/// The gradients of the sum and of the share, `[2]`.
pub fn gradients_of_sums(sum: Primitive, share: Primitive) -> Primitive {
    Tensor::cat(vec![tensor::<1>(sum), tensor(share)], 0).into_dispatch()
}

/// The sum of the units, and the share that is not 0, of those that `kept` is 1 for.
pub fn sums_formula(units: Tensor<3>, kept: Tensor<3>, activation: Activation) -> [Primitive; 2] {
    let dtype = units.dtype();
    let kept = kept.detach();
    let least = match activation {
        Activation::Gelu => f32::NEG_INFINITY,
        Activation::Relu | Activation::SquaredRelu => 0.0,
    };
    let not_zero = units.clone().detach().greater_elem(least);
    let not_zero = not_zero.float().cast(dtype);
    let count = (not_zero * kept.clone()).sum();
    let share = count / kept.clone().sum().clamp_min(1.0);
    [(units * kept).sum().into_dispatch(), share.into_dispatch()]
}

pub fn norm_feed_forward_with_sum(draw: &mut Draw) {
    let [batch, time, width] = tokens(draw);
    let shape = [batch, time, width, draw.size(1..50)];
    let settings = settings(draw);
    Operation {
        inputs: inputs(draw, shape, settings.activation),
        operation: &|[x, norm, up, down]| {
            let weights = [tensor(up), tensor(down)];
            outputs(ops::norm_feed_forward_with_sum(
                tensor(x),
                tensor(norm),
                weights,
                settings,
            ))
        },
        plain: &|[x, norm, up, down]| {
            plain_outputs(plain::norm_feed_forward_with_sum::<Dispatch>(
                x, norm, up, down, settings,
            ))
        },
        plain_backward: Some(&|[gradient, dsum, dshare], [x, norm, up, down]| {
            let dsums = gradients_of_sums(dsum, dshare);
            plain::norm_feed_forward_backward::<Dispatch>(
                gradient, dsums, x, norm, up, down, settings,
            )
            .into()
        }),
        formula: &|[x, norm, up, down]| {
            let units = units_formula([x, norm, up], settings.epsilon, settings.activation);
            let [sum, share] = sums_formula(units.clone(), units.ones_like(), settings.activation);
            let output = units.matmul(tensor::<2>(down).transpose().unsqueeze());
            [output.into_dispatch(), sum, share]
        },
    }
    .check();
}

/// An output that nothing depends on has the gradient 0.
#[test]
fn either_output_can_be_left_out() {
    let mut draw = Draw::new(3);
    let settings = settings(&mut draw);
    let inputs = inputs(&mut draw, [2, 9, 5, 7], settings.activation);
    let run = |[x, norm, up, down]: [Primitive; 4]| {
        let weights = [tensor(up), tensor(down)];
        outputs(ops::norm_feed_forward_with_sum(
            tensor(x),
            tensor(norm),
            weights,
            settings,
        ))
    };
    let units = |[x, norm, up, _]: [Primitive; 4]| {
        units_formula([x, norm, up], settings.epsilon, settings.activation)
    };
    let differentiate =
        |function: Function<'_, 4, 1>| differentiate(&inputs, DType::F32, &device(), function);
    let found = differentiate(&|inputs| {
        let [_, sum, _] = run(inputs);
        [sum]
    });
    let expected = differentiate(&|inputs| [units(inputs).sum().into_dispatch()]);
    assert_close("sum", &found.gradients, &expected.gradients, TOLERANCE);
    let found = differentiate(&|inputs| {
        let [output, _, _] = run(inputs);
        [output]
    });
    let expected = differentiate(&|[x, norm, up, down]| {
        let weights = [tensor(up), tensor(down)];
        [ops::norm_feed_forward(tensor(x), tensor(norm), weights, settings).into_dispatch()]
    });
    assert_close("output", &found.gradients, &expected.gradients, 0.0);
}

/// The fused operation gives the same bits as its operations one after the other.
#[test]
fn many_hidden_units_are_recomputed() {
    let mut draw = Draw::new(9);
    let (tokens, width, hidden) = (4_100, 4, 1_024);
    let inputs = [
        draw.normal([1, tokens, width]),
        draw.normal([width]),
        draw.normal([hidden, width]),
        draw.normal([width, hidden]),
    ];
    let settings = FeedForwardSettings {
        epsilon: NORM.epsilon,
        activation: Activation::Gelu,
        precision: NORM.precision,
    };
    let found = differentiate(&inputs, DType::F32, &device(), &|[x, norm, up, down]| {
        let weights = [tensor(up), tensor(down)];
        [ops::norm_feed_forward(tensor(x), tensor(norm), weights, settings).into_dispatch()]
    });
    let expected = differentiate(&inputs, DType::F32, &device(), &|[x, norm, up, down]| {
        let hidden = ops::norm_linear(tensor(x), tensor(norm), tensor(up), NORM);
        [ops::linear(ops::gelu(hidden), tensor(down), NORM.precision).into_dispatch()]
    });
    assert_close("output", &found.outputs, &expected.outputs, 0.0);
    assert_close("gradient", &found.gradients, &expected.gradients, 0.0);
}
