//! Masks at every site: models whose masks keep everything or nothing.

mod support;

use burn::tensor::{Int, Tensor, TensorData};
use learned_dropout::Transformer;
use model::function::Fourier;
use model::initialization::{continued_weights, initial_weights};
use model::mask_control::{MaskControl, ThresholdControl};
use model::pass::NoiseKey;
use model::site_settings::SiteSettings;
use model::weights::Weights;
use model::{
    MaskConfig, MaskFunction, MaskGradient, MaskInput, Pass, Penalty, PenaltyKind, Rounding, Site,
    TransformerConfig,
};
use support::{device, read};

const INPUTS: [MaskInput; 4] = [
    MaskInput::Hidden,
    MaskInput::Embedding,
    MaskInput::LayerInput,
    MaskInput::Residual,
];

fn plain() -> TransformerConfig {
    TransformerConfig {
        vocabulary: 11,
        context: 6,
        width: 8,
        heads: 2,
        layers: 2,
        dropout: 0.0,
        feed_forward: Default::default(),
        learned_dropout: None,
    }
}

fn masked(mask: MaskConfig) -> TransformerConfig {
    TransformerConfig {
        learned_dropout: Some(mask),
        ..plain()
    }
}

fn losses(config: &TransformerConfig, weights: &Weights, pass: &Pass) -> f32 {
    let device = device();
    let model = Transformer::from_weights(config, weights, &device);
    let ids = |shift: i32| {
        let ids: Vec<i32> = (0..12).map(|i| (i * 5 + shift) % 11).collect();
        Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 6]), &device)
    };
    read(model.loss(ids(0), ids(4), pass).cross_entropy)[0]
}

fn series(terms: usize) -> MaskFunction {
    MaskFunction::Fourier(Fourier {
        terms,
        ..Fourier::default()
    })
}

/// All valid configurations with one site.
fn accepted() -> impl Iterator<Item = MaskConfig> {
    let choices = Site::ALL.into_iter().flat_map(|site| {
        INPUTS.into_iter().flat_map(move |input| {
            [None, Some(3)].into_iter().flat_map(move |rank| {
                [1, 4].map(|group| MaskConfig {
                    site: site.into(),
                    input,
                    rank,
                    group,
                    ..MaskConfig::default()
                })
            })
        })
    });
    choices.filter(|mask| masked(mask.clone()).validate().is_ok())
}

#[test]
fn masks_that_keep_everything_leave_the_dense_model() {
    let dense = initial_weights(&plain(), 7);
    let expected = losses(&plain(), &dense, &Pass::Evaluate);
    let mut count = 0;
    for mask in accepted() {
        let config = masked(mask);
        for (rounding, function) in [
            (Rounding::Stochastic, MaskFunction::default()),
            (Rounding::Threshold, MaskFunction::default()),
            (Rounding::Threshold, series(3)),
        ] {
            let mut config = config.clone();
            let mask = config.learned_dropout.as_mut().unwrap();
            (mask.rounding, mask.function) = (rounding, function);
            let weights = continued_weights(&config, 3, dense.clone()).expect("only masks lack");
            let found = losses(&config, &weights, &Pass::Evaluate);
            assert_eq!(found, expected, "{:?}", config.learned_dropout);
        }
        count += 1;
    }
    // 6 sites with 4 inputs and a rank, minus the 2 that the embedding cannot have, plus valid configurations
    // with groups or without a rank.
    assert!(count > 40, "{count}");
}

/// The weights of a dense model in which the masked tensor of a site is 0.
fn without(site: Site, mut weights: Weights) -> Option<Weights> {
    let erased = match site {
        Site::FeedForwardHidden | Site::FeedForwardOutput => "feed_forward.down.weight",
        Site::AttentionHeads | Site::AttentionOutput => "attention.output.weight",
        // Without values the output of the attention is 0.
        Site::AttentionProbabilities => "attention.output.weight",
        Site::Embedding => return None,
    };
    for (name, tensor) in &mut weights {
        if name.ends_with(erased) {
            tensor.values.fill(0.0);
        }
    }
    Some(weights)
}

