//! Gradients of the whole model against finite differences of its loss.

mod support;

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Int, Tensor, TensorData};
use learned_dropout::Transformer;
use learned_dropout::parameters::ParameterVisitor;
use model::feed_forward::{
    Dense, ExpertActivation, MixtureOfExperts, Relu, ReluRoutedExperts, Swiglu,
};
use model::function::{Cosine, Fourier, Linear, Shift, Sigmoid};
use model::initialization::initial_weights;
use model::layout::layout;
use model::mask_control::{MaskControl, ThresholdControl};
use model::pass::NoiseKey;
use model::tensor_spec::TensorRole;
use model::weights::Weights;
use model::{
    FeedForwardConfig, Generator, MaskConfig, MaskFunction, MaskInput, Pass, Penalty, PenaltyKind,
    Rounding, Site, TransformerConfig,
};
use support::{device, read, values};

struct Collected<'a> {
    gradients: &'a Gradients,
    found: BTreeMap<String, Vec<f32>>,
}

impl ParameterVisitor for Collected<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &Tensor<D>) {
        if let Some(gradient) = parameter.grad(self.gradients) {
            self.found.insert(name.to_string(), read(gradient));
        }
    }
}

/// A model with smooth roundings, so that its loss is differentiable.
fn config(input: MaskInput, kind: PenaltyKind) -> TransformerConfig {
    TransformerConfig {
        vocabulary: 11,
        context: 6,
        width: 8,
        heads: 2,
        layers: 2,
        dropout: 0.3,
        feed_forward: Default::default(),
        learned_dropout: Some(MaskConfig {
            input,
            rounding: Rounding::Sigmoid,
            sigmoid_scale: 2.0,
            penalty: Some(Penalty {
                kind,
                ..Penalty::default()
            }),
            ..MaskConfig::default()
        }),
    }
}

/// Like [`config`], with masks at several sites, with groups and a rank.
fn masks_at(
    sites: &[Site],
    input: MaskInput,
    change: impl Fn(&mut MaskConfig),
) -> TransformerConfig {
    let mut config = config(input, PenaltyKind::Squared);
    let mask = config.learned_dropout.as_mut().expect("learned masks");
    mask.site = sites.to_vec().into();
    mask.rank = Some(3);
    change(mask);
    config
}

fn total(
    config: &TransformerConfig,
    weights: &Weights,
    training: bool,
) -> (Transformer, Tensor<1>) {
    let device = if training {
        device().autodiff()
    } else {
        device()
    };
    let model = Transformer::from_weights(config, weights, &device);
    let ids = |shift: i32| {
        let ids: Vec<i32> = (0..12).map(|i| (i * 5 + shift) % 11).collect();
        Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 6]), &device)
    };
    // The same dropout noise in every pass.
    let key = NoiseKey { seed: 3, step: 1 };
    let loss = model.loss(ids(0), ids(4), &Pass::Train(key));
    let mut total = loss.cross_entropy.clone();
    if let Some(shortfall) = loss.shortfall() {
        total = total + shortfall * 0.3;
    }
    // The penalty on the hidden units jumps where a mask begins to keep a group.
    let masks = config.learned_dropout.as_ref();
    let jumps = masks.is_some_and(|masks| masks.rounding == Rounding::Carried);
    let auxiliary = loss.auxiliary.filter(|_| !jumps);
    let terms = loss.penalty.into_iter().chain(auxiliary);
    for term in terms.chain(loss.unit_mean) {
        total = total + term * 0.7;
    }
    (model, total)
}

/// Whether the shifts of all masks are parameters.
fn shifts_are_learned(config: &TransformerConfig) -> bool {
    let masks = config.learned_dropout.as_ref();
    masks.is_none_or(|masks| masks.function.shift() == Shift::Learned)
}

