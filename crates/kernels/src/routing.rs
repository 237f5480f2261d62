//! Choosing and measuring which parts of a layer are used: gates of the best experts, and means.

use rayon::prelude::*;

use crate::partial_sums::add_partial_sums;

/// Elements of one task.
const CHUNK: usize = 1 << 14;

/// Tokens of one partial sum: fixed, so that the number of threads does not change the result.
const TOKENS: usize = 256;

/// The mean; 0 if there are no values.
pub fn mean(values: &[f32]) -> f32 {
    let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(sum).collect();
    (sums.iter().sum::<f64>() / values.len().max(1) as f64) as f32
}

/// For each channel of `values`, `[tokens, channels]`, the share of tokens whose value is not 0.
///
/// # Panics
/// If there are no channels, or no whole number of tokens.
pub fn used_share(values: &[f32], channels: usize) -> Vec<f32> {
    assert!(channels > 0 && values.len().is_multiple_of(channels));
    let count = |values: &[f32]| {
        let mut counts = vec![0.0f32; channels];
        for values in values.chunks_exact(channels) {
            for (count, &value) in counts.iter_mut().zip(values) {
                *count += f32::from(u8::from(value != 0.0));
            }
        }
        counts
    };
    let counts: Vec<Vec<f32>> = values.par_chunks(TOKENS * channels).map(count).collect();
    // Sums of integers up to 2²⁴ are exact.
    let mut shares = vec![0.0; channels];
    add_partial_sums(&mut shares, &counts);
    let tokens = (values.len() / channels).max(1) as f32;
    shares.iter_mut().for_each(|share| *share /= tokens);
    shares
}

/// Replaces one token's scores by their softmax.
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The gates of each token, `[tokens, experts]`: the softmax of its `count` largest scores, and 0
/// for the others. Of equal scores the first one wins.
///
/// # Panics
/// If there are no experts or fewer than `count`, `count` is 0, or there is no whole number of
/// tokens.
pub fn best_gates(scores: &[f32], experts: usize, count: usize) -> Vec<f32> {
    assert!(experts > 0 && scores.len().is_multiple_of(experts));
    assert!((1..=experts).contains(&count), "more than all experts");
    let mut gates = vec![0.0; scores.len()];
    gates
        .par_chunks_mut(TOKENS * experts)
        .zip(scores.par_chunks(TOKENS * experts))
        .for_each(|(gates, scores)| {
            let mut order: Vec<usize> = Vec::with_capacity(experts);
            let mut best = vec![0.0; count];
            let tokens = gates
                .chunks_exact_mut(experts)
                .zip(scores.chunks_exact(experts));
            for (gates, scores) in tokens {
                order.clear();
                order.extend(0..experts);
                // A stable sort: equal scores keep their order.
                order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
                for (best, &expert) in best.iter_mut().zip(&order) {
                    *best = scores[expert];
                }
                softmax(&mut best);
                for (best, &expert) in best.iter().zip(&order) {
                    gates[expert] = *best;
                }
            }
        });
    gates
}

/// The gradient of [`best_gates`] with respect to the scores, from the gates.
///
/// # Panics
/// If the lengths differ, or there is no whole number of tokens.
pub fn best_gates_backward(gradient: &[f32], gates: &[f32], experts: usize) -> Vec<f32> {
    assert_eq!(gradient.len(), gates.len());
    assert!(experts > 0 && gates.len().is_multiple_of(experts));
    let mut output = vec![0.0; gates.len()];
    output
        .par_chunks_mut(TOKENS * experts)
        .zip(gradient.par_chunks(TOKENS * experts))
        .zip(gates.par_chunks(TOKENS * experts))
        .for_each(|((output, gradient), gates)| {
            let tokens = output
                .chunks_exact_mut(experts)
                .zip(gradient.chunks_exact(experts))
                .zip(gates.chunks_exact(experts));
            for ((output, gradient), gates) in tokens {
                softmax_backward(output, gradient, gates);
            }
        });
    output
}

/// `p (g − Σ g p)`.
fn softmax_backward(output: &mut [f32], gradient: &[f32], probabilities: &[f32]) {
    let pairs = gradient.iter().zip(probabilities);
    let sum: f32 = pairs.clone().map(|(g, p)| g * p).sum();
    for (output, (gradient, probability)) in output.iter_mut().zip(pairs) {
        *output = probability * (gradient - sum);
    }
}

/// The mean of the softmax of scores, `[tokens, experts]`, over the tokens: `[experts]`.
///
/// # Panics
/// If there are no experts, or no whole number of tokens.
pub fn mean_softmax(scores: &[f32], experts: usize) -> Vec<f32> {
    assert!(experts > 0 && scores.len().is_multiple_of(experts));
    let sum = |scores: &[f32]| {
        let mut sums = vec![0.0; experts];
        let mut probabilities = vec![0.0; experts];
        for scores in scores.chunks_exact(experts) {
            probabilities.copy_from_slice(scores);
            softmax(&mut probabilities);
            sums.iter_mut()
                .zip(&probabilities)
                .for_each(|(sum, probability)| *sum += probability);
        }
        sums
    };
    let sums: Vec<Vec<f32>> = scores.par_chunks(TOKENS * experts).map(sum).collect();
    let mut mean = vec![0.0; experts];
    add_partial_sums(&mut mean, &sums);
    let tokens = (scores.len() / experts).max(1) as f32;
    mean.iter_mut().for_each(|mean| *mean /= tokens);
    mean
}

/// The gradient of [`mean_softmax`] with respect to the scores; `gradient` is `[experts]`.
///
/// # Panics
/// If there are no experts, or no whole number of tokens.
pub fn mean_softmax_backward(gradient: &[f32], scores: &[f32]) -> Vec<f32> {
    let experts = gradient.len();
    assert!(experts > 0 && scores.len().is_multiple_of(experts));
    let tokens = (scores.len() / experts).max(1) as f32;
    let gradient: Vec<f32> = gradient.iter().map(|value| value / tokens).collect();
    let mut output = vec![0.0; scores.len()];
    output
        .par_chunks_mut(TOKENS * experts)
        .zip(scores.par_chunks(TOKENS * experts))
        .for_each(|(output, scores)| {
            let mut probabilities = vec![0.0; experts];
            let tokens = output
                .chunks_exact_mut(experts)
                .zip(scores.chunks_exact(experts));
            for (output, scores) in tokens {
                probabilities.copy_from_slice(scores);
                softmax(&mut probabilities);
                softmax_backward(output, &gradient, &probabilities);
            }
        });
    output
}
