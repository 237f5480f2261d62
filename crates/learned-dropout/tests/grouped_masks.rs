//! The operations behind masks of groups against compositions of burn's own tensor operations, whose
//! gradients burn derives: values and gradients, over random shapes.

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use kernels::random::{Philox, unit};
use learned_dropout::function::fourier::Coefficients;
use learned_dropout::function::{Fourier, Learned, MaskFunction};
use learned_dropout::ops::{
    Keep, MaskedSettings, Moment, Precision, grouped_product, mask_mean, masked_feed_forward,
    masked_product, rounded_mask,
};
use learned_dropout::pass::Place;
use learned_dropout::pass::{NoiseKey, Pass, Purpose};
use learned_dropout::rounding::Rounding;
use proptest::prelude::*;
use support::{assert_close, device, random, read, values};

/// As in the test of the other operations.
const TOLERANCE: f32 = 2e-5;

/// Masks of all kinds: a share of the factors is 0, the others 1, or any number.
fn factors(shape: [usize; 3], kept: f32, binary: bool, device: &Device) -> Tensor<3> {
    let count = shape.iter().product();
    let generator = Philox::new(5, 6);
    let factor = |(i, value): (usize, f32)| match unit(generator.number(i as u64)) < kept {
        true if binary => 1.0,
        true => value,
        false => 0.0,
    };
    let list: Vec<f32> = values(count, 9)
        .into_iter()
        .enumerate()
        .map(factor)
        .collect();
    Tensor::from_data(TensorData::new(list, shape), device)
}

/// Shares of what is kept: nothing, everything, and between.
fn share() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0f32), Just(1.0f32), 0.0f32..1.0]
}

/// The product by plain operations; with `kept_only` the gradient of dropped factors is cut off.
fn plain_product(x: Tensor<3>, factors: Tensor<3>, group: usize, kept_only: bool) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    let [_, _, groups] = factors.dims();
    let factors = if kept_only {
        let kept = factors.clone().detach().not_equal_elem(0.0).float();
        factors.clone().detach() + (factors.clone() - factors.detach()) * kept
    } else {
        factors
    };
    let factors = factors
        .reshape([batch, time, groups, 1])
        .repeat_dim(3, group)
        .reshape([batch, time, groups * group]);
    let lead = width - groups * group;
    if lead == 0 {
        return x * factors;
    }
    let front = x.clone().narrow(2, 0, lead);
    Tensor::cat(vec![front, x.narrow(2, lead, groups * group) * factors], 2)
}