#[test]
fn masks_that_keep_nothing_leave_nothing() {
    let dense = initial_weights(&plain(), 7);
    for mask in accepted() {
        let site = mask.site.iter().next().unwrap();
        let config = masked(mask);
        let mut weights = continued_weights(&config, 3, dense.clone()).unwrap();
        for (name, tensor) in &mut weights {
            if name.ends_with(".shift") {
                tensor.values.fill(std::f32::consts::PI);
            }
        }
        let Some(erased) = without(site, dense.clone()) else {
            continue;
        };
        let expected = losses(&plain(), &erased, &Pass::Evaluate);
        assert_ne!(expected, losses(&plain(), &dense, &Pass::Evaluate));
        let found = losses(&config, &weights, &Pass::Evaluate);
        assert!(
            (found - expected).abs() < 1e-6,
            "{:?}: {found}, expected {expected}",
            config.learned_dropout
        );
    }
}

#[test]
fn masks_begin_neither_flat_nor_shut() {
    for mask in accepted().filter(|mask| mask.rank.is_some()) {
        let config = masked(MaskConfig {
            rank: Some(8),
            ..mask
        });
        let device = device();
        let model = Transformer::from_weights(&config, &initial_weights(&config, 7), &device);
        let ids: Vec<i32> = (0..12).map(|i| (i * 5) % 11).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 6]), &device);
        let loss = model.loss(ids.clone(), ids, &Pass::Evaluate);
        for (made, measured) in loss.masks.iter().zip(loss.statistics()) {
            let mask = config.learned_dropout.as_ref().unwrap();
            // Inputs as small as the embedding, 0.02, give a small `z`, so `M` starts near 1.
            if mask.input == MaskInput::LayerInput {
                let values = measured.read();
                assert!(values.near_one < 0.99, "{mask:?}: {values:?}");
            }
            assert!(measured.read().kept > 0.3, "{mask:?}, {}", made.layer());
        }
    }
}

#[test]
fn noise_differs_between_the_sites_of_a_block() {
    let sites = [Site::AttentionOutput, Site::FeedForwardOutput];
    let config = masked(MaskConfig {
        site: sites.to_vec().into(),
        ..MaskConfig::default()
    });
    let mut weights = initial_weights(&config, 1);
    for (name, tensor) in &mut weights {
        match () {
            () if name.ends_with(".shift") => tensor.values.fill(std::f32::consts::FRAC_PI_2),
            () if name.contains("learned_dropout") => tensor.values.fill(0.0),
            () => {}
        }
    }
    // Every `M` is 0.5, so the rounded masks show the noise.
    let model = Transformer::from_weights(&config, &weights, &device());
    let ids = Tensor::<2, Int>::from_data(TensorData::new(vec![1, 2, 3], [1, 3]), &device());
    let pass = Pass::Train(NoiseKey { seed: 1, step: 0 });
    let kept: Vec<Vec<f32>> = model
        .loss(ids.clone(), ids, &pass)
        .masks
        .iter()
        .map(|mask| read(mask.kept()))
        .collect();
    assert_eq!(kept.len(), 4);
    for (index, mask) in kept.iter().enumerate() {
        assert!(kept[..index].iter().all(|other| other != mask), "{index}");
    }
}

