//! The whole model against PyTorch: fixtures made by an independent PyTorch implementation with
//! random weights; see `fixtures/README.md`.
#![cfg(feature = "pytorch")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use learned_dropout::Transformer;
use learned_dropout::parameters::ParameterVisitor;
use learned_dropout::statistics::MaskValues;
use model::Pass;
use model::pytorch;
use serde::Deserialize;
use support::{device, read};

#[derive(Deserialize)]
struct Case {
    ids: Vec<Vec<i32>>,
    targets: Vec<Vec<i32>>,
    eval: Evaluation,
    train_noise_half: Training,
}

#[derive(Deserialize)]
struct Evaluation {
    loss: f32,
    logits_last: Vec<Vec<f32>>,
    penalty: Option<f32>,
    kept: Option<f32>,
}

#[derive(Deserialize)]
struct Training {
    loss: f32,
    grad_norm: BTreeMap<String, f32>,
}

fn load(name: &str, device: &Device) -> (Case, Transformer, BTreeMap<String, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures");
    let case = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("fixture");
    let case: Case = serde_json::from_str(&case).expect("fixture");
    let imported = pytorch::import(&folder.join(format!("{name}.pt"))).expect("checkpoint");
    let names = pytorch::author_names(&imported.config).collect();
    let model = Transformer::from_weights(&imported.config, &imported.weights, device);
    (case, model, names)
}

fn ids(rows: &[Vec<i32>], device: &Device) -> Tensor<2, Int> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), device)
}

/// Norms of the gradients by our names.
struct Norms<'a> {
    gradients: &'a burn::tensor::Gradients,
    found: BTreeMap<String, f32>,
}

impl ParameterVisitor for Norms<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &Tensor<D>) {
        let norm = parameter.grad(self.gradients).map_or(0.0, |gradient| {
            read(gradient)
                .iter()
                .map(|value| f64::from(*value).powi(2))
                .sum::<f64>()
                .sqrt() as f32
        });
        self.found.insert(name.to_string(), norm);
    }
}

fn check(name: &str) {
    evaluates_like_pytorch(name);
    trains_like_pytorch(name);
}

fn evaluates_like_pytorch(name: &str) {
    let device = device();
    let (case, model, _) = load(name, &device);
    let (inputs, targets) = (ids(&case.ids, &device), ids(&case.targets, &device));
    let loss = model.loss(inputs.clone(), targets, &Pass::Evaluate);
    let found = read(loss.cross_entropy.clone())[0];
    assert!(
        (found - case.eval.loss).abs() < 1e-5,
        "loss {found}, expected {}",
        case.eval.loss
    );

    let [batch, time] = inputs.dims();
    let hidden = model.forward(inputs, &Pass::Evaluate).hidden;
    let width = hidden.dims()[2];
    let last = hidden.narrow(1, time - 1, 1).reshape([batch, 1, width]);
    let logits = read(model.logits(last));
    for (found, expected) in logits.iter().zip(case.eval.logits_last.concat()) {
        assert!(
            (found - expected).abs() < 1e-4,
            "logit {found}, expected {expected}"
        );
    }

    let values: Vec<MaskValues> = loss.statistics().iter().map(|mask| mask.read()).collect();
    let mean = MaskValues::mean(&values);
    assert_eq!(mean.is_some(), case.eval.kept.is_some());
    if let (Some(mean), Some(kept), Some(penalty)) = (mean, case.eval.kept, case.eval.penalty) {
        // A share of exactly counted elements: only the last bits of the division may differ.
        assert!(
            (mean.kept - kept).abs() < 1e-6,
            "kept {}, expected {kept}",
            mean.kept
        );
        assert!(
            (mean.penalty - penalty).abs() < 1e-5,
            "penalty {}",
            mean.penalty
        );
        let found = read(loss.penalty.expect("learned masks"))[0];
        assert!(
            (found - penalty).abs() < 1e-5,
            "penalty {found}, expected {penalty}"
        );
    }
}

fn trains_like_pytorch(name: &str) {
    let device = device().autodiff();
    let (case, model, names) = load(name, &device);
    let (inputs, targets) = (ids(&case.ids, &device), ids(&case.targets, &device));
    let loss = model.loss(inputs, targets, &Pass::TrainWithConstantNoise(0.5));
    let penalty = model
        .config()
        .learned_dropout
        .as_ref()
        .and_then(|mask| mask.penalty.clone());
    let total = match (loss.penalty, penalty) {
        (Some(mean), Some(penalty)) => loss.cross_entropy + mean * penalty.coefficient,
        _ => loss.cross_entropy,
    };
    let found = read(total.clone().inner())[0];
    let expected = case.train_noise_half.loss;
    assert!(
        (found - expected).abs() < 1e-5,
        "loss {found}, expected {expected}"
    );

    let gradients = total.backward();
    let mut norms = Norms {
        gradients: &gradients,
        found: BTreeMap::new(),
    };
    model.visit_parameters(&mut norms);
    assert_eq!(norms.found.len(), case.train_noise_half.grad_norm.len());
    for (ours, found) in norms.found {
        let expected = case.train_noise_half.grad_norm[&names[&ours]];
        let error = (found - expected).abs();
        let allowed = if expected == 0.0 {
            0.0
        } else {
            1e-3 * expected
        };
        assert!(
            error <= allowed,
            "{ours}: gradient norm {found}, expected {expected}"
        );
    }
}

#[test]
fn masks_from_the_hidden_state() {
    check("tiny-hidden");
}

#[test]
fn masks_from_the_embedding() {
    check("tiny-embed");
}

#[test]
fn the_baseline() {
    check("tiny-base");
}
