//! Operations that make what is between their parts again on the way back where it is much, beside
//! those parts one after the other, which keep it.

mod support;

use burn::tensor::Tensor;
use learned_dropout::ops::{
    NormSettings, Precision, causal_attention, gelu, linear, linear_attention, norm_feed_forward,
    norm_linear,
};
use proptest::prelude::*;
use support::{assert_close, device, random, read};

fn differentiate(
    x: Tensor<3>,
    weight: Tensor<2>,
    function: impl Fn(Tensor<3>, Tensor<2>) -> Tensor<3>,
) -> [Vec<f32>; 3] {
    let (x, weight) = (x.require_grad(), weight.require_grad());
    let output = function(x.clone(), weight.clone());
    let factors = random(output.dims(), 99, &output.device());
    let gradients = (output.clone() * factors).sum().backward();
    let x = read(x.grad(&gradients).expect("a gradient"));
    [
        read(output.inner()),
        x,
        read(weight.grad(&gradients).expect("a gradient")),
    ]
}

/// Attention over what a linear layer makes, in one operation and in two.
fn assert_same_attention([batch, time, inputs]: [usize; 3], heads: usize, size: usize) {
    let device = device().autodiff();
    let x = random([batch, time, inputs], 1, &device);
    let weight = random([3 * heads * size, inputs], 2, &device);
    let precision = Precision::F32;
    let found = differentiate(x.clone(), weight.clone(), |x, weight| {
        linear_attention(x, weight, heads, precision)
    });
    let expected = differentiate(x, weight, |x, weight| {
        causal_attention(linear(x, weight, precision), heads, None, precision)
    });
    for (found, expected) in found.iter().zip(&expected) {
        // The same operations on the same values.
        assert_close(found, expected, 0.0);
    }
}

#[test]
fn many_queries_keys_and_values_are_made_again() {
    assert_same_attention([2_200, 2, 4], 16, 20);
}

#[test]
fn many_hidden_units_are_made_again() {
    let device = device().autodiff();
    let (tokens, width, hidden) = (4_100, 4, 1_024);
    let x = random([1, tokens, width], 1, &device);
    let gain = random([width], 2, &device);
    let up = random([hidden, width], 3, &device);
    let down = random([width, hidden], 4, &device);
    let settings = NormSettings {
        epsilon: 1e-2,
        precision: Precision::F32,
    };
    let found = differentiate(x.clone(), up.clone(), |x, up| {
        norm_feed_forward(x, gain.clone(), [up, down.clone()], settings)
    });
    let expected = differentiate(x, up, |x, up| {
        let units = gelu(norm_linear(x, gain.clone(), up, settings));
        linear(units, down.clone(), settings.precision)
    });
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(found, expected, 0.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn is_an_attention_after_a_linear_layer(
        batch in 1usize..4, time in 1usize..40, inputs in 1usize..20, heads in 1usize..4,
        size in 1usize..20,
    ) {
        assert_same_attention([batch, time, inputs], heads, size);
    }
}
