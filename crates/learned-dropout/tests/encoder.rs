//! Masks of an encoder: each depends on all tokens of its sequence, but not on padding.

mod support;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use learned_dropout::{DropoutInput, LearnedDropout, LearnedDropoutConfig, Masked, Rounding};
use support::{assert_close, device, random, read};

const WIDTH: usize = 8;

fn config() -> LearnedDropoutConfig {
    LearnedDropoutConfig::new(WIDTH, 2)
        .with_causal(false)
        .with_rank(Some(6))
        .with_group(2)
        .with_floor(Some(0.5))
        .with_seed(Some(7))
}

/// Marks padding in sequences of `time` tokens: all tokens outside the ranges `counted`, one for each
/// sequence.
fn padding(time: usize, counted: &[std::ops::Range<usize>], device: &Device) -> Tensor<2, Bool> {
    let padded = |range: &std::ops::Range<usize>| {
        let range = range.clone();
        (0..time).map(move |token| !range.contains(&token))
    };
    let padded: Vec<bool> = counted.iter().flat_map(padded).collect();
    Tensor::from_data(TensorData::new(padded, [counted.len(), time]), device)
}

fn padded(dropout: &LearnedDropout, x: Tensor<3>, padding: Tensor<2, Bool>) -> Masked {
    dropout.forward_input(DropoutInput::new(x).padding(padding))
}

#[test]
fn a_mask_depends_on_all_tokens_of_its_sequence() {
    let device = device();
    let x = random([2, 5, WIDTH], 1, &device);
    let other = x
        .clone()
        .slice_assign([0..1, 4..5, 0..WIDTH], random([1, 1, WIDTH], 2, &device));
    for causal in [true, false] {
        let dropout = config().with_causal(causal).init(&device);
        let [first, second] = [&x, &other].map(|x| {
            dropout
                .forward_with_mask(x.clone())
                .mask
                .values()
                .narrow(1, 0, 1)
        });
        let [first, second] = [read(first), read(second)];
        let values = WIDTH / 2;
        assert_eq!(first[..values] == second[..values], causal);
        assert_eq!(first[values..], second[values..], "another sequence");
    }
}

/// Padding before and after a sequence changes nothing, whatever its values are.
#[test]
fn padding_has_no_part_in_masks_penalty_and_shares() {
    let device = device();
    let x = random([2, 5, WIDTH], 1, &device);
    for causal in [true, false] {
        let dropout = config().with_causal(causal).init(&device);
        let none = padding(5, &[0..5, 0..5], &device);
        let expected = padded(&dropout, x.clone(), none);
        if !causal {
            let without = dropout.forward_with_mask(x.clone());
            let [found, expected] = [&without, &expected].map(|masked| masked.mask.values());
            assert_close(&read(found), &read(expected), 0.0);
        }
        for fill in [0.0, 1e6, f32::NAN, f32::INFINITY] {
            let filled = |tokens| Tensor::<3>::full([2, tokens, WIDTH], fill, &device);
            let longer = Tensor::cat(vec![filled(2), x.clone(), filled(1)], 1);
            let found = padded(&dropout, longer, padding(8, &[2..7, 2..7], &device));
            let counted = |tensor: Tensor<3>| read(tensor.narrow(1, 2, 5));
            let pairs = [
                (counted(found.output.clone()), read(expected.output.clone())),
                (counted(found.mask.values()), read(expected.mask.values())),
                (counted(found.mask.kept()), read(expected.mask.kept())),
                (read(found.penalty), read(expected.penalty.clone())),
                (
                    read(found.shortfall.unwrap()),
                    read(expected.shortfall.clone().unwrap()),
                ),
                (
                    read(found.mask.kept_at_inference()),
                    read(expected.mask.kept_at_inference()),
                ),
            ];
            for (found, expected) in &pairs {
                assert_close(found, expected, 1e-5);
            }
            let [found_values, expected_values] =
                [&found.mask, &expected.mask].map(|mask| mask.statistics().read());
            assert!((found_values.kept - expected_values.kept).abs() < 1e-6);
            assert!((found_values.entropy - expected_values.entropy).abs() < 1e-5);
            assert_eq!(found_values.never_kept, expected_values.never_kept);
            for tensor in [found.output, found.mask.values(), found.mask.kept()] {
                assert!(
                    read(tensor.narrow(1, 0, 2))
                        .iter()
                        .all(|&value| value == 0.0)
                );
            }
        }
    }
}

#[test]
fn sequences_of_padding_alone_give_zeros() {
    let device = device().autodiff();
    let dropout = config().init(&device);
    let x = random([2, 3, WIDTH], 1, &device).require_grad();
    let masked = padded(&dropout, x.clone(), padding(3, &[0..0, 0..0], &device));
    let gradients = (masked.output.clone().sum() + masked.penalty.clone()).backward();
    for tensor in [
        read(masked.output),
        read(x.grad(&gradients).unwrap()),
        read(masked.penalty),
    ] {
        assert!(tensor.iter().all(|&value| value == 0.0), "{tensor:?}");
    }
}

/// A mapper that adds a step to one element of one parameter.
struct Step {
    parameter: usize,
    element: usize,
    step: f32,
    seen: usize,
}

