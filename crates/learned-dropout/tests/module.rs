//! The public interface of the module: inputs, outputs and errors.

mod support;

use burn::tensor::{DType, Device, Tensor};
use learned_dropout::{
    DropoutInput, LearnedDropout, LearnedDropoutConfig, MaskFunction, MaskGradient, Masked, Pass,
    PenaltyKind, Rounding,
};
use model::function::{Cosine, Fourier};
use support::{assert_close, device, random, read};

fn config(width: usize) -> LearnedDropoutConfig {
    LearnedDropoutConfig::new(width, 2).with_seed(Some(7))
}

/// A module with mask values on both sides of 0.5.
fn module(width: usize, device: &Device) -> LearnedDropout {
    let shift_init = std::f64::consts::FRAC_PI_2;
    config(width)
        .with_function(MaskFunction::Cosine(Cosine {
            shift_init,
            ..Cosine::default()
        }))
        .init(device)
}

/// The message of a function's panic.
fn refusal<T>(function: impl FnOnce() -> T) -> String {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(function));
    let payload = outcome.err().expect("it is refused");
    let text = payload.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| {
        payload
            .downcast_ref::<&str>()
            .expect("a message")
            .to_string()
    })
}

#[test]
fn output_penalty_and_mask_can_be_taken_apart() {
    let device = device();
    let x = random([2, 5, 8], 1, &device);
    let dropout = module(8, &device);
    let Masked {
        output,
        penalty,
        shortfall,
        mask,
    } = dropout.forward_with_mask(x.clone());
    assert_close(&read(output.clone()), &read(x.clone() * mask.kept()), 0.0);
    assert_close(&read(output), &read(dropout.forward(x)), 0.0);
    let expected = mask.values().square().mean() * 0.5;
    assert_close(&read(penalty.clone()), &read(expected), 1e-5);
    assert_close(&read(penalty), &read(mask.penalty.clone()), 0.0);
    assert!(shortfall.is_none());
    let share = mask.values().greater_equal_elem(0.5).float().mean();
    assert_close(&read(mask.kept_at_inference()), &read(share), 1e-6);
    assert_eq!(
        read(mask.kept_at_inference())[0],
        mask.statistics().read().kept
    );
}

#[test]
fn a_mask_from_another_input() {
    let device = device();
    let dropout = config(8)
        .with_input(Some(6))
        .with_rank(Some(4))
        .with_group(2)
        .with_floor(Some(0.5))
        .init(&device);
    let (x, input) = (random([2, 5, 8], 1, &device), random([2, 5, 6], 2, &device));
    let masked = dropout.forward_from(x.clone(), input.clone());
    assert_eq!(masked.mask.values().dims(), [2, 5, 4]);
    assert!(read(masked.shortfall.expect("a floor"))[0] >= 0.0);
    let applied = dropout.apply(x, input, &Pass::Evaluate);
    assert_close(&read(masked.output), &read(applied.output), 0.0);
}

#[test]
fn all_dimensions_before_the_time_are_a_batch() {
    let device = device();
    let dropout = module(8, &device);
    let x = random([6, 5, 8], 1, &device);
    let expected = dropout.forward_with_mask(x.clone());
    let deep = dropout.forward_with_mask(x.clone().reshape([2, 3, 1, 5, 8]));
    assert_eq!(deep.output.dims(), [2, 3, 1, 5, 8]);
    assert_eq!(deep.mask.values().dims(), [2, 3, 1, 5, 8]);
    assert_close(&read(deep.output), &read(expected.output.clone()), 0.0);
    assert_close(&read(deep.mask.kept()), &read(expected.mask.kept()), 0.0);
    let flat = dropout.forward(x.narrow(0, 0, 1).reshape([5, 8]));
    assert_eq!(flat.dims(), [5, 8]);
    let first = read(expected.output.narrow(0, 0, 1));
    assert_close(&read(flat), &first, 0.0);
}

#[test]
fn gradients_reach_x_and_all_parameters() {
    let device = device().autodiff();
    for function in [
        MaskFunction::default(),
        MaskFunction::Fourier(Fourier::default()),
    ] {
        let dropout = config(8)
            .with_rank(Some(4))
            .with_function(function)
            .init(&device);
        let x = random([3, 2, 5, 8], 1, &device).require_grad();
        let masked = dropout.forward_with_mask(x.clone());
        let gradients = (masked.output.square().sum() + masked.penalty).backward();
        assert_eq!(x.grad(&gradients).expect("a gradient").dims(), [3, 2, 5, 8]);
        let shift = dropout.shift.grad(&gradients).expect("a gradient");
        assert!(read(shift).iter().any(|&value| value != 0.0));
        let weight = dropout
            .query_key_value
            .as_ref()
            .unwrap()
            .weight
            .grad(&gradients);
        assert!(
            read(weight.expect("a gradient"))
                .iter()
                .any(|&value| value != 0.0)
        );
        assert!(dropout.output.unwrap().weight.grad(&gradients).is_some());
    }
}

