//! AdamW compared with values worked by hand and with a scalar implementation.

use burn::tensor::{Device, Tensor, TensorData};
use learned_dropout_training::config::OptimizerConfig;
use learned_dropout_training::optimizer::{AdamW, OptimizerError};
use model::tensor_spec::{TensorRole, TensorSpec};

fn config() -> OptimizerConfig {
    OptimizerConfig {
        learning_rate: 1.0,
        minimum_learning_rate: Some(0.0),
        betas: [0.9, 0.95],
        weight_decay: 0.1,
        epsilon: 1e-8,
    }
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

#[track_caller]
fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        // A handful of f32 roundings of values near 1.
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{found} is not {expected}"
        );
    }
}

/// The first update has the size of the learning rate whatever the gradient: m/(1−β₁) = g and
/// v/(1−β₂) = g². Decay takes 0.1 · 0.1 of the matrix's weights first, and nothing of a vector's.
#[test]
fn the_first_update_by_hand() {
    let mut optimizer = AdamW::new(&config());
    let matrix = optimizer.update(
        "m",
        tensor(&[1.0, -2.0], [1, 2]),
        tensor(&[3.0, 0.5], [1, 2]),
        0.1,
    );
    close(&values(&matrix), &[1.0 * 0.99 - 0.1, -2.0 * 0.99 - 0.1]);
    let vector = optimizer.update(
        "v",
        tensor(&[1.0, -2.0], [2]),
        tensor(&[3.0, -0.5], [2]),
        0.1,
    );
    close(&values(&vector), &[0.9, -1.9]);
}

/// g = 1 and then g = −1: m = 0.1 · 0.9 − 0.1 = −0.01, v = 0.05 · 0.95 + 0.05 = 0.0975;
/// 1 − β₁² = 0.19, 1 − β₂² = 0.0975, so the second change is 0.1 · (−0.01 / 0.19) / 1.
#[test]
fn the_second_update_by_hand() {
    let mut optimizer = AdamW::new(&config());
    let first = optimizer.update("p", tensor(&[0.0], [1]), tensor(&[1.0], [1]), 0.1);
    close(&values(&first), &[-0.1]);
    let second = optimizer.update("p", first, tensor(&[-1.0], [1]), 0.1);
    close(&values(&second), &[-0.1 + 0.1 * 0.01 / 0.19]);
}

/// One weight, in f64, as in the paper: with corrected moments instead of corrected factors.
fn reference(mut weight: f64, gradients: &[f64], rates: &[f64], decay: f64) -> f64 {
    let (mut first, mut second) = (0.0, 0.0);
    for (index, (gradient, rate)) in gradients.iter().zip(rates).enumerate() {
        let time = index as i32 + 1;
        first = 0.9 * first + 0.1 * gradient;
        second = 0.95 * second + 0.05 * gradient * gradient;
        let (first, second): (f64, f64) = (
            first / (1.0 - 0.9_f64.powi(time)),
            second / (1.0 - 0.95_f64.powi(time)),
        );
        weight -= rate * (first / (second.sqrt() + 1e-8) + decay * weight);
    }
    weight
}

#[test]
fn many_updates_agree_with_a_scalar_implementation() {
    let count = 12;
    let start: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    let gradient = |step: usize, i: usize| ((step * 31 + i * 17) as f64 * 0.37).cos() * 0.3;
    let rates: Vec<f64> = (0..20)
        .map(|step| 0.01 * (1.0 + (step as f64).sin() / 2.0))
        .collect();
    let mut optimizer = AdamW::new(&config());
    let mut matrix: Tensor<2> = tensor(&start, [3, 4]);
    for (step, &rate) in rates.iter().enumerate() {
        let gradients: Vec<f32> = (0..count).map(|i| gradient(step, i) as f32).collect();
        matrix = optimizer.update("w", matrix, tensor(&gradients, [3, 4]), rate);
    }
    let expected: Vec<f64> = (0..count)
        .map(|i| {
            let gradients: Vec<f64> = (0..20).map(|step| gradient(step, i)).collect();
            reference(f64::from(start[i]), &gradients, &rates, 0.1)
        })
        .collect();
    close(&values(&matrix), &expected);
}

fn layout() -> Vec<TensorSpec> {
    [("a", vec![2, 2]), ("b", vec![3]), ("c", vec![5])]
        .map(|(name, shape)| TensorSpec {
            name: name.into(),
            shape,
            role: TensorRole::Weight,
        })
        .into()
}

/// Two updates of `a` and one of `b`; `c` never has a gradient.
fn optimizer_after_updates() -> AdamW {
    let mut optimizer = AdamW::new(&config());
    for scale in [1.0, -0.3] {
        let gradient = tensor(&[0.1, 0.2 * scale, -0.7, 1e-9], [2, 2]);
        optimizer.update("a", tensor(&[1.0; 4], [2, 2]), gradient, 0.1);
    }
    optimizer.update(
        "b",
        tensor(&[1.0; 3], [3]),
        tensor(&[0.3, 0.0, 7e20], [3]),
        0.1,
    );
    optimizer
}

#[test]
fn a_restored_state_continues_with_the_same_bits() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("optimizer.safetensors");
    let mut kept = optimizer_after_updates();
    kept.write(&path).unwrap();
    let mut restored = AdamW::read(&config(), &path, layout(), &Device::flex()).unwrap();
    for name in ["a", "c"] {
        let next = |optimizer: &mut AdamW| {
            let gradient = tensor(&[0.5, -0.25, 0.125, 3.0], [2, 2]);
            let updated =
                optimizer.update(name, tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2]), gradient, 0.01);
            values(&updated)
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(next(&mut kept), next(&mut restored));
    }
    let again = place.path().join("again.safetensors");
    restored.write(&path).unwrap();
    kept.write(&again).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(&again).unwrap()
    );
}

#[test]
fn a_state_of_another_model_is_refoptimizer_after_updates() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("optimizer.safetensors");
    optimizer_after_updates().write(&path).unwrap();
    let read = |layout: Vec<TensorSpec>| AdamW::read(&config(), &path, layout, &Device::flex());
    let mut other = layout();
    other[0].shape = vec![4];
    assert!(
        read(other)
            .unwrap_err()
            .to_string()
            .contains("a.first_moment")
    );
    assert!(
        read(layout()[..1].to_vec())
            .unwrap_err()
            .to_string()
            .contains("another model")
    );
    assert!(read(layout()).is_ok());
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("optimizer.safetensors");
    optimizer_after_updates().write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for end in 0..bytes.len() {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let read = AdamW::read(&config(), &path, layout(), &Device::flex());
        assert!(
            matches!(read, Err(OptimizerError::Format { .. })),
            "cut at {end}"
        );
    }
}
