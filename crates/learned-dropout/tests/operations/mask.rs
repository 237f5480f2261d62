//! Masks with a single cosine.

use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};
use kernels::random::{Philox, unit};
use learned_dropout::function;
use learned_dropout::ops;
use learned_dropout::ops::{Keep, Moment, plain};
use learned_dropout::penalty;
use learned_dropout::rounding::round;
use model::pass::{NoiseKey, Place, Purpose};
use model::rounding::SIGMOID_SCALE;
use model::{MaskFunction, Pass, PenaltyKind, Rounding};

use crate::differentiate::{Input, assert_close, constant, differentiate, tensor};
use crate::draw::Draw;
use crate::operation::{Operation, TOLERANCE};
use crate::support::device;

/// `M`.
pub fn mask_formula(attended: Tensor<3>, shift: Tensor<1>) -> Tensor<3> {
    ((attended + shift.unsqueeze()).cos() + 1.0) * 0.5
}

/// The threshold that value `index` of a mask must reach to be kept.
pub fn threshold_of(keep: Keep, index: usize) -> f32 {
    let noise = |generator: Philox| unit(generator.number(index as u64));
    match keep {
        Keep::Threshold(threshold) => threshold,
        Keep::Random(generator) => noise(generator),
        Keep::Narrowed { generator, spread } => (noise(generator) - 0.5) * spread + 0.5,
    }
}

/// The rounded mask, with the gradient of the mask.
pub fn rounded_formula(mask: Tensor<3>, keep: Keep) -> Tensor<3> {
    let count = mask.dims().iter().product::<usize>();
    let bars = (0..count).map(|index| threshold_of(keep, index)).collect();
    let bars = constant(bars, mask.dims(), &mask);
    let sides = bars.lower_equal(mask.clone().detach()).float();
    mask.clone() - mask.clone().detach() + sides.cast(mask.dtype())
}

/// A random rounding.
pub fn any_keep(draw: &mut Draw) -> Keep {
    match draw.size(0..3) {
        0 => Keep::Threshold(0.5),
        1 => Keep::Random(draw.generator()),
        _ => Keep::Narrowed {
            generator: draw.generator(),
            spread: draw.share(),
        },
    }
}

/// The outputs of a mask's attention, and the shift. Cosines are exact to 1e-6, so mask values that close to
/// their threshold could be rounded to either side. They are left out.
fn mask_inputs(draw: &mut Draw, shape: [usize; 3], scale: f32, keep: Keep) -> [Input; 2] {
    let width = shape[2];
    let shift = draw.normal([width]);
    let attended = draw.normal(shape).map_with_index(|index, value| {
        let shift = shift.values[index % width];
        let mask = (f64::from(value * scale + shift).cos() + 1.0) * 0.5;
        // A value of 1 reaches every threshold.
        if (mask - f64::from(threshold_of(keep, index))).abs() < 1e-5 {
            -shift
        } else {
            value * scale
        }
    });
    [attended, shift]
}

pub fn masked_product(draw: &mut Draw) {
    let shape = [draw.size(1..4), draw.size(1..30), draw.size(1..40)];
    let (keep, scale) = (any_keep(draw), draw.number(0.1..30.0));
    let [attended, shift] = mask_inputs(draw, shape, scale, keep);
    Operation {
        inputs: [draw.normal(shape), attended, shift],
        operation: &|[x, attended, shift]| {
            let product = ops::masked_product(tensor(x), tensor(attended), tensor(shift), keep);
            [product.into_dispatch()]
        },
        plain: &|[x, attended, shift]| {
            [plain::masked_product::<Dispatch>(x, attended, shift, keep)]
        },
        plain_backward: Some(&|[gradient], [x, attended, shift]| {
            plain::masked_product_backward::<Dispatch>(gradient, x, attended, shift, keep).into()
        }),
        formula: &|[x, attended, shift]| {
            let mask = mask_formula(tensor(attended), tensor(shift));
            [(tensor::<3>(x) * rounded_formula(mask, keep)).into_dispatch()]
        },
    }
    .check();
}