/// NaN and infinity affect their own token and later ones, but no earlier token.
#[test]
fn what_is_no_number_stays_one_and_reaches_no_earlier_token() {
    for training in [false, true] {
        let device = if training {
            device().autodiff()
        } else {
            device()
        };
        for time in [1, 5, 16, 40, 70] {
            for at in [0, time / 2, time - 1] {
                for bad in [f32::NAN, f32::INFINITY] {
                    check_bad(&device, time, at, bad);
                }
            }
        }
    }
}

fn check_bad(device: &Device, time: usize, at: usize, bad: f32) {
    for gradient in [MaskGradient::Exact, MaskGradient::KeptOnly] {
        let dropout = config(8).with_gradient(gradient).init(device);
        let x: Tensor<3> = random([2, time, 8], 1, device);
        let place = [0..1, at..at + 1, 3..4];
        let value = Tensor::<3>::full([1, 1, 1], bad, device);
        let spoiled = x.clone().slice_assign(place, value);
        let key = model::pass::NoiseKey { seed: 3, step: 5 };
        let pass = Pass::Train(key);
        let clean = read(dropout.apply(x.clone(), x, &pass).output);
        let found = read(dropout.apply(spoiled.clone(), spoiled, &pass).output);
        for (index, (found, clean)) in found.iter().zip(clean).enumerate() {
            let (sequence, token) = (index / (time * 8), index / 8 % time);
            let touched = sequence == 0 && token >= at;
            if touched {
                assert!(
                    found.is_nan(),
                    "token {token} of {time}, bad at {at}: {found}"
                );
            } else {
                assert_eq!(*found, clean, "token {token} of {time}, bad at {at}");
            }
        }
    }
}

#[test]
fn tensors_of_other_shapes_are_refused_with_what_was_expected() {
    let device = device();
    let dropout = module(8, &device);
    let x = |channels| random::<3>([2, 5, channels], 1, &device);
    let expected = "LearnedDropout: expected x of [..., time, 8], found [2, 5, 16]";
    assert_eq!(refusal(|| dropout.forward(x(16))), expected);
    assert_eq!(refusal(|| dropout.forward_with_mask(x(16))), expected);
    let found = refusal(|| dropout.forward_from(x(8), random([2, 4, 8], 1, &device)));
    assert!(
        found.contains("expected a mask input of [2, 5, 8]"),
        "{found}"
    );
    assert!(found.contains("found [2, 4, 8]"), "{found}");
    let other = config(8)
        .with_input(Some(6))
        .with_rank(Some(4))
        .init(&device);
    let found = refusal(|| other.forward(x(8)));
    assert!(found.contains("use `forward_from`"), "{found}");
    let padding = Tensor::<2>::zeros([2, 4], &device).greater_elem(0.5);
    let found = refusal(|| dropout.forward_input(DropoutInput::new(x(8)).padding(padding)));
    assert!(
        found.contains("expected padding of [2, 5], found [2, 4]"),
        "{found}"
    );
}

#[test]
fn nothing_in_is_nothing_out() {
    for device in [device(), device().autodiff()] {
        for function in [
            MaskFunction::default(),
            MaskFunction::Fourier(Fourier::default()),
        ] {
            let dropout = config(8)
                .with_function(function)
                .with_group(2)
                .with_rank(Some(4))
                .with_floor(Some(0.1))
                .init(&device);
            for dims in [[0, 5, 8], [2, 0, 8], [0, 0, 8]] {
                let x = Tensor::<3>::zeros(dims, &device);
                assert_eq!(dropout.forward(x.clone()).dims(), dims);
                let masked = dropout.forward_with_mask(x);
                assert_eq!(masked.output.dims(), dims);
                assert_eq!(masked.mask.values().dims(), [dims[0], dims[1], 4]);
                assert_eq!(masked.mask.kept().dims(), [dims[0], dims[1], 4]);
                assert_eq!(read(masked.penalty), [0.0]);
                assert_eq!(read(masked.shortfall.expect("a floor")), [0.0]);
                assert_eq!(read(masked.mask.kept_at_inference()), [0.0]);
            }
        }
    }
}

