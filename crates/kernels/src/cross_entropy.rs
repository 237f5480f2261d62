//! Output layer and cross-entropy together: the logits of a few tokens at a time.

use rayon::prelude::*;

use crate::level::levelled;
use crate::math::exp;
use crate::matrix::{View, product};

/// Logits that are held at a time: small enough for the second-level cache of both cores.
const LOGITS: usize = 1 << 20;

/// The shape of an output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of tokens.
    pub tokens: usize,
    /// Channels of a token.
    pub width: usize,
    /// Rows of the weight.
    pub vocabulary: usize,
}

impl Shape {
    fn check(&self, hidden: &[f32], weight: &[f32], targets: &[u32]) {
        assert!(
            self.tokens > 0 && self.width > 0 && self.vocabulary > 0,
            "an empty output layer"
        );
        assert_eq!(hidden.len(), self.tokens * self.width, "hidden state");
        assert_eq!(weight.len(), self.vocabulary * self.width, "weight");
        assert_eq!(targets.len(), self.tokens, "one target per token");
        let known = targets
            .iter()
            .all(|&target| (target as usize) < self.vocabulary);
        assert!(known, "targets below the vocabulary");
    }

    fn tokens_at_once(&self) -> usize {
        (LOGITS / self.vocabulary).clamp(32, 1024).min(self.tokens)
    }
}

levelled! {
    /// Replaces logits by `(softmax − one-hot) · scale`; gives the cross-entropy.
    fn differentiate(logits: &mut [f32], target: usize, scale: f32) -> f64 {
        let mut largest = [f32::NEG_INFINITY; 16];
        let mut chunks = logits.chunks_exact(16);
        for chunk in &mut chunks {
            for (largest, &logit) in largest.iter_mut().zip(chunk) {
                *largest = if logit > *largest { logit } else { *largest };
            }
        }
        let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let largest = largest.iter().copied().fold(rest, f32::max);
        let at_target = logits[target];
        let mut sums = [0.0f32; 16];
        let mut chunks = logits.chunks_exact_mut(16);
        for chunk in &mut chunks {
            for (sum, logit) in sums.iter_mut().zip(chunk) {
                *logit = exp(*logit - largest);
                *sum += *logit;
            }
        }
        let mut total = 0.0f64;
        for logit in chunks.into_remainder() {
            *logit = exp(*logit - largest);
            total += f64::from(*logit);
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        let factor = (1.0 / total) as f32 * scale;
        for logit in logits.iter_mut() {
            *logit *= factor;
        }
        logits[target] -= scale;
        total.ln() + f64::from(largest) - f64::from(at_target)
    }
}

/// The gradients of a mean cross-entropy.
pub struct Gradients {
    /// With respect to the hidden state, `[tokens, width]`.
    pub hidden: Vec<f32>,
    /// With respect to the weight, `[vocabulary, width]`.
    pub weight: Vec<f32>,
}

/// The mean cross-entropy of `softmax(hidden · weightᵀ)` in nats, and where asked its gradients.
///
/// - `hidden`: `[tokens, width]`
/// - `weight`: `[vocabulary, width]`
///
/// # Panics
/// If the lengths do not fit the shape, or a target is not below the vocabulary.
pub fn linear_cross_entropy(
    hidden: &[f32],
    weight: &[f32],
    targets: &[u32],
    shape: Shape,
    with_gradients: bool,
) -> (f32, Option<Gradients>) {
    shape.check(hidden, weight, targets);
    let Shape {
        tokens,
        width,
        vocabulary,
    } = shape;
    let mut gradients = with_gradients.then(|| Gradients {
        hidden: vec![0.0; tokens * width],
        weight: vec![0.0; vocabulary * width],
    });
    let scale = 1.0 / tokens as f32;
    let step = shape.tokens_at_once();
    let mut logits = vec![0.0; step * vocabulary];
    let weight = View::new(weight, vocabulary, width, width);
    let mut sum = 0.0;
    for start in (0..tokens).step_by(step) {
        let count = step.min(tokens - start);
        let logits = &mut logits[..count * vocabulary];
        let part = View::new(&hidden[start * width..], count, width, width);
        product(
            logits,
            vocabulary,
            part,
            weight.transposed(),
            1.0,
            false,
            true,
        );
        let losses: Vec<f64> = logits
            .par_chunks_mut(vocabulary)
            .zip(&targets[start..start + count])
            .map(|(logits, &target)| differentiate(logits, target as usize, scale))
            .collect();
        sum += losses.iter().sum::<f64>();
        if let Some(gradients) = &mut gradients {
            let logits = View::new(logits, count, vocabulary, vocabulary);
            let dhidden = &mut gradients.hidden[start * width..(start + count) * width];
            product(dhidden, width, logits, weight, 1.0, false, true);
            let accumulate = start > 0;
            let dweight = &mut gradients.weight;
            product(
                dweight,
                width,
                logits.transposed(),
                part,
                1.0,
                accumulate,
                true,
            );
        }
    }
    ((sum / tokens as f64) as f32, gradients)
}
