//! The mixture of experts with token choice.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activity::Activity;
use super::dense::Dense;
use super::experts::Experts;
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::{Precision, best_gates, duplicated, mean_softmax, used_share};

/// The module of [`model::feed_forward::MixtureOfExperts`].
#[derive(Module, Debug)]
pub struct MixtureOfExperts {
    /// Computes the scores of the experts, `[experts, width]`; always in f32.
    pub router: Linear,
    /// The experts.
    pub experts: Experts,
    /// The expert that every token uses, if there is one.
    pub shared: Option<Dense>,
    /// Number of experts that each token chooses.
    pub active: usize,
    /// Factor of the gates.
    pub scaling: f64,
}

impl MixtureOfExperts {
    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.experts.precision = precision;
        if let Some(shared) = &mut self.shared {
            shared.set_precision(precision);
        }
    }

    pub(super) fn forward(&self, norm: &LayerNorm, input: Tensor<3>) -> (Tensor<3>, Activity) {
        let x = norm.forward(input.clone());
        let [scores, for_loss] = duplicated(self.router.forward(x.clone()));
        let gates = best_gates(scores, self.active).mul_scalar(self.scaling);
        let shares = used_share(gates.clone());
        let found = self.experts.forward(x, gates);
        let routed = found.output;
        let output = match &self.shared {
            Some(shared) => routed + shared.forward(norm, input),
            None => routed,
        };
        let activity = Activity {
            penalty: imbalance(mean_softmax(for_loss), shares.clone(), self.active),
            shares,
            units: found.units,
        };
        (output, activity)
    }
}

/// The load-balancing loss, `experts / active · Σ share · probability`: for the mean probability of each
/// expert and the share of tokens that choose it, both `[experts]`.
fn imbalance(probabilities: Tensor<1>, shares: Tensor<1>, active: usize) -> Tensor<1> {
    let [experts] = probabilities.dims();
    (probabilities * shares).sum() * (experts as f64 / active as f64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use crate::ops::Activation;

    use super::*;

    fn values<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn the_loss_of_a_load_worked_by_hand() {
        // Two experts, three tokens, one choice each: f = (2/3, 1/3), P = (0.5, 0.5) and
        // (0.6, 0.4): 2 (2/3 · 1/2 + 1/3 · 1/2) = 1; 2 (2/3 · 0.6 + 1/3 · 0.4) = 16/15.
        let shares = values(&[2.0 / 3.0, 1.0 / 3.0], [2]);
        let loss = |probabilities: &[f32]| {
            let probabilities = values(probabilities, [2]);
            read(imbalance(probabilities, shares.clone(), 1))[0]
        };
        assert!((loss(&[0.5, 0.5]) - 1.0).abs() < 1e-6);
        assert!((loss(&[0.6, 0.4]) - 16.0 / 15.0).abs() < 1e-6);
        // If every token uses both experts, the load is even, whatever the probabilities are.
        let all = imbalance(values(&[0.9, 0.1], [2]), values(&[1.0, 1.0], [2]), 2);
        assert!((read(all)[0] - 1.0).abs() < 1e-6);
    }

    /// One token, `x = norm((2, 0)) = (1, −1)` with epsilon 1e-5, three experts of one unit.
    #[test]
    fn a_token_worked_by_hand() {
        let ln = |value: f32| value.ln();
        // Scores (ln 3, ln 1, ln 6) for x = (1, −1): probabilities 0.3, 0.1, 0.6.
        let router = [ln(3.0), 0.0, 0.0, 0.0, ln(6.0), 0.0];
        let layer = MixtureOfExperts {
            router: Linear::new(values(&router, [3, 2])),
            // Units gelu(1), gelu(5), gelu(−1).
            experts: Experts::new(
                values(&[1.0, 0.0, 5.0, 0.0, 0.0, 1.0], [3, 1, 2]),
                values(&[1.0, 0.0, 7.0, 7.0, 0.0, 1.0], [3, 2, 1]),
                Activation::Gelu,
            ),
            shared: None,
            active: 2,
            scaling: 3.0,
        };
        let norm = LayerNorm::new(values(&[1.0, 1.0], [2]));
        let (output, activity) = layer.forward(&norm, values(&[2.0, 0.0], [1, 1, 2]));
        // gelu(1) = 0.841345, gelu(−1) = −0.158655; gates 1/3 and 2/3, times 3.
        let expected = [0.841_345, -0.158_655 * 2.0];
        for (found, expected) in read(output).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        assert_eq!(read(activity.shares), [1.0, 0.0, 1.0]);
        // 3 (0.3 / 2 + 0.6 / 2)
        assert!((read(activity.penalty)[0] - 1.35).abs() < 1e-4);
    }
}
