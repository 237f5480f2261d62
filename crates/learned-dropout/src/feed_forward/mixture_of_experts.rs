//! The mixture of experts with token choice.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::config::Checks;
use super::{Activity, Dense, Experts, share_of_tokens};
use crate::config::LARGEST_DIMENSION;
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::ops::tensor::Precision;

/// A mixture of experts of which each token takes the best few; no token is ever dropped.
///
/// The gates are the softmax of the router's scores over the chosen experts. The auxiliary loss is
/// that of Fedus et al., "Switch Transformers" (2021), summed over the layers: `experts · Σ f P`
/// over the experts, with `f` the share of all choices that fell on an expert and `P` its mean
/// probability. It is 1 where the load is even.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of experts.
    pub experts: usize,
    /// Experts that each token takes.
    pub active: usize,
    /// Hidden units of each expert; four times the width where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Hidden units of a further expert that every token takes, with gate 1; 0 for none.
    pub shared: usize,
    /// What the auxiliary loss is multiplied by; at least 0.
    pub balance: f64,
}

impl Default for Config {
    /// Two of eight experts.
    fn default() -> Self {
        Self {
            experts: 8,
            active: 2,
            hidden: None,
            shared: 0,
            balance: 0.01,
        }
    }
}

impl Config {
    pub(super) fn validate(&self, check: &mut Checks<'_>) {
        check.experts(self.experts);
        check.whole("active", self.active, 1, self.experts.max(1));
        check.whole("shared", self.shared, 0, LARGEST_DIMENSION);
        check.not_negative("balance", self.balance);
    }
}

/// The module of [`Config`].
#[derive(Module, Debug)]
pub struct MixtureOfExperts {
    /// The scores of the experts, `[experts, width]`; always computed in f32.
    pub router: Linear,
    /// The experts.
    pub experts: Experts,
    /// The expert that every token takes, where there is one.
    pub shared: Option<Dense>,
    /// Experts that each token takes.
    pub active: usize,
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
        let scores = self.router.forward(x.clone());
        let probabilities = softmax(scores, 2);
        let chosen = chosen(probabilities.clone().detach(), self.active);
        let taken = probabilities.clone() * chosen.clone();
        let gates = taken.clone() / taken.sum_dim(2);
        let routed = self.experts.forward(x, gates);
        let output = match &self.shared {
            Some(shared) => routed + shared.forward(norm, input),
            None => routed,
        };
        let shares = share_of_tokens(chosen);
        let activity = Activity {
            penalty: imbalance(probabilities, shares.clone(), self.active),
            shares,
        };
        (output, activity)
    }
}

/// 1 for the `count` largest of the last dimension, else 0; of equal ones the first is taken.
pub(super) fn chosen(values: Tensor<3>, count: usize) -> Tensor<3> {
    let dims = values.dims();
    let device = values.device();
    let numbers = Tensor::<1, Int>::arange(0..dims[2] as i64, &device)
        .reshape([1, 1, dims[2]])
        .expand(dims);
    let mut chosen = Tensor::zeros(dims, &device);
    let mut rest = values;
    for _ in 0..count {
        let best = rest.clone().argmax(2).expand(dims).equal(numbers.clone());
        rest = rest.mask_fill(best.clone(), -1.0);
        chosen = chosen.mask_fill(best, 1.0);
    }
    chosen
}

/// `experts · Σ f P`, for probabilities of `[batch, time, experts]` and the share of tokens that
/// take each expert, `[experts]`.
fn imbalance(probabilities: Tensor<3>, shares: Tensor<1>, active: usize) -> Tensor<1> {
    let experts = probabilities.dims()[2];
    let mean = super::mean_over_tokens(probabilities);
    (mean * shares).sum() * (experts as f64 / active as f64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn values<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn the_largest_are_chosen_and_the_first_of_equal_ones() {
        let probabilities = values(&[0.1, 0.5, 0.4, 0.25, 0.5, 0.25], [1, 2, 3]);
        let found = |count| read(chosen(probabilities.clone(), count));
        assert_eq!(found(1), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(found(2), [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(found(3), [1.0; 6]);
    }

    #[test]
    fn the_loss_of_a_load_worked_by_hand() {
        // Two experts, three tokens, one choice each: f = (2/3, 1/3), P = (0.5, 0.5) and
        // (0.6, 0.4): 2 (2/3 · 1/2 + 1/3 · 1/2) = 1; 2 (2/3 · 0.6 + 1/3 · 0.4) = 16/15.
        let shares = values(&[2.0 / 3.0, 1.0 / 3.0], [2]);
        let loss = |probabilities: &[f32]| {
            let probabilities = values(probabilities, [1, 3, 2]);
            read(imbalance(probabilities, shares.clone(), 1))[0]
        };
        assert!((loss(&[0.5; 6]) - 1.0).abs() < 1e-6);
        assert!((loss(&[0.7, 0.3, 0.9, 0.1, 0.2, 0.8]) - 16.0 / 15.0).abs() < 1e-6);
        // Both experts for every token, in whatever proportion: an even load.
        let all = imbalance(values(&[0.9, 0.1], [1, 1, 2]), values(&[1.0, 1.0], [2]), 2);
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
            ),
            shared: None,
            active: 2,
        };
        let norm = LayerNorm::new(values(&[1.0, 1.0], [2]));
        let (output, activity) = layer.forward(&norm, values(&[2.0, 0.0], [1, 1, 2]));
        // gelu(1) = 0.841345, gelu(−1) = −0.158655; gates 1/3 and 2/3.
        let expected = [0.841_345 / 3.0, -0.158_655 * 2.0 / 3.0];
        for (found, expected) in read(output).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        assert_eq!(read(activity.shares), [1.0, 0.0, 1.0]);
        // 3 (0.3 / 2 + 0.6 / 2)
        assert!((read(activity.penalty)[0] - 1.35).abs() < 1e-4);
    }
}
