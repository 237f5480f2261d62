//! Dropout of what masks keep: its rate, its gradient, and that only training has it.

mod support;

use burn::tensor::{Device, Int, Tensor, TensorData};
use learned_dropout::{LearnedDropout, LearnedDropoutConfig, MaskFunction, MaskGradient};
use learned_dropout::{Rounding, Transformer};
use model::function::Cosine;
use model::initialization::initial_weights;
use model::mask_control::{MaskControl, ThresholdControl};
use model::pass::NoiseKey;
use model::site_settings::SiteSettings;
use model::{Generator, MaskConfig, MaskInput, Pass, Site, TransformerConfig};
use support::{assert_close, device, random, read};

const RATE: f64 = 0.3;

const ROUNDINGS: [Rounding; 6] = [
    Rounding::Stochastic,
    Rounding::Threshold,
    Rounding::Sigmoid,
    Rounding::SigmoidDetached,
    Rounding::None,
    Rounding::Carried,
];

/// A module with mask values on both sides of 0.5, in groups of two channels.
fn config(rounding: Rounding, group: usize) -> LearnedDropoutConfig {
    LearnedDropoutConfig::new(32, 2)
        .with_seed(Some(7))
        .with_generator(Generator::Linear)
        .with_rounding(rounding)
        .with_group(group)
        .with_function(MaskFunction::Cosine(Cosine {
            shift_init: 1.3,
            ..Cosine::default()
        }))
}

fn train(step: u64) -> Pass {
    Pass::Train(NoiseKey { seed: 5, step })
}

/// The factor of each channel of inputs that are 1, and what the mask keeps before the dropout.
fn factors(module: &LearnedDropout, pass: &Pass, device: &Device) -> (Vec<f32>, Vec<f32>) {
    let x = Tensor::<3>::ones([16, 32, 32], device);
    let masked = module.apply(x, random([16, 32, 32], 1, device), pass);
    (read(masked.output), read(masked.mask.kept()))
}

/// Every factor with dropout is that without, times 0 or 1 / (1 − rate), for the share of the rate: the same
/// for the channels of a group. The kept share is that before.
#[test]
fn kept_values_are_dropped_at_the_rate_and_the_others_scaled() {
    let device = device();
    for rounding in ROUNDINGS {
        for group in [1, 2] {
            let config = config(rounding, group);
            let plain = config.clone().init(&device);
            let dropping = config.with_dropout(RATE).init(&device);
            let (before, kept_before) = factors(&plain, &train(3), &device);
            let (after, kept_after) = factors(&dropping, &train(3), &device);
            assert_eq!(kept_before, kept_after, "{rounding:?}");
            let (mut kept, mut dropped) = (0.0, 0.0);
            let groups = before.chunks(group).zip(after.chunks(group));
            for (before, after) in groups.filter(|(before, _)| before[0] != 0.0) {
                kept += 1.0;
                if after[0] == 0.0 {
                    dropped += 1.0;
                    assert!(after.iter().all(|&factor| factor == 0.0), "{rounding:?}");
                } else {
                    let scaled: Vec<f32> = before.iter().map(|value| value / 0.7).collect();
                    assert_close(after, &scaled, 1e-6);
                }
            }
            // Five standard deviations.
            let bound = 5.0 * (RATE * (1.0 - RATE) / kept).sqrt();
            let found = dropped / kept;
            assert!((found - RATE).abs() < bound, "{rounding:?} {found}");
            let (again, _) = factors(&dropping, &train(3), &device);
            assert_eq!(after, again, "equal keys, equal noise");
            let (other, _) = factors(&dropping, &train(4), &device);
            assert_ne!(after, other);
        }
    }
}

/// Nothing is dropped without training, and a rate of 0 is no dropout, bit for bit.
#[test]
fn only_training_drops() {
    let device = device();
    for rounding in ROUNDINGS {
        let config = config(rounding, 1);
        let plain = config.clone().init(&device);
        let none = config.clone().with_dropout(0.0).init(&device);
        let dropping = config.with_dropout(RATE).init(&device);
        let key = NoiseKey { seed: 5, step: 3 };
        let sample = Pass::Sample {
            key,
            temperature: 0.5,
        };
        for pass in [Pass::Evaluate, Pass::TrainWithConstantNoise(0.5), sample] {
            let expected = factors(&plain, &pass, &device);
            assert_eq!(factors(&dropping, &pass, &device), expected);
        }
        let expected = factors(&plain, &train(3), &device);
        assert_eq!(factors(&none, &train(3), &device), expected);
        let x = random([2, 5, 32], 2, &device);
        let frozen = read(dropping.forward(x.clone()));
        assert_eq!(frozen, read(plain.forward(x)));
    }
}

/// A module that is called without a pass takes new noise in every training pass.
#[test]
fn a_module_in_training_drops_by_itself() {
    let device = device().autodiff();
    let x = random([2, 5, 32], 2, &device);
    let config = config(Rounding::Threshold, 4);
    let plain = config.clone().init(&device);
    let passes = |module: &LearnedDropout| [(); 2].map(|()| read(module.forward(x.clone())));
    let [first, second] = passes(&plain);
    assert_eq!(first, second);
    let dropping = config.with_dropout(RATE).init(&device);
    let [one, other] = passes(&dropping);
    assert!(one != first && other != first && one != other);
    dropping.set_step(0);
    assert_eq!(passes(&dropping), [one, other]);
}

