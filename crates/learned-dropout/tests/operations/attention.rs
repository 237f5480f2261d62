//! Causal attention.

use burn::backend::Dispatch;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, DType, Tensor};
use learned_dropout::dropout::dropout;
use learned_dropout::ops;
use learned_dropout::ops::{Dropout, Precision, plain};
use model::Pass;
use model::pass::{NoiseKey, Purpose};

use crate::differentiate::{assert_close, differentiate, dropout_factors, tensor};
use crate::draw::Draw;
use crate::operation::{Operation, TOLERANCE};
use crate::support::device;

/// Causal attention by plain operations; `change` changes the probabilities.
pub fn attention_formula(
    packed: Tensor<3>,
    heads: usize,
    change: impl Fn(Tensor<4>) -> Tensor<4>,
) -> Tensor<3> {
    let [batch, time, packed_width] = packed.dims();
    let width = packed_width / 3;
    let third = |index: usize| {
        let third = packed.clone().narrow(2, index * width, width);
        third
            .reshape([batch, time, heads, width / heads])
            .swap_dims(1, 2)
    };
    // A factor and not a division: burn computes the gradient of a division only in f32.
    let scale = 1.0 / ((width / heads) as f64).sqrt();
    let scores = third(0).matmul(third(1).transpose()) * scale;
    let future = Tensor::<2, Bool>::tril_mask([time, time], 0, &packed.device());
    let scores = scores.mask_fill(future.unsqueeze(), f32::NEG_INFINITY);
    change(softmax(scores, 3))
        .matmul(third(2))
        .swap_dims(1, 2)
        .reshape([batch, time, width])
}

pub fn causal_attention(draw: &mut Draw) {
    let (batch, time) = (draw.size(1..4), draw.size(1..40));
    let (heads, size) = (draw.size(1..4), draw.size(1..20));
    let dropout = draw.yes().then(|| Dropout {
        rate: draw.number(0.1..0.8).into(),
        generator: draw.generator(),
    });
    Operation {
        inputs: [draw.normal([batch, time, 3 * heads * size])],
        operation: &|[packed]| {
            let attended = ops::causal_attention(tensor(packed), heads, dropout, Precision::F32);
            [attended.into_dispatch()]
        },
        plain: &|[packed]| [plain::causal_attention::<Dispatch>(packed, heads, dropout)],
        plain_backward: Some(&|[gradient], [packed]| {
            [plain::causal_attention_backward::<Dispatch>(
                gradient, packed, heads, dropout,
            )]
        }),
        formula: &|[packed]| {
            let attended = attention_formula(tensor(packed), heads, |weights| match dropout {
                Some(dropout) => weights.clone() * dropout_factors(dropout, &weights),
                None => weights,
            });
            [attended.into_dispatch()]
        },
    }
    .check();
}

pub fn linear_attention(draw: &mut Draw) {
    let (batch, time, inputs) = (draw.size(1..4), draw.size(1..40), draw.size(1..20));
    let (heads, size) = (draw.size(1..4), draw.size(1..20));
    Operation {
        inputs: [
            draw.normal([batch, time, inputs]),
            draw.normal([3 * heads * size, inputs]),
        ],
        operation: &|[x, weight]| {
            let attended = ops::linear_attention(tensor(x), tensor(weight), heads, Precision::F32);
            [attended.into_dispatch()]
        },
        plain: &|[x, weight]| {
            let packed = plain::linear_without_bias::<Dispatch>(x, weight);
            [plain::causal_attention::<Dispatch>(packed, heads, None)]
        },
        plain_backward: Some(&|[gradient], [x, weight]| {
            let packed = plain::linear_without_bias::<Dispatch>(x.clone(), weight.clone());
            let dpacked =
                plain::causal_attention_backward::<Dispatch>(gradient, packed, heads, None);
            plain::linear_without_bias_backward::<Dispatch>(dpacked, x, weight).into()
        }),
        formula: &|[x, weight]| {
            let packed = tensor::<3>(x).matmul(tensor::<2>(weight).transpose().unsqueeze());
            [attention_formula(packed, heads, |weights| weights).into_dispatch()]
        },
    }
    .check();
}

/// The fused operation gives the same bits as its two operations one after the other.
fn assert_same_attention(
    draw: &mut Draw,
    [batch, time, inputs]: [usize; 3],
    heads: usize,
    size: usize,
) {
    let inputs = [
        draw.normal([batch, time, inputs]),
        draw.normal([3 * heads * size, inputs]),
    ];
    let precision = Precision::F32;
    let found = differentiate(&inputs, DType::F32, &device(), &|[x, weight]| {
        [ops::linear_attention(tensor(x), tensor(weight), heads, precision).into_dispatch()]
    });
    let expected = differentiate(&inputs, DType::F32, &device(), &|[x, weight]| {
        let packed = ops::linear(tensor(x), tensor(weight), precision);
        [ops::causal_attention(packed, heads, None, precision).into_dispatch()]
    });
    assert_close("output", &found.outputs, &expected.outputs, 0.0);
    assert_close("gradient", &found.gradients, &expected.gradients, 0.0);
}

#[test]
fn few_queries_keys_and_values_are_saved() {
    let mut draw = Draw::new(3);
    for _ in 0..16 {
        let shape = [draw.size(1..4), draw.size(1..40), draw.size(1..20)];
        let (heads, size) = (draw.size(1..4), draw.size(1..20));
        assert_same_attention(&mut draw, shape, heads, size);
    }
}

#[test]
fn many_queries_keys_and_values_are_recomputed() {
    assert_same_attention(&mut Draw::new(4), [2_200, 2, 4], 16, 20);
}

/// The module passes the pass's dropout on probabilities to the operation.
#[test]
fn the_dropout_of_a_pass() {
    let mut draw = Draw::new(5);
    let key = NoiseKey { seed: 9, step: 4 };
    let purpose = Purpose::AttentionProbabilityDropout;
    let (generator, pass) = (key.stream(purpose, 3), Pass::Train(key));
    for _ in 0..12 {
        let (batch, time) = (draw.size(1..4), draw.size(1..30));
        let rate = f64::from(draw.number(0.1..0.8));
        let inputs = [draw.normal([batch, time, 36])];
        let found = differentiate(&inputs, DType::F32, &device(), &|[packed]| {
            let dropout = Some(Dropout { rate, generator });
            [ops::causal_attention(tensor(packed), 3, dropout, Precision::F32).into_dispatch()]
        });
        let expected = differentiate(&inputs, DType::F32, &device(), &|[packed]| {
            let attended = attention_formula(tensor(packed), 3, |weights| {
                dropout(weights, rate, &pass, purpose, 3)
            });
            [attended.into_dispatch()]
        });
        assert_close("output", &found.outputs, &expected.outputs, TOLERANCE);
        assert_close("gradient", &found.gradients, &expected.gradients, TOLERANCE);
    }
}