fn check(config: &TransformerConfig) {
    let mut weights = initial_weights(config, 1);
    for (index, tensor) in weights.values_mut().enumerate() {
        for (value, noise) in tensor.values.iter_mut().zip(values(1 << 10, index as u64)) {
            *value += 0.3 * noise;
        }
    }
    let (model, loss) = total(config, &weights, true);
    let gradients = loss.backward();
    let mut collected = Collected {
        gradients: &gradients,
        found: BTreeMap::new(),
    };
    model.visit_parameters(&mut collected);
    let learned = layout(config).filter(|spec| match spec.role {
        TensorRole::MaskThreshold => false,
        TensorRole::MaskFunction(_) => shifts_are_learned(config),
        _ => true,
    });
    assert_eq!(collected.found.len(), learned.count());
    for (name, gradient) in collected.found {
        for first in [0, gradient.len() / 3, gradient.len() - 1] {
            // The truncation error of a central difference is about h² = 3e-5 of the third
            // derivative; the rounding error about 3e-7 / h = 6e-5.
            let difference = |index: usize, step: f32| {
                let moved = |step: f32| {
                    let mut weights = weights.clone();
                    weights.get_mut(&name).expect("a parameter").values[index] += step;
                    f64::from(read(total(config, &weights, false).1)[0])
                };
                (moved(step) - moved(-step)) / f64::from(2.0 * step)
            };
            // The loss has no derivative at points where the choice of experts changes or a unit becomes
            // 0. There the difference depends on the step.
            let smooth = |index: usize| {
                let [whole, quarter] = [5e-3, 1.25e-3].map(|step| difference(index, step));
                ((whole - quarter).abs() < 3e-4 + 5e-3 * whole.abs()).then_some((index, whole))
            };
            let (index, expected) = (first..first + gradient.len())
                .find_map(|index| smooth(index % gradient.len()))
                .expect("an element with a derivative");
            let found = f64::from(gradient[index]);
            let error = (found - expected).abs();
            assert!(
                error < 3e-4 + 1e-2 * expected.abs(),
                "{name}[{index}]: gradient {found}, finite difference {expected}"
            );
        }
    }
}

#[test]
fn masks_from_the_hidden_state() {
    check(&config(MaskInput::Hidden, PenaltyKind::Squared));
}

#[test]
fn masks_from_the_embedding() {
    check(&config(MaskInput::Embedding, PenaltyKind::Entropy));
}

#[test]
fn hidden_units_in_groups_from_the_layer_input() {
    let sites = [Site::FeedForwardHidden];
    check(&masks_at(&sites, MaskInput::LayerInput, |mask| {
        mask.group = 4;
        let penalty = mask.penalty.as_mut().expect("a penalty");
        penalty.floor = Some(0.5);
    }));
}

#[test]
fn hidden_units_from_themselves() {
    let sites = [Site::FeedForwardHidden];
    check(&masks_at(&sites, MaskInput::Hidden, |mask| {
        mask.rank = None
    }));
}

#[test]
fn heads_and_probabilities_from_the_residual_stream() {
    let sites = [Site::AttentionHeads, Site::AttentionProbabilities];
    check(&masks_at(&sites, MaskInput::Residual, |_| {}));
}

#[test]
fn every_place_of_an_ordinary_dropout_from_what_is_masked() {
    let sites = [
        Site::Embedding,
        Site::AttentionProbabilities,
        Site::AttentionOutput,
        Site::FeedForwardOutput,
    ];
    check(&masks_at(&sites, MaskInput::Hidden, |mask| mask.group = 2));
}

#[test]
fn every_site_from_the_embedding() {
    check(&masks_at(&Site::ALL, MaskInput::Embedding, |mask| {
        mask.heads = Some(3)
    }));
}