impl ModuleMapper for Step {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.seen += 1;
        if self.seen - 1 != self.parameter {
            return parameter;
        }
        parameter.map(|tensor| {
            let device = tensor.device();
            let mut data: Vec<f32> = tensor.clone().into_data().iter::<f32>().collect();
            data[self.element] += self.step;
            Tensor::from_data(TensorData::new(data, tensor.dims()), &device)
        })
    }
}

/// A loss of all results that have gradients.
fn loss(dropout: &LearnedDropout, x: Tensor<3>, padding: Tensor<2, Bool>) -> Tensor<1> {
    let masked = padded(dropout, x.clone(), padding);
    let weights = random(x.dims(), 9, &x.device());
    (masked.output * weights).sum() + masked.penalty * 5.0 + masked.shortfall.unwrap() * 5.0
}

/// Compares the gradients of smooth masks with finite differences.
#[test]
fn gradients_are_those_of_finite_differences() {
    let (plain, training) = (device(), device().autodiff());
    let pad = |device: &Device| padding(6, &[0..6, 1..4], device);
    for causal in [true, false] {
        let config = config()
            .with_causal(causal)
            .with_rounding(Rounding::Sigmoid)
            .with_sigmoid_scale(2.0);
        let dropout = config.init(&training);
        let x = random([2, 6, WIDTH], 1, &training).require_grad();
        let gradients = loss(&dropout, x.clone(), pad(&training)).backward();
        let parameters = [
            read(
                dropout
                    .query_key_value
                    .as_ref()
                    .unwrap()
                    .weight
                    .grad(&gradients)
                    .unwrap(),
            ),
            read(
                dropout
                    .output
                    .as_ref()
                    .unwrap()
                    .weight
                    .grad(&gradients)
                    .unwrap(),
            ),
            read(dropout.shift.grad(&gradients).unwrap()),
        ];
        let dx = read(x.clone().grad(&gradients).unwrap());
        let value = |dropout: &LearnedDropout, x: Tensor<3>| {
            f64::from(read(loss(dropout, x, pad(&plain)))[0])
        };
        let plain_module = dropout.valid();
        let x = x.inner();
        // The truncation error of a central difference is about h² = 1e-4 of the third derivative, the
        // rounding error about 1e-5 / h = 1e-3 of a loss of up to 100.
        let step = 1e-2;
        let check = |found: f32, values: [f64; 2], what: &str| {
            let expected = (values[0] - values[1]) / f64::from(2.0 * step);
            let error = (f64::from(found) - expected).abs();
            assert!(
                error < 3e-3 + 1e-2 * expected.abs(),
                "{what}: {found}, expected {expected}"
            );
        };
        for (parameter, gradient) in parameters.iter().enumerate() {
            for element in (0..gradient.len()).step_by(gradient.len() / 4) {
                let values = [step, -step].map(|step| {
                    let mut mapper = Step {
                        parameter,
                        element,
                        step,
                        seen: 0,
                    };
                    value(&plain_module.clone().map(&mut mapper), x.clone())
                });
                check(
                    gradient[element],
                    values,
                    &format!("parameter {parameter}[{element}]"),
                );
            }
        }
        for (element, &gradient) in dx.iter().enumerate().step_by(5) {
            let values = [step, -step].map(|step| {
                let mut data: Vec<f32> = read(x.clone());
                data[element] += step;
                value(
                    &plain_module,
                    Tensor::from_data(TensorData::new(data, x.dims()), &plain),
                )
            });
            check(gradient, values, &format!("x[{element}]"));
        }
        // Tokens 0, 4 and 5 of the second sequence are padding.
        let second = &dx[6 * WIDTH..];
        assert!(
            second[..WIDTH]
                .iter()
                .chain(&second[4 * WIDTH..])
                .all(|&value| value == 0.0)
        );
    }
}

/// Compares the straight-through gradient with the same computation by burn's operations.
#[test]
fn gradients_pass_the_rounding_straight_through() {
    let device = device().autodiff();
    let dropout = config().with_rank(None).with_group(1).init(&device);
    let x = random([2, 5, WIDTH], 1, &device).require_grad();
    let weights = random([2, 5, WIDTH], 9, &device);
    let masked = dropout.forward_with_mask(x.clone());
    let kept = masked.mask.kept();
    let gradients = (masked.output * weights.clone()).sum().backward();
    let weight = dropout.query_key_value.as_ref().unwrap().weight.val();
    let [found, found_weight] = [
        read(x.grad(&gradients).unwrap()),
        read(weight.grad(&gradients).unwrap()),
    ];

    let packed = x.clone().matmul(weight.clone().transpose().unsqueeze());
    let heads = packed
        .reshape([2, 5, 3, 2, WIDTH / 2])
        .permute([2, 0, 3, 1, 4]);
    let third = |index| heads.clone().narrow(0, index, 1).squeeze_dim::<4>(0);
    let scores = third(0).matmul(third(1).transpose()) / ((WIDTH / 2) as f64).sqrt();
    let attended = burn::tensor::activation::softmax(scores, 3).matmul(third(2));
    let attended = attended.swap_dims(1, 2).reshape([2, 5, WIDTH]);
    let mask = (attended + dropout.shift.val().unsqueeze()).cos() * 0.5 + 0.5;
    let rounded = mask.clone() - mask.detach() + kept;
    let gradients = (x.clone() * rounded * weights).sum().backward();
    assert_close(&found, &read(x.grad(&gradients).unwrap()), 1e-5);
    assert_close(&found_weight, &read(weight.grad(&gradients).unwrap()), 1e-5);
}