#[track_caller]
#[test]
fn a_series_of_one_term_is_the_cosine() {
    for mask in accepted() {
        let config = masked(mask);
        let mut of_one_term = config.clone();
        of_one_term.learned_dropout.as_mut().unwrap().function = series(1);
        let weights = initial_weights(&config, 5);
        assert_eq!(initial_weights(&of_one_term, 5), weights);
        for pass in [Pass::Evaluate, Pass::Train(NoiseKey { seed: 1, step: 0 })] {
            let expected = losses(&config, &weights, &pass);
            let found = losses(&of_one_term, &weights, &pass);
            // The kernel and the backend compute the cosine differently.
            assert!(
                (found - expected).abs() < 1e-6,
                "{found}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_series_trains_through_every_rounding_and_gradient() {
    let sites = [Site::FeedForwardHidden, Site::AttentionOutput];
    for (gradient, rounding, kind) in [
        (
            MaskGradient::KeptOnly,
            Rounding::Stochastic,
            PenaltyKind::Squared,
        ),
        (
            MaskGradient::Exact,
            Rounding::Stochastic,
            PenaltyKind::Linear,
        ),
        (
            MaskGradient::Exact,
            Rounding::SigmoidDetached,
            PenaltyKind::Entropy,
        ),
    ] {
        let config = masked(MaskConfig {
            site: sites.to_vec().into(),
            input: MaskInput::LayerInput,
            rank: Some(8),
            function: series(3),
            gradient,
            rounding,
            penalty: Some(Penalty {
                kind,
                ..Penalty::default()
            }),
            ..MaskConfig::default()
        });
        let device = device().autodiff();
        let model = Transformer::from_weights(&config, &initial_weights(&config, 7), &device);
        let ids = Tensor::<2, Int>::from_data(TensorData::new(vec![1, 2, 3], [1, 3]), &device);
        let loss = model.loss(
            ids.clone(),
            ids,
            &Pass::Train(NoiseKey { seed: 1, step: 0 }),
        );
        for mask in &loss.masks {
            assert!(
                read(mask.values())
                    .iter()
                    .all(|value| (0.0..=1.0).contains(value))
            );
        }
        let gradients = loss.cross_entropy.backward();
        for block in &model.blocks {
            let module = block.feed_forward.hidden_learned_dropout.as_ref().unwrap();
            let series = module.series.as_ref().unwrap();
            for parameter in [&series.amplitude, &series.phase, &module.shift] {
                let gradient = read(parameter.val().grad(&gradients).expect("it takes part"));
                assert!(gradient.iter().all(|value| value.is_finite()));
                assert!(gradient.iter().any(|value| *value != 0.0), "{gradient:?}");
            }
        }
    }
}

/// A control takes the place of the whole penalty: its masks have neither a penalty nor a shortfall below a floor.
#[test]
fn penalties_and_floors_are_those_of_masks_without_a_control() {
    let settings = SiteSettings {
        rounding: Some(Rounding::Threshold),
        control: Some(MaskControl::Threshold(ThresholdControl::new(0.5))),
        ..SiteSettings::default()
    };
    let config = masked(MaskConfig {
        site: vec![Site::AttentionHeads, Site::FeedForwardOutput].into(),
        input: MaskInput::LayerInput,
        rank: Some(4),
        penalty: Some(Penalty {
            floor: Some(0.5),
            ..Penalty::default()
        }),
        at: [(Site::AttentionHeads, settings)].into(),
        ..MaskConfig::default()
    });
    config.validate().unwrap();
    let device = device();
    let model = Transformer::from_weights(&config, &initial_weights(&config, 7), &device);
    let ids = Tensor::<2, Int>::from_data(TensorData::new(vec![1, 2, 3, 4], [1, 4]), &device);
    let loss = model.loss(ids.clone(), ids, &Pass::Evaluate);
    let penalized: Vec<_> = loss
        .masks
        .iter()
        .filter(|mask| mask.site() == Site::FeedForwardOutput)
        .collect();
    assert_eq!((loss.masks.len(), penalized.len()), (4, 2));
    for mask in &loss.masks {
        let is_penalized = mask.site() == Site::FeedForwardOutput;
        assert_eq!(mask.shortfall.is_some(), is_penalized);
        assert_eq!(read(mask.penalty.clone())[0] != 0.0, is_penalized);
    }
    let sum: f32 = penalized
        .iter()
        .map(|mask| read(mask.penalty.clone())[0])
        .sum();
    let found = read(loss.penalty.unwrap())[0];
    assert!(
        (found - sum / 2.0).abs() < 1e-6,
        "{found}, expected {}",
        sum / 2.0
    );
}