pub fn rounded_mask(draw: &mut Draw) {
    let shape = [draw.size(1..3), draw.size(1..90), draw.size(1..40)];
    let (keep, scale) = (any_keep(draw), draw.number(0.1..30.0));
    Operation {
        inputs: mask_inputs(draw, shape, scale, keep),
        operation: &|[attended, shift]| {
            [ops::rounded_mask(tensor(attended), tensor(shift), keep).into_dispatch()]
        },
        plain: &|[attended, shift]| [plain::rounded_mask::<Dispatch>(attended, shift, keep)],
        plain_backward: Some(&|[gradient], [attended, shift]| {
            plain::rounded_mask_backward::<Dispatch>(gradient, attended, shift).into()
        }),
        formula: &|[attended, shift]| {
            let mask = mask_formula(tensor(attended), tensor(shift));
            [rounded_formula(mask, keep).into_dispatch()]
        },
    }
    .check();
}

fn mean_formula(mask: Tensor<3>, moment: Moment) -> Tensor<1> {
    match moment {
        Moment::Squared => penalty::mean(PenaltyKind::Squared, mask),
        Moment::Linear => penalty::mean(PenaltyKind::Linear, mask),
        Moment::Entropy => penalty::mean(PenaltyKind::Entropy, mask),
        Moment::Kept => {
            let kept = rounded_formula(mask.clone(), Keep::Threshold(0.5));
            // The result is in the graph, but its gradient is 0.
            (kept.detach() + mask * 0.0).mean()
        }
    }
}

pub fn mask_mean(draw: &mut Draw) {
    let shape = [2, draw.size(1..60), draw.size(1..40)];
    let scale = draw.number(0.1..20.0);
    let inputs = mask_inputs(draw, shape, scale, Keep::Threshold(0.5));
    for moment in [
        Moment::Squared,
        Moment::Linear,
        Moment::Entropy,
        Moment::Kept,
    ] {
        Operation {
            inputs: inputs.clone(),
            operation: &|[attended, shift]| {
                [ops::mask_mean(tensor(attended), tensor(shift), moment).into_dispatch()]
            },
            plain: &|[attended, shift]| [plain::mask_mean::<Dispatch>(attended, shift, moment)],
            plain_backward: Some(&|[gradient], [attended, shift]| {
                plain::mask_mean_backward::<Dispatch>(gradient, attended, shift, moment).into()
            }),
            formula: &|[attended, shift]| {
                let mask = mask_formula(tensor(attended), tensor(shift));
                [mean_formula(mask, moment).into_dispatch()]
            },
        }
        .check();
    }
}

/// The values of a mask, none so close to its threshold that rounding errors could decide.
fn mask_values(draw: &mut Draw, shape: [usize; 3], keep: Keep) -> Input {
    let generator = draw.generator();
    draw.normal(shape).map_with_index(|index, _| {
        let mask = unit(generator.number(index as u64));
        let bound = threshold_of(keep, index);
        if (mask - bound).abs() < 1e-4 {
            1.0
        } else {
            mask
        }
    })
}

pub fn rounded_values(draw: &mut Draw) {
    let shape = [draw.size(1..3), draw.size(1..90), draw.size(1..40)];
    let keep = any_keep(draw);
    Operation {
        inputs: [mask_values(draw, shape, keep)],
        operation: &|[mask]| [ops::rounded_values(tensor(mask), keep).into_dispatch()],
        plain: &|[mask]| [plain::rounded_values::<Dispatch>(mask, keep)],
        plain_backward: Some(&|[gradient], _| [gradient]),
        formula: &|[mask]| [rounded_formula(tensor(mask), keep).into_dispatch()],
    }
    .check();
}

