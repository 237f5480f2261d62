//! Feed-forwards with experts, of which a router chooses some for each token.

use kernels::activation::Activation;
use kernels::decode::{FeedForward, Format, Matrix};
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use model::FeedForwardConfig;

use crate::workers::{FEW_TOKENS, Workers};

/// The experts of one block.
pub(crate) struct Experts {
    /// Computes the scores of the experts; in f32, as in training.
    router: Matrix,
    experts: Vec<FeedForward>,
    /// The expert that every token uses, if there is one.
    shared: Option<FeedForward>,
    gate_rule: GateRule,
    used: f64,
}

/// How scores become gates.
#[derive(Clone, Copy, Debug)]
enum GateRule {
    /// The softmax of the `count` best scores, times `scaling`; 0 for the others.
    Best { count: usize, scaling: f32 },
    /// The positive scores; 0 for the others.
    Positive,
}

impl Experts {
    /// The experts of a layer; none for a configuration without experts. `take` returns the values of a
    /// tensor by its name within the feed-forward.
    pub(crate) fn new(
        config: &FeedForwardConfig,
        width: usize,
        format: Format,
        mut take: impl FnMut(&str) -> Vec<f32>,
    ) -> Option<Self> {
        let gate_rule = match config {
            FeedForwardConfig::MixtureOfExperts(config) => GateRule::Best {
                count: config.active,
                scaling: config.scaling as f32,
            },
            FeedForwardConfig::ReluRoutedExperts(_) => GateRule::Positive,
            FeedForwardConfig::Dense(_) | FeedForwardConfig::Relu(_) => return None,
        };
        let count = config.experts()?;
        let size = config.hidden(width, 0) * width;
        let (up, down) = (take("experts.up"), take("experts.down"));
        let layer = |up: &[f32], down: &[f32]| fused(up, down, width, format);
        let experts = up.chunks_exact(size).zip(down.chunks_exact(size));
        Some(Self {
            router: Matrix::new(&take("router.weight"), count, width, Format::F32),
            experts: experts.map(|(up, down)| layer(up, down)).collect(),
            shared: (config.shared() > 0)
                .then(|| layer(&take("shared.up.weight"), &take("shared.down.weight"))),
            gate_rule,
            used: config.optional(width)?.used,
        })
    }

    pub(crate) fn router(&self) -> &Matrix {
        &self.router
    }

    pub(crate) fn layers(&self) -> &[FeedForward] {
        &self.experts
    }

    pub(crate) fn shared(&self) -> Option<&FeedForward> {
        self.shared.as_ref()
    }

    /// The share of the experts that a token uses on average, according to the configuration.
    pub(crate) fn used(&self) -> f64 {
        self.used
    }

    /// `output = Σ gate · expert(normed)`. The weights of experts that no token uses are not read. Must run
    /// in the engine's threads.
    pub(crate) fn forward(&self, workers: &Workers, normed: &[f32], output: &mut [f32]) {
        let (width, count) = (self.router.inputs(), self.experts.len());
        let mut gates = vec![0.0; normed.len() / width * count];
        if normed.len() <= FEW_TOKENS * width {
            self.router.multiply(workers.team(), &mut gates, normed);
        } else {
            self.router
                .multiply_many(&mut gates, normed, Precision::F32);
        }
        gates
            .chunks_exact_mut(count)
            .for_each(|scores| self.gate_rule.gates(scores));
        match &self.shared {
            Some(shared) => multiply(workers, shared, normed, output),
            None => output.fill(0.0),
        }
        let (mut rows, mut products) = (Vec::new(), Vec::new());
        for (expert, layer) in self.experts.iter().enumerate() {
            let gates = gates.iter().skip(expert).step_by(count).enumerate();
            let takers: Vec<(usize, f32)> = gates
                .filter(|(_, gate)| **gate != 0.0)
                .map(|(token, gate)| (token, *gate))
                .collect();
            if takers.is_empty() {
                continue;
            }
            rows.clear();
            for &(token, _) in &takers {
                rows.extend_from_slice(&normed[token * width..][..width]);
            }
            products.resize(rows.len(), 0.0);
            multiply(workers, layer, &rows, &mut products);
            for (&(token, gate), product) in takers.iter().zip(products.chunks_exact(width)) {
                let output = &mut output[token * width..][..width];
                output
                    .iter_mut()
                    .zip(product)
                    .for_each(|(sum, value)| *sum += gate * value);
            }
        }
    }
}

/// The largest number of hidden units in a group.
const GROUP: usize = 32;

/// A feed-forward that always computes all hidden units.
fn fused(up: &[f32], down: &[f32], width: usize, format: Format) -> FeedForward {
    let hidden = up.len() / width;
    let group = group_size(hidden);
    FeedForward::new(up, down, width, group, Activation::Gelu, format)
}

/// The number of hidden units in a group for a feed-forward without masks: the largest divisor of `hidden`
/// up to [`GROUP`].
pub(crate) fn group_size(hidden: usize) -> usize {
    let divides = |group: &usize| hidden.is_multiple_of(*group);
    (1..=GROUP.min(hidden)).rev().find(divides).unwrap_or(1)
}

fn multiply(workers: &Workers, layer: &FeedForward, x: &[f32], y: &mut [f32]) {
    let tokens = x.len() / layer.width();
    if tokens <= FEW_TOKENS {
        let kept = KeptGroups::all(tokens, layer.groups());
        layer.forward(workers.team(), y, x, &kept);
    } else {
        layer.forward_many(y, x, None, workers.precision());
    }
}

impl GateRule {
    /// Replaces a token's scores by its gates.
    fn gates(self, scores: &mut [f32]) {
        match self {
            Self::Positive => scores.iter_mut().for_each(|score| *score = score.max(0.0)),
            Self::Best { count, scaling } => {
                let mut order: Vec<usize> = (0..scores.len()).collect();
                // The sort is stable: of equal scores the first wins.
                order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
                let largest = scores[order[0]];
                let mut gates = vec![0.0; scores.len()];
                for &expert in &order[..count] {
                    gates[expert] = (scores[expert] - largest).exp();
                }
                let sum: f32 = gates.iter().sum();
                scores
                    .iter_mut()
                    .zip(&gates)
                    .for_each(|(score, gate)| *score = scaling * gate / sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_worked_by_hand() {
        // Probabilities 0.3, 0.1, 0.6 of which the best two are 1/3 and 2/3 of their sum, times 3.
        let best = |count, scaling| GateRule::Best { count, scaling };
        let mut scores = [3.0f32, 1.0, 6.0].map(f32::ln);
        best(2, 3.0).gates(&mut scores);
        assert!((scores[0] - 1.0).abs() < 3e-6 && (scores[2] - 2.0).abs() < 3e-6);
        assert_eq!(scores[1], 0.0);
        let mut equal = [0.5; 3];
        best(1, 1.0).gates(&mut equal);
        assert_eq!(equal, [1.0, 0.0, 0.0]);
        let mut scores = [0.5, -1.0, 0.0];
        GateRule::Positive.gates(&mut scores);
        assert_eq!(scores, [0.5, 0.0, 0.0]);
    }
}