#[test]
fn settings_that_make_no_module_are_refused_by_name() {
    let new = LearnedDropoutConfig::new;
    let fourier = |terms| {
        MaskFunction::Fourier(Fourier {
            terms,
            ..Fourier::default()
        })
    };
    let cosine = |shift_init| {
        MaskFunction::Cosine(Cosine {
            shift_init,
            ..Cosine::default()
        })
    };
    let cases = [
        (new(0, 4), "width"),
        (new(8, 0), "heads"),
        (new(8, 3), "heads"),
        (new(usize::MAX, 1), "width"),
        (new(8, 2).with_group(0), "group"),
        (new(8, 2).with_group(3), "group"),
        (new(8, 2).with_group(2), "rank"),
        (new(8, 2).with_rank(Some(0)), "rank"),
        (new(8, 2).with_rank(Some(3)), "heads"),
        (new(8, 2).with_input(Some(0)), "input"),
        (new(8, 2).with_input(Some(4)), "rank"),
        (new(8, 2).with_floor(Some(2.0)), "floor"),
        (new(8, 2).with_floor(Some(f64::NAN)), "floor"),
        (new(8, 2).with_sigmoid_scale(0.0), "sigmoid_scale"),
        (new(8, 2).with_noise_steps(Some(0)), "noise_steps"),
        (new(8, 2).with_function(cosine(-1.0)), "function.shift_init"),
        (new(8, 2).with_function(fourier(0)), "function.terms"),
        (
            new(8, 2)
                .with_rounding(Rounding::None)
                .with_gradient(MaskGradient::KeptOnly),
            "gradient",
        ),
    ];
    for (config, key) in cases {
        let problems = config.validate().expect_err(key);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].key, key, "{problems:?}");
        let message = refusal(|| config.init(&device()));
        let expected = format!("LearnedDropoutConfig: {}", problems[0]);
        assert_eq!(message, expected);
    }
    let all = new(0, 4).with_floor(Some(2.0)).with_sigmoid_scale(f64::NAN);
    assert_eq!(all.validate().expect_err("three problems").len(), 3);
    assert_eq!(new(8, 2).with_floor(Some(0.5)).validate(), Ok(()));
}

#[test]
fn types_of_half_the_size_give_outputs_of_theirs() {
    for half in [DType::BF16, DType::F16] {
        for training in [false, true] {
            let device = if training {
                device().autodiff()
            } else {
                device()
            };
            for function in [
                MaskFunction::default(),
                MaskFunction::Fourier(Fourier::default()),
            ] {
                let config = config(8).with_function(function).with_floor(Some(0.4));
                for config in [config.clone(), config.with_group(2).with_rank(Some(4))] {
                    let whole = config.init(&device);
                    let dropout = support::cast(whole.clone(), half);
                    let x = random([2, 5, 8], 1, &device).cast(half);
                    let masked = dropout.forward_with_mask(x.clone());
                    assert_eq!(masked.output.dtype(), half);
                    assert_eq!(masked.penalty.dtype(), half);
                    let expected = x.clone() * masked.mask.kept().repeat_each(8).cast(half);
                    assert_close(&read(masked.output), &read(expected), 0.0);
                    masked.mask.statistics().read();
                    if training {
                        let x = x.detach().require_grad();
                        let masked = dropout.forward_with_mask(x.clone());
                        let gradients = (masked.output.sum() + masked.penalty).backward();
                        assert_eq!(x.grad(&gradients).expect("a gradient").dtype(), half);
                        assert!(dropout.shift.grad(&gradients).is_some());
                    }
                }
            }
        }
    }
}

/// Repeats each value of a group for all channels of the group.
trait RepeatEach {
    fn repeat_each(self, channels: usize) -> Self;
}

impl RepeatEach for Tensor<3> {
    fn repeat_each(self, channels: usize) -> Self {
        let [batch, time, values] = self.dims();
        let repeated = self
            .reshape([batch, time, values, 1])
            .repeat_dim(3, channels / values);
        repeated.reshape([batch, time, channels])
    }
}

#[test]
fn a_display_shows_the_settings() {
    let device = device();
    let dropout = LearnedDropoutConfig::new(8, 2).init(&device);
    let expected = "LearnedDropout {width: 8, heads: 2, function: cosine, rounding: Stochastic, \
                    params: 200}";
    assert_eq!(dropout.to_string(), expected);
    assert_eq!(format!("{dropout:?}"), expected);
    let other = LearnedDropoutConfig::new(8, 2)
        .with_rank(Some(4))
        .with_group(2)
        .with_causal(false)
        .with_floor(Some(0.25))
        .with_penalty(PenaltyKind::Linear)
        .init(&device);
    let found = burn::module::Module::freeze(other).to_string();
    let expected = "LearnedDropout {width: 8, heads: 2, rank: 4, group: 2, causal: false, function: \
                    cosine, rounding: Stochastic, penalty: Linear, floor: 0.25, training: disabled, \
                    params: 116}";
    assert_eq!(found, expected);
}