fn plain_feed_forward(
    x: Tensor<3>,
    norm: Tensor<1>,
    [up, down]: [Tensor<2>; 2],
    factors: Tensor<3>,
    settings: MaskedSettings,
) -> Tensor<3> {
    let group = up.dims()[0] / factors.dims()[2];
    let centered = x.clone() - x.mean_dim(2);
    let variance = centered.clone().square().mean_dim(2);
    let normal = centered / (variance + settings.epsilon).sqrt() * norm.unsqueeze();
    let hidden = normal.matmul(up.transpose().unsqueeze());
    let distribution = (hidden.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0;
    let units = hidden * distribution * 0.5;
    let masked = plain_product(units, factors, group, settings.kept_only);
    masked.matmul(down.transpose().unsqueeze())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products(
        batch in 1usize..3, time in 1usize..90, groups in 1usize..7, group in 1usize..20,
        lead in 0usize..9, kept in share(), binary in any::<bool>(), kept_only in any::<bool>(),
    ) {
        let device = device().autodiff();
        let x = random([batch, time, lead + groups * group], 1, &device);
        let factors = factors([batch, time, groups], kept, binary, &device);
        let differentiate = |function: &dyn Fn(Tensor<3>, Tensor<3>) -> Tensor<3>| {
            let (x, factors) = (x.clone().require_grad(), factors.clone().require_grad());
            let output = function(x.clone(), factors.clone());
            let weight = random(output.dims(), 99, &device);
            let gradients = (output.clone() * weight).sum().backward();
            let gradient = |of: Tensor<3>| read(of.grad(&gradients).expect("it takes part"));
            [read(output.inner()), gradient(x), gradient(factors)]
        };
        let found = differentiate(&|x, factors| grouped_product(x, factors, group, kept_only));
        let expected = differentiate(&|x, factors| plain_product(x, factors, group, kept_only));
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, TOLERANCE);
        }
    }

    #[test]
    fn rounded_masks(
        batch in 1usize..3, time in 1usize..90, width in 1usize..40, scale in 0.1f32..30.0,
        step in 0u64..100,
    ) {
        let device = device().autodiff();
        let key = NoiseKey { seed: 5, step };
        let place = Place { purpose: Purpose::HeadRounding, layer: 1 };
        let differentiate = |fast: bool| {
            let attended = (random([batch, time, width], 2, &device) * scale).detach();
            let attended = attended.require_grad();
            let shift = random([width], 3, &device).require_grad();
            let output = if fast {
                let keep = Keep::Random(key.stream_at(place));
                rounded_mask(attended.clone(), shift.clone(), keep)
            } else {
                let mask = MaskFunction::default().mask(attended.clone(), shift.clone());
                Rounding::Stochastic.round(mask, 1.0, &Pass::Train(key), place).multiplier
            };
            let weight = random(output.dims(), 99, &device);
            let gradients = (output.clone() * weight).sum().backward();
            let there = "it takes part";
            [
                read(output.inner()),
                read(attended.grad(&gradients).expect(there)),
                read(shift.grad(&gradients).expect(there)),
            ]
        };
        for (found, expected) in differentiate(true).iter().zip(&differentiate(false)) {
            assert_close(found, expected, TOLERANCE);
        }
    }

    /// In range for any parameters; with all amplitude in the first term the cosine.
    #[test]
    fn series(
        time in 1usize..9, width in 1usize..9, terms in 2usize..17, scale in 0.1f32..100.0,
        first in any::<bool>(),
    ) {
        let device = device();
        let attended = random([1, time, width], 1, &device) * scale;
        let shift: Tensor<1> = random([width], 2, &device) * 4.0;
        let count = (terms - 1) * width;
        let amplitude = random([count], 3, &device) * 5.0;
        let learned = Learned {
            shift: shift.clone(),
            series: Some(Coefficients {
                amplitude: if first { amplitude - 1e3 } else { amplitude },
                phase: random([count], 4, &device) * 7.0,
            }),
        };
        let function = MaskFunction::Fourier(Fourier { terms, ..Fourier::default() });
        let found = read(function.mask(attended.clone(), learned));
        prop_assert!(found.iter().all(|mask| (0.0..=1.0).contains(mask)), "{found:?}");
        if first {
            let cosine = read(MaskFunction::default().mask(attended, shift));
            assert_close(&found, &cosine, TOLERANCE);
        }
    }

    #[test]
    fn feed_forwards(
        batch in 1usize..3, time in 1usize..60, width in 3usize..24,
        groups in 1usize..7, group in prop_oneof![1usize..12, Just(16), Just(33)],
        kept in share(), binary in any::<bool>(), kept_only in any::<bool>(),
    ) {
        // Groups of 16 and more of which few are kept are computed alone.
        let device = device().autodiff();
        let settings = MaskedSettings { epsilon: 1e-2, kept_only, precision: Precision::F32 };
        let hidden = groups * group;
        let differentiate = |fast: bool| {
            let x = random([batch, time, width], 1, &device).require_grad();
            let norm = random([width], 2, &device).require_grad();
            let up = random([hidden, width], 3, &device).require_grad();
            let down = random([width, hidden], 4, &device).require_grad();
            let factors = factors([batch, time, groups], kept, binary, &device).require_grad();
            let function = if fast { masked_feed_forward } else { plain_feed_forward };
            let output = function(
                x.clone(), norm.clone(), [up.clone(), down.clone()], factors.clone(), settings,
            );
            let weight = random(output.dims(), 99, &device);
            let gradients = (output.clone() * weight).sum().backward();
            let there = "it takes part";
            [
                read(output.inner()),
                read(x.grad(&gradients).expect(there)),
                read(norm.grad(&gradients).expect(there)),
                read(up.grad(&gradients).expect(there)),
                read(down.grad(&gradients).expect(there)),
                read(factors.grad(&gradients).expect(there)),
            ]
        };
        for (found, expected) in differentiate(true).iter().zip(&differentiate(false)) {
            assert_close(found, expected, TOLERANCE);
        }
    }

    #[test]
    fn noise_that_fades(time in 1usize..60, width in 1usize..40, spread in 0.0f32..=1.0) {
        let device = device();
        let place = Place { purpose: Purpose::HiddenRounding, layer: 3 };
        let key = NoiseKey { seed: 7, step: 2 };
        let attended = random([2, time, width], 1, &device) * 2.0;
        let shift = random([width], 2, &device);
        let keep = Keep::Narrowed { generator: key.stream_at(place), spread };
        let ones = Tensor::<3>::ones([2, time, width], &device);
        let found = read(masked_product(ones.clone(), attended.clone(), shift.clone(), keep));
        let mask = ((attended.clone() + shift.clone().unsqueeze()).cos() + 1.0) * 0.5;
        let pass = Pass::TrainWithSpread { key, spread };
        let rounded = Rounding::Stochastic.round(mask.clone(), 1.0, &pass, place).kept;
        let (rounded, mask) = (read(rounded), read(mask));
        let noise = |i: usize| (unit(key.stream_at(place).number(i as u64)) - 0.5) * spread + 0.5;
        for i in 0..found.len() {
            // Cosines are known to 1e-6: noise as close as that may fall on either side.
            if (noise(i) - mask[i]).abs() > 2e-6 {
                let expected = f32::from(u8::from(noise(i) <= mask[i]));
                prop_assert_eq!((found[i], rounded[i]), (expected, expected));
            }
        }
        if spread == 0.0 {
            let threshold = masked_product(ones, attended.clone(), shift.clone(), Keep::Threshold(0.5));
            prop_assert_eq!(&found, &read(threshold));
        }
        let kept = read(mask_mean(attended, shift, Moment::Kept))[0];
        let sure = mask.iter().filter(|&&mask| mask >= 0.5 + 1e-6).count() as f32;
        let unsure = mask.iter().filter(|&&mask| (mask - 0.5).abs() < 1e-6).count() as f32;
        let count = mask.len() as f32;
        prop_assert!(kept * count >= sure - 0.01 && kept * count <= sure + unsure + 0.01);
    }
}