pub fn value_mean(draw: &mut Draw) {
    let shape = [2, draw.size(1..60), draw.size(1..40)];
    let mask = mask_values(draw, shape, Keep::Threshold(0.5));
    for moment in [
        Moment::Squared,
        Moment::Linear,
        Moment::Entropy,
        Moment::Kept,
    ] {
        Operation {
            inputs: [mask.clone()],
            operation: &|[mask]| [ops::value_mean(tensor(mask), moment).into_dispatch()],
            plain: &|[mask]| [plain::value_mean::<Dispatch>(mask, moment)],
            plain_backward: Some(&|[gradient], [mask]| {
                [plain::value_mean_backward::<Dispatch>(
                    gradient, mask, moment,
                )]
            }),
            formula: &|[mask]| [mean_formula(tensor(mask), moment).into_dispatch()],
        }
        .check();
    }
}

/// The operations agree with the modules of roundings and mask functions, which use tensor operations.
#[test]
fn roundings_of_the_modules_are_the_same() {
    let mut draw = Draw::new(10);
    for step in 0..24 {
        let shape = [draw.size(1..4), draw.size(1..30), draw.size(1..40)];
        let key = NoiseKey { seed: 5, step };
        let place = Place {
            purpose: Purpose::HeadRounding,
            layer: 4,
        };
        let (keep, rounding) = if draw.yes() {
            (Keep::Random(key.stream_at(place)), Rounding::Stochastic)
        } else {
            (Keep::Threshold(0.5), Rounding::Threshold)
        };
        let scale = draw.number(0.1..30.0);
        let [attended, shift] = mask_inputs(&mut draw, shape, scale, keep);
        let inputs = [draw.normal(shape), attended, shift];
        let found = differentiate(&inputs, DType::F32, &device(), &|[x, attended, shift]| {
            let (x, attended) = (tensor::<3>(x), tensor::<3>(attended));
            let shift = tensor::<1>(shift);
            let rounded = ops::rounded_mask(attended.clone(), shift.clone(), keep);
            let product = ops::masked_product(x, attended, shift, keep);
            [rounded.into_dispatch(), product.into_dispatch()]
        });
        let expected = differentiate(&inputs, DType::F32, &device(), &|[x, attended, shift]| {
            let mask = function::mask(
                &MaskFunction::default(),
                tensor(attended),
                tensor::<1>(shift),
            );
            let rounded = round(rounding, mask, SIGMOID_SCALE, &Pass::Train(key), place).multiplier;
            let product = tensor::<3>(x) * rounded.clone();
            [rounded.into_dispatch(), product.into_dispatch()]
        });
        assert_close("output", &found.outputs, &expected.outputs, TOLERANCE);
        assert_close("gradient", &found.gradients, &expected.gradients, TOLERANCE);
    }
}

/// Noise with spread 0 rounds at 0.5, and the rounding of modules uses the same noise as the operations.
#[test]
fn noise_that_fades() {
    let mut draw = Draw::new(11);
    for _ in 0..24 {
        let shape = [2, draw.size(1..60), draw.size(1..40)];
        let spread = draw.share();
        let place = Place {
            purpose: Purpose::HiddenRounding,
            layer: 3,
        };
        let key = NoiseKey { seed: 7, step: 2 };
        let generator = key.stream_at(place);
        let keep = Keep::Narrowed { generator, spread };
        let [attended, shift] = mask_inputs(&mut draw, shape, 2.0, keep)
            .map(|input| input.primitive(DType::F32, &device()));
        let (attended, shift) = (tensor::<3>(attended), tensor::<1>(shift));
        let ones = Tensor::<3>::ones(shape, &device());
        let found = crate::support::read(ops::masked_product(
            ones.clone(),
            attended.clone(),
            shift.clone(),
            keep,
        ));
        let mask = mask_formula(attended.clone(), shift.clone());
        let pass = Pass::TrainWithSpread { key, spread };
        let rounded = round(Rounding::Stochastic, mask.clone(), 1.0, &pass, place);
        let mask = crate::support::read(mask);
        let expected: Vec<f32> = (0..mask.len())
            .map(|index| f32::from(u8::from(threshold_of(keep, index) <= mask[index])))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(crate::support::read(rounded.kept), expected);
        if spread == 0.0 {
            let threshold = Keep::Threshold(0.5);
            let product = ops::masked_product(ones, attended, shift, threshold);
            assert_eq!(crate::support::read(product), expected);
        }
    }
}
