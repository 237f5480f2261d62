//! Attention that makes its queries, keys and values again on the way back, beside a linear layer and
//! an attention that keep them.

mod support;

use burn::tensor::Tensor;
use learned_dropout::ops::tensor::{Precision, causal_attention, linear, linear_attention};
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn is_an_attention_after_a_linear_layer(
        batch in 1usize..4, time in 1usize..40, inputs in 1usize..20, heads in 1usize..4,
        size in 1usize..20,
    ) {
        let device = device().autodiff();
        let x = random([batch, time, inputs], 1, &device);
        let weight = random([3 * heads * size, inputs], 2, &device);
        let precision = Precision::F32;
        let found = differentiate(x.clone(), weight.clone(), |x, weight| {
            linear_attention(x, weight, heads, precision)
        });
        let expected = differentiate(x, weight, |x, weight| {
            causal_attention(linear(x, weight, precision), heads, None)
        });
        for (found, expected) in found.iter().zip(&expected) {
            // The same operations on the same values.
            assert_close(found, expected, 0.0);
        }
    }
}