/// The gradient of the output with respect to x is the factor, and the mask's gradient is that of the kept values
/// times the dropout.
#[test]
fn gradients_are_those_of_what_is_left() {
    let device = device().autodiff();
    for (gradient, group) in [
        (MaskGradient::Exact, 1),
        (MaskGradient::Exact, 4),
        (MaskGradient::KeptOnly, 4),
    ] {
        let config = config(Rounding::Threshold, group).with_gradient(gradient);
        let dropping = config.clone().with_dropout(RATE).init(&device);
        let x = random([2, 8, 32], 1, &device).require_grad();
        let input = random([2, 8, 32], 2, &device).require_grad();
        let masked = dropping.apply(x.clone(), input.clone(), &train(2));
        let found = masked.output.sum().backward();
        let factors = read(x.grad(&found).unwrap());
        let outputs: Vec<f32> = read(x.clone())
            .iter()
            .zip(&factors)
            .map(|(x, f)| x * f)
            .collect();
        let masked = dropping.apply(x.clone(), input.clone(), &train(2));
        assert_close(&read(masked.output), &outputs, 1e-6);
        // The mask's values with the same straight-through gradient: x times the dropout factor, where kept only
        // with kept-only gradients.
        let masked = config
            .init(&device)
            .apply(x.clone(), input.clone(), &train(2));
        let (values, kept) = (masked.mask.values(), masked.mask.kept());
        let groups = x.clone().detach().reshape([2, 8, 32 / group, group]);
        let sums = groups.sum_dim(3).reshape([2, 8, 32 / group]);
        // A group is dropped or scaled: its factor where it is kept, and the same noise where it is not.
        let noise = learned_dropout::ops::dropped(
            Tensor::<3>::ones(sums.dims(), &device),
            learned_dropout::ops::Dropout {
                rate: RATE,
                generator: NoiseKey { seed: 5, step: 2 }
                    .stream_at(Site::FeedForwardOutput.dropout_place(0)),
            },
        );
        let slope = match gradient {
            MaskGradient::Exact => sums * noise,
            MaskGradient::KeptOnly => sums * noise * kept,
        };
        let expected = (values * slope.detach()).sum().backward();
        let (found, expected) = (input.grad(&found).unwrap(), input.grad(&expected).unwrap());
        assert_close(&read(found), &read(expected), 1e-4);
    }
}

/// Each site has noise of its own, and a site can have another rate.
#[test]
fn sites_have_their_own_noise_and_rate() {
    let device = device();
    let losses = |sites: &[Site], rate: f64, own: Option<(Site, f64)>, pass: &Pass| {
        let at = own.map(|(site, rate)| {
            let settings = SiteSettings {
                dropout: Some(rate),
                ..SiteSettings::default()
            };
            (site, settings)
        });
        let config = TransformerConfig {
            vocabulary: 11,
            context: 6,
            width: 8,
            heads: 2,
            layers: 2,
            dropout: 0.0,
            feed_forward: Default::default(),
            learned_dropout: Some(MaskConfig {
                site: sites.to_vec().into(),
                input: MaskInput::Embedding,
                generator: Generator::Linear,
                rounding: Rounding::Threshold,
                dropout: rate,
                at: at.into_iter().collect(),
                ..MaskConfig::default()
            }),
        };
        config.validate().unwrap();
        let mut weights = initial_weights(&config, 1);
        for tensor in weights.values_mut() {
            tensor.values.iter_mut().for_each(|value| *value *= 4.0);
        }
        let model = Transformer::from_weights(&config, &weights, &device);
        let ids = Tensor::<2, Int>::from_data(
            TensorData::new((0..12).map(|id| id % 11).collect::<Vec<i32>>(), [2, 6]),
            &device,
        );
        read(model.loss(ids.clone(), ids, pass).cross_entropy)[0]
    };
    let plain = |sites: &[Site], pass: &Pass| losses(sites, 0.0, None, pass);
    for site in Site::ALL {
        let sites = [site];
        assert_eq!(
            losses(&sites, RATE, None, &Pass::Evaluate),
            plain(&sites, &Pass::Evaluate)
        );
        assert_ne!(
            losses(&sites, RATE, None, &train(1)),
            plain(&sites, &train(1)),
            "{site}"
        );
        let off = losses(&sites, RATE, Some((site, 0.0)), &train(1));
        assert_eq!(off, plain(&sites, &train(1)), "{site}");
    }
    let all = Site::ALL.map(|site| losses(&Site::ALL, 0.0, Some((site, RATE)), &train(1)));
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{all:?}");
    }
}

/// The threshold sees the share before the dropout.
#[test]
fn a_control_sees_what_the_mask_keeps() {
    let device = device();
    let control = MaskControl::Threshold(ThresholdControl::new(0.25));
    let config = config(Rounding::Carried, 4).with_control(Some(control));
    let shares = [0.0, 0.9].map(|rate| {
        let module = config.clone().with_dropout(rate).init(&device);
        let x = random([4, 16, 32], 1, &device);
        let masked = module.apply(x.clone(), x, &train(1));
        read(masked.mask.kept_at_inference())[0]
    });
    assert_eq!(shares[0], shares[1]);
    assert!(shares[0] > 0.3, "{shares:?}");
}

#[test]
fn impossible_rates_are_refused() {
    for rate in [-0.1, 1.0, f64::NAN] {
        let config = LearnedDropoutConfig::new(8, 2).with_dropout(rate);
        assert_eq!(config.validate().unwrap_err()[0].key, "dropout");
    }
}
