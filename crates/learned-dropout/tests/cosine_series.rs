//! Masks that are a series of cosines: the kernel beside burn's own operations and their gradients.

mod support;

use burn::tensor::{Device, Int, Tensor};
use learned_dropout::ops::cosine_series;
use proptest::prelude::*;
use support::{assert_close, device, random, read};

/// The absolute error of the fast cosine is below 1e-6, that of its argument 6e-8 times the argument's
/// size, which is up to 100 here; sums over tokens add as many of both.
const TOLERANCE: f32 = 2e-5;

/// The series by burn's operations.
fn plain(attended: Tensor<3>, angles: Tensor<2>, weights: Tensor<2>) -> Tensor<3> {
    let [terms, _] = angles.dims();
    let harmonics = Tensor::<1, Int>::arange(1..terms as i64 + 1, &angles.device()).float();
    let turned = attended.unsqueeze_dim::<4>(2) * harmonics.reshape([1, 1, terms, 1]);
    let cosines = (turned + angles.unsqueeze()).cos() * weights.unsqueeze();
    cosines.sum_dim(2).squeeze_dim::<3>(2) * 0.5 + 0.5
}

fn training_device() -> Device {
    device().autodiff()
}

/// The masks, and the gradients of `Σ weight · mask` for the three inputs.
fn differentiate(
    (attended, angles, weights): (Tensor<3>, Tensor<2>, Tensor<2>),
    function: impl Fn(Tensor<3>, Tensor<2>, Tensor<2>) -> Tensor<3>,
) -> [Vec<f32>; 4] {
    let attended = attended.require_grad();
    let [angles, weights] = [angles, weights].map(Tensor::require_grad);
    let masks = function(attended.clone(), angles.clone(), weights.clone());
    let factors = random(masks.dims(), 99, &masks.device());
    let gradients = (masks.clone() * factors).sum().backward();
    let learned = [angles, weights].map(|input| read(input.grad(&gradients).expect("a gradient")));
    let [angles, weights] = learned;
    let attended = read(attended.grad(&gradients).expect("a gradient"));
    [read(masks.inner()), attended, angles, weights]
}

/// Shares of `terms` for each value that add up to less than 1, so that nothing is clamped.
fn shares(terms: usize, values: usize, device: &Device) -> Tensor<2> {
    let positive = random([terms, values], 3, device).abs() + 0.1;
    (positive.clone() / (positive.sum_dim(0) * 1.01)).detach()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_kernel_agrees_with_burn(
        time in 1usize..50, values in 1usize..40, terms in 1usize..6, scale in 0.1f32..4.0,
    ) {
        let device = training_device();
        let inputs = (
            (random([2, time, values], 1, &device) * scale).detach(),
            random([terms, values], 2, &device),
            shares(terms, values, &device),
        );
        let found = differentiate(inputs.clone(), cosine_series);
        for (found, expected) in found.iter().zip(differentiate(inputs, plain)) {
            assert_close(found, &expected, TOLERANCE);
        }
    }
}

#[test]
fn arguments_beyond_the_fast_cosine_are_taken_too() {
    let device = training_device();
    // Whole multiples of f32's spacing there, so that both sides see the same arguments.
    let attended = Tensor::<1>::from_floats([10_000.0, -20_000.0, 3.0, 0.5], &device);
    let inputs = (
        attended.reshape([1, 2, 2]),
        Tensor::zeros([2, 2], &device),
        shares(2, 2, &device),
    );
    let found = differentiate(inputs.clone(), cosine_series);
    for (found, expected) in found.iter().zip(differentiate(inputs, plain)) {
        assert_close(found, &expected, TOLERANCE);
    }
}

#[test]
fn rounding_never_leaves_the_range() {
    let device = device();
    // Three thirds of f32 add up to a little more than 1.
    let weights = Tensor::full([3, 1], 0.333_333_4, &device);
    let masks = cosine_series(
        Tensor::zeros([1, 1, 1], &device),
        Tensor::zeros([3, 1], &device),
        weights,
    );
    assert_eq!(read(masks), [1.0]);
}
