//! Models with gates against PyTorch: losses, kept shares and gradients; see `fixtures/README.md`.

mod support;

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Int, Tensor, TensorData};
use learned_dropout::Transformer;
use learned_dropout::parameters::ParameterVisitor;
use model::weights::{HostTensor, Weights};
use model::{Pass, TransformerConfig};
use serde::Deserialize;
use support::{assert_close, device, read};

#[derive(Deserialize)]
struct Case {
    config: TransformerConfig,
    weights: BTreeMap<String, Stored>,
    ids: Vec<Vec<i32>>,
    targets: Vec<Vec<i32>>,
    loss: f32,
    penalty: f32,
    kept: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Stored {
    shape: Vec<usize>,
    values: Vec<f32>,
}

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

#[test]
fn losses_kept_shares_and_gradients_are_those_of_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/gates.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        case.config.validate().unwrap();
        let device = device().autodiff();
        let weights: Weights = case
            .weights
            .into_iter()
            .map(|(name, Stored { shape, values })| (name, HostTensor { shape, values }))
            .collect();
        let model = Transformer::from_weights(&case.config, &weights, &device);
        let ids = |rows: &[Vec<i32>]| {
            let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
            Tensor::<2, Int>::from_data(data, &device)
        };
        // Without noise, training and evaluation are the same.
        let loss = model.loss(ids(&case.ids), ids(&case.targets), &Pass::Evaluate);
        let kept = read(loss.kept_by_controlled().expect("thresholds"));
        assert_close(&kept, &case.kept, 1e-6);
        let penalty = loss.auxiliary.expect("a penalty on the hidden units");
        assert_close(&read(loss.cross_entropy.clone()), &[case.loss], 1e-5);
        assert_close(&read(penalty.clone()), &[case.penalty], 1e-5);
        let gradients = (loss.cross_entropy + penalty * 0.7).backward();
        let mut collected = Collected {
            gradients: &gradients,
            found: BTreeMap::new(),
        };
        model.visit_parameters(&mut collected);
        let names: Vec<&String> = collected.found.keys().collect();
        assert_eq!(names, case.gradients.keys().collect::<Vec<_>>());
        for (name, found) in &collected.found {
            assert_close(found, &case.gradients[name], 5e-5);
        }
    }
}
