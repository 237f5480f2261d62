//! The output layer with the cross-entropy.

use burn::backend::Dispatch;
use burn::tensor::DType;
use burn::tensor::activation::log_softmax;
use learned_dropout::ops;
use learned_dropout::ops::{Precision, plain};

use crate::differentiate::{differentiate, ids, tensor};
use crate::draw::Draw;
use crate::operation::Operation;
use crate::support::device;

pub fn linear_cross_entropy(draw: &mut Draw) {
    // At least 2: with a single token the gradient would consist of rounding errors.
    let (tokens, width, vocabulary) = (draw.size(1..80), draw.size(1..20), draw.size(2..300));
    let targets: Vec<usize> = (0..tokens).map(|token| token * 7919 % vocabulary).collect();
    Operation {
        inputs: [
            draw.normal([tokens, width]),
            draw.normal([vocabulary, width]),
        ],
        operation: &|[hidden, weight]| {
            let (hidden, weight) = (tensor(hidden), tensor(weight));
            let targets = ids(&targets, &hidden);
            let loss = ops::linear_cross_entropy(hidden, weight, targets, Precision::F32);
            [loss.into_dispatch()]
        },
        plain: &|[hidden, weight]| {
            let targets = ids(&targets, &tensor::<2>(hidden.clone())).into_dispatch();
            [plain::linear_cross_entropy::<Dispatch>(
                hidden, weight, targets,
            )]
        },
        plain_backward: Some(&|[gradient], [hidden, weight]| {
            let targets = ids(&targets, &tensor::<2>(hidden.clone())).into_dispatch();
            let (_, dhidden, dweight) =
                plain::linear_cross_entropy_with_gradients::<Dispatch>(hidden, weight, targets);
            [dhidden, dweight].map(|found| plain::scaled::<Dispatch>(found, gradient.clone()))
        }),
        formula: &|[hidden, weight]| {
            let (hidden, weight) = (tensor::<2>(hidden), tensor::<2>(weight));
            let targets = ids(&targets, &hidden).reshape([tokens, 1]);
            let logits = log_softmax(hidden.matmul(weight.transpose()), 1);
            [(-logits.gather(1, targets).mean()).into_dispatch()]
        },
    }
    .check();
}

pub fn token_losses(draw: &mut Draw) {
    let (tokens, width, vocabulary) = (draw.size(1..80), draw.size(1..20), draw.size(1..300));
    let targets: Vec<usize> = (0..tokens).map(|token| token * 7919 % vocabulary).collect();
    Operation {
        inputs: [
            draw.normal([tokens, width]),
            draw.normal([vocabulary, width]),
        ],
        operation: &|[hidden, weight]| {
            let (hidden, weight) = (tensor(hidden), tensor(weight));
            let targets = ids(&targets, &hidden);
            let losses = ops::token_losses(hidden, weight, targets, Precision::F32);
            [losses.into_dispatch()]
        },
        plain: &|[hidden, weight]| {
            let targets = ids(&targets, &tensor::<2>(hidden.clone())).into_dispatch();
            [plain::token_losses::<Dispatch>(hidden, weight, targets)]
        },
        plain_backward: None,
        formula: &|[hidden, weight]| {
            let (hidden, weight) = (tensor::<2>(hidden), tensor::<2>(weight));
            let targets = ids(&targets, &hidden).reshape([tokens, 1]);
            let logits = log_softmax(hidden.matmul(weight.transpose()), 1);
            [(-logits.gather(1, targets))
                .reshape([tokens])
                .into_dispatch()]
        },
    }
    .check();
}

/// With a single token its probability is 1 and the gradient is 0. The two sums that cancel have one term for
/// each token and are at most as large as the largest factor; each term is rounded to 2⁻²⁴.
#[test]
fn the_only_token_is_certain() {
    let mut draw = Draw::new(7);
    for _ in 0..12 {
        let (tokens, width) = (draw.size(1..80), draw.size(1..20));
        let inputs = [draw.normal([tokens, width]), draw.normal([1, width])];
        let [largest_hidden, largest_weight] = inputs.each_ref().map(|input| {
            let magnitudes = input.values.iter().map(|value| f64::from(value.abs()));
            magnitudes.fold(0.0, f64::max)
        });
        let found = differentiate(&inputs, DType::F32, &device(), &|[hidden, weight]| {
            let (hidden, weight) = (tensor(hidden), tensor(weight));
            let targets = ids(&vec![0; tokens], &hidden);
            let loss = ops::linear_cross_entropy(hidden, weight, targets, Precision::F32);
            [loss.into_dispatch()]
        });
        let loss = found.outputs[0][0];
        assert!(loss.abs() <= 2f64.powi(-20), "{loss}");
        for (gradient, largest) in found.gradients.iter().zip([largest_weight, largest_hidden]) {
            let bound = 2.0 * (tokens + 4) as f64 * 2f64.powi(-24) * largest;
            let within = gradient.iter().all(|value| value.abs() <= bound);
            assert!(within, "{gradient:?}");
        }
    }
}