#[test]
fn series_of_several_terms_in_groups_and_on_heads() {
    let sites = [
        Site::AttentionHeads,
        Site::FeedForwardHidden,
        Site::FeedForwardOutput,
    ];
    check(&masks_at(&sites, MaskInput::LayerInput, |mask| {
        mask.group = 2;
        mask.function = MaskFunction::Fourier(Fourier {
            terms: 3,
            shift_init: 0.5,
            ..Fourier::default()
        });
        let penalty = mask.penalty.as_mut().expect("a penalty");
        penalty.floor = Some(0.5);
    }));
}

#[test]
fn outputs_from_the_layer_input_without_a_rank() {
    let sites = [Site::AttentionOutput, Site::FeedForwardOutput];
    check(&masks_at(&sites, MaskInput::LayerInput, |mask| {
        mask.rank = None
    }));
}

#[test]
fn the_baseline_with_dropout() {
    let masked = config(MaskInput::Hidden, PenaltyKind::Linear);
    let plain = TransformerConfig {
        learned_dropout: None,
        ..masked
    };
    let weights = initial_weights(&plain, 1);
    let device = device();
    let model = Transformer::from_weights(&plain, &weights, &device);
    let ids = Tensor::<2, Int>::from_data(TensorData::new(vec![1, 2, 3, 4], [1, 4]), &device);
    let run = |step| {
        let pass = Pass::Train(NoiseKey { seed: 1, step });
        read(model.loss(ids.clone(), ids.clone(), &pass).cross_entropy)[0]
    };
    assert_eq!(run(5), run(5), "equal keys, equal noise");
    assert_ne!(run(5), run(6), "another step, other noise");
    check(&config(MaskInput::Hidden, PenaltyKind::Linear));
}

#[test]
fn the_penalty_has_a_gradient_of_its_own() {
    let config = config(MaskInput::Hidden, PenaltyKind::Squared);
    let device = device().autodiff();
    let model = Transformer::from_weights(&config, &initial_weights(&config, 1), &device);
    let ids = Tensor::<2, Int>::from_data(TensorData::new(vec![1, 2, 3, 4], [1, 4]), &device);
    let loss = model.loss(ids.clone(), ids, &Pass::Evaluate);
    let gradients = loss.penalty.expect("learned masks").backward();
    let mut collected = Collected {
        gradients: &gradients,
        found: BTreeMap::new(),
    };
    model.visit_parameters(&mut collected);
    assert!(
        collected
            .found
            .contains_key("blocks.1.feed_forward.learned_dropout.shift")
    );
}

/// A model without learned masks, with this feed-forward.
fn with_feed_forward(feed_forward: FeedForwardConfig) -> TransformerConfig {
    TransformerConfig {
        feed_forward,
        learned_dropout: None,
        ..config(MaskInput::Hidden, PenaltyKind::Squared)
    }
}

#[test]
fn a_narrow_feed_forward() {
    let hidden = Some(5.into());
    let config = with_feed_forward(FeedForwardConfig::Dense(Dense { hidden }));
    assert_eq!(
        initial_weights(&config, 1)["blocks.1.feed_forward.down.weight"].shape,
        [8, 5]
    );
    check(&config);
}

#[test]
fn swiglu_in_layers_of_their_own_sizes() {
    let hidden = Some(vec![5, 9].into());
    check(&with_feed_forward(FeedForwardConfig::Swiglu(Swiglu {
        hidden,
    })));
}

#[test]
fn swiglu_beside_masks() {
    let sites = [
        Site::AttentionHeads,
        Site::AttentionOutput,
        Site::FeedForwardOutput,
    ];
    check(&TransformerConfig {
        feed_forward: FeedForwardConfig::Swiglu(Swiglu::default()),
        ..masks_at(&sites, MaskInput::LayerInput, |_| {})
    });
}

#[test]
fn a_mixture_of_experts() {
    let layer = MixtureOfExperts {
        experts: 4,
        active: 2,
        hidden: Some(6),
        shared: 3,
        scaling: 2.0,
        balance: 0.1,
        ..Default::default()
    };
    check(&with_feed_forward(FeedForwardConfig::MixtureOfExperts(
        layer,
    )));
}

