//! One learned mask at inference: its weights and its values.

use kernels::decode::Matrix;
use kernels::gate::excess;
use kernels::kept_groups::KeptGroups;
use model::{MaskConfig, MaskShape, Rounding};

use crate::mask_function::LearnedFunction;
use crate::mask_rounding::MaskRow;
use crate::sequence::{Sequence, Span, attend};
use crate::workers::Workers;

/// The weights of one mask.
pub(crate) struct Mask {
    pub config: MaskConfig,
    pub shape: MaskShape,
    pub layer: usize,
    /// Its number among all masks.
    pub number: usize,
    /// None with a linear generator.
    pub query_key_value: Option<Matrix>,
    pub output: Option<Matrix>,
    pub function: LearnedFunction,
    /// What `2 M − 1` is compared with; none if `M` is compared with 0.5, or with noise.
    pub threshold: Option<f32>,
}

/// The tensors of a mask's computation, one row for each token.
#[derive(Debug, Default)]
pub(crate) struct MaskActivations {
    packed: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    /// The rounded mask, which multiplies the masked tensor: `[tokens, values]`.
    pub(crate) factors: Vec<f32>,
}

/// The smallest `M` with `2 M − 1 > threshold` in f32.
fn least_above(threshold: f32) -> f32 {
    if !threshold.is_finite() {
        // All or nothing is kept.
        return threshold;
    }
    // Positions of the finite numbers in ascending order; the rule holds from one of them on.
    let number = |position: i64| match position {
        0.. => f32::from_bits(position as u32),
        _ => -f32::from_bits(-position as u32),
    };
    let is_kept = |position: i64| excess(number(position), threshold) > 0.0;
    let last = i64::from(f32::MAX.to_bits());
    let (mut dropped, mut kept) = (-last, last);
    while kept - dropped > 1 {
        let middle = dropped + (kept - dropped) / 2;
        if is_kept(middle) {
            kept = middle;
        } else {
            dropped = middle;
        }
    }
    number(kept)
}

impl Mask {
    /// Computes the factors of tokens from the mask's input, `[tokens, input]`.
    pub(crate) fn compute(
        &self,
        workers: &Workers,
        sequences: &mut [Sequence],
        spans: &[Span],
        input: &[f32],
        tensors: &mut MaskActivations,
    ) {
        let MaskActivations {
            packed,
            attended,
            projected,
            factors,
        } = tensors;
        let values = self.shape.values;
        let tokens = input.len() / self.shape.input;
        let attended = match (&self.query_key_value, self.shape.attention) {
            (Some(layer), Some(attention)) => {
                packed.resize(tokens * 3 * attention.width, 0.0);
                attended.resize(tokens * attention.width, 0.0);
                workers.multiply(layer, input, packed);
                let sequences = sequences.iter_mut();
                let caches =
                    sequences.filter_map(|sequence| sequence.mask_caches[self.number].as_mut());
                attend(workers.team(), caches, spans, packed, None, attended);
                &attended[..]
            }
            _ => input,
        };
        let attended = match &self.output {
            Some(output) => {
                projected.resize(tokens * values, 0.0);
                workers.multiply(output, attended, projected);
                projected
            }
            None => attended,
        };
        factors.resize(tokens * values, 0.0);
        self.function.values(factors, attended);
        for (span, sequence) in spans.iter().zip(sequences) {
            let factors = &mut factors[span.first * values..][..span.count * values];
            if let Some(record) = sequence.mask_values.as_mut().filter(|_| span.measured) {
                record[self.number].extend_from_slice(factors);
            }
            for (token, factors) in (sequence.seen..).zip(factors.chunks_exact_mut(values)) {
                let row = MaskRow {
                    config: &self.config,
                    threshold: self.threshold,
                    rule: sequence.mask_rule,
                    site: self.shape.site,
                    layer: self.layer,
                    token,
                };
                let sums = row.round(factors);
                if span.measured {
                    sequence.sums[self.number].add(sums);
                }
            }
        }
    }

    /// The groups that tokens keep by their factors, `[tokens, values]`. Where gates carry their values, the
    /// factors go with them.
    pub(crate) fn kept_groups(&self, factors: &[f32], tokens: usize) -> KeptGroups {
        let values = self.shape.values;
        match self.config.rounding {
            Rounding::Carried => KeptGroups::with_factors(factors, tokens, values),
            _ => KeptGroups::new(factors, tokens, values),
        }
    }

    /// The smallest `M` that is kept: the one that [`MaskRow`] keeps too.
    pub(crate) fn kept_from(&self) -> f32 {
        match self.threshold {
            None => 0.5,
            Some(threshold) => least_above(threshold),
        }
    }

    /// Multiplies groups of channels by their factors. The rows of `channels` are `stride` apart.
    pub(crate) fn apply(&self, factors: &[f32], channels: &mut [f32], stride: usize) {
        let MaskShape { values, group, .. } = self.shape;
        let rows = channels
            .chunks_mut(stride)
            .zip(factors.chunks_exact(values));
        for (row, factors) in rows {
            for (group, factor) in row.chunks_mut(group).zip(factors) {
                group.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_kept_value_is_just_above_the_threshold() {
        assert_eq!(least_above(0.0), 0.5f32.next_up());
        assert_eq!(least_above(f32::INFINITY), f32::INFINITY);
        assert!(least_above(f32::NAN).is_nan());
        for threshold in [-1.0, -0.999_999_9, -0.9, -0.003, 1e-9, 0.003, 0.25, 0.7] {
            let least = least_above(threshold);
            assert!((2.0 * least - 1.0) - threshold > 0.0);
            assert!((2.0 * least.next_down() - 1.0) - threshold <= 0.0);
        }
    }
}