#[test]
fn experts_with_a_learned_mask_on_their_output() {
    let layer = MixtureOfExperts {
        hidden: Some(6),
        ..Default::default()
    };
    check(&TransformerConfig {
        feed_forward: FeedForwardConfig::MixtureOfExperts(layer),
        ..config(MaskInput::Hidden, PenaltyKind::Squared)
    });
}

#[test]
fn relu_routed_experts() {
    let layer = ReluRoutedExperts {
        experts: 3,
        hidden: Some(6),
        ..Default::default()
    };
    check(&with_feed_forward(FeedForwardConfig::ReluRoutedExperts(
        layer,
    )));
}

#[test]
fn experts_with_relu_and_a_penalty_on_their_units() {
    let routed = ReluRoutedExperts {
        experts: 3,
        hidden: Some(6),
        activation: ExpertActivation::Relu,
        penalty: 0.5,
        ..Default::default()
    };
    check(&with_feed_forward(FeedForwardConfig::ReluRoutedExperts(
        routed,
    )));
    let mixture = MixtureOfExperts {
        experts: 3,
        active: 2,
        hidden: Some(6),
        activation: ExpertActivation::Relu,
        shared: 4,
        ..Default::default()
    };
    check(&with_feed_forward(FeedForwardConfig::MixtureOfExperts(
        mixture,
    )));
}

#[test]
fn relu_with_a_penalty() {
    let layer = Relu {
        hidden: Some(20.into()),
        ..Relu::default()
    };
    check(&with_feed_forward(FeedForwardConfig::Relu(layer)));
}

/// Gates on heads and groups of units that carry their values, with thresholds, over ReLU or its square.
fn gates(function: MaskFunction, input: MaskInput, power: usize) -> TransformerConfig {
    let sites = [Site::AttentionHeads, Site::FeedForwardHidden];
    let masks = masks_at(&sites, input, |mask| {
        mask.rank = None;
        mask.generator = Generator::Linear;
        mask.group = 4;
        mask.function = function.clone();
        mask.rounding = Rounding::Carried;
        mask.penalty = None;
        mask.control = Some(MaskControl::Threshold(ThresholdControl::new(0.5)));
    });
    let hidden = Some(vec![20, 8].into());
    let relu = Relu {
        hidden,
        power,
        ..Relu::default()
    };
    TransformerConfig {
        feed_forward: FeedForwardConfig::Relu(relu),
        ..masks
    }
}

#[test]
fn gates_that_carry_their_values() {
    let fixed = MaskFunction::Cosine(Cosine {
        shift_init: 0.8,
        shift: Shift::Fixed,
    });
    check(&gates(fixed, MaskInput::LayerInput, 1));
    let linear = MaskFunction::Linear(Linear::default());
    check(&gates(linear, MaskInput::Hidden, 2));
}

#[test]
fn gates_of_which_training_drops_some() {
    let mut config = gates(MaskFunction::default(), MaskInput::LayerInput, 1);
    let mask = config.learned_dropout.as_mut().expect("learned masks");
    mask.dropout = 0.4;
    check(&config);
}

#[test]
fn every_site_with_dropout_of_what_is_kept() {
    check(&masks_at(&Site::ALL, MaskInput::Embedding, |mask| {
        mask.dropout = 0.25;
        mask.group = 2;
    }));
    check(&masks_at(
        &[Site::FeedForwardOutput],
        MaskInput::Hidden,
        |mask| {
            mask.dropout = 0.25;
            mask.rank = None;
        },
    ));
}

#[test]
fn sigmoid_gates_that_drop_nothing() {
    let sites = [Site::AttentionHeads];
    check(&masks_at(&sites, MaskInput::LayerInput, |mask| {
        mask.function = MaskFunction::Sigmoid(Sigmoid::default());
        mask.rounding = Rounding::None;
    }));
}
