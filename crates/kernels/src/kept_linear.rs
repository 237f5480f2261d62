//! The linear layer without bias over the groups of inputs that each token keeps, for many tokens.
//!
//! The inputs of the tokens that keep a group are gathered and multiplied by the weights of the group.
//! The products are added to the rows of their tokens.

use std::ops::Range;

use rayon::prelude::*;

use crate::group_product::scale_groups;
use crate::grouped::{chunks, gather, sum_groups};
use crate::kept_groups::KeptGroups;
use crate::linear::Shape;
use crate::matrix::View;
use crate::product::{Engine, Packed, Precision, copy_transposed, multiply};
use crate::scratch::{Scratch, scratch};
use crate::shared::Shared;
use crate::uninitialized::{initialized, uninitialized};

/// The most outputs whose weights of a group one task differentiates.
const OUTPUTS: usize = 128;

/// Whether these kernels are faster than the dense ones, for groups of `group` inputs and the kept share
/// of all pairs of tokens and groups.
///
/// The bounds are rounded down from measurements with AVX-512, at widths of 256 and 768, of the forward
/// and the backward pass together. Small groups gather much for few products; dense products of pairs of
/// bf16 values are faster.
pub fn is_faster_than_dense(group: usize, share: f64, precision: Precision) -> bool {
    let bound = match group {
        32.. => 0.7,
        16.. => 0.45,
        8.. => 0.3,
        _ => 0.1,
    };
    let takes_pairs = Engine::for_precision(precision).takes_pairs();
    share <= if takes_pairs { 0.7 * bound } else { bound }
}

/// `y = x · weightᵀ` over the kept groups, `[tokens, outputs]`.
///
/// - `x`: `[tokens, inputs]`
/// - `weight`: `[outputs, inputs]`
/// - `kept`: which tokens keep which groups of neighbouring inputs, all with the factor 1. The others are
///   not read: they count as 0.
///
/// # Panics
/// If the lengths or the kept groups do not fit the shape.
pub fn forward(
    x: &[f32],
    weight: &[f32],
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
) -> Vec<f32> {
    let layer = Layer::new(x, weight, kept, shape);
    forward_packed(x, kept, layer.group, shape.outputs, |index| {
        Packed::new(layer.weights(index).transposed(), precision)
    })
}

/// The product over the kept groups, `[tokens, outputs]`, whose inputs are multiplied by the factor of the
/// token. `pack` gives the weights of a kept group,
/// `[group, outputs]`.
pub(crate) fn forward_packed(
    x: &[f32],
    kept: &KeptGroups,
    group: usize,
    outputs: usize,
    pack: impl Fn(usize) -> Packed + Sync,
) -> Vec<f32> {
    let inputs = group * kept.groups();
    let mut values = scratch(kept.pairs() * group);
    let shared = Shared::new(&mut values);
    let matrices: Vec<Option<Packed>> = (0..kept.groups())
        .into_par_iter()
        .map(|index| {
            let tokens = kept.tokens_of(index);
            if tokens.is_empty() {
                return None;
            }
            // SAFETY: each group has its own pairs.
            let values =
                unsafe { shared.slice(kept.pairs_before(index) * group, tokens.len() * group) };
            let columns = index * group..(index + 1) * group;
            copy_columns(values, x, inputs, tokens, columns);
            if let Some(factors) = kept.factors_of(index) {
                scale_groups(values, factors, group);
            }
            Some(pack(index))
        })
        .collect();
    let matrix = |index: usize| matrices[index].as_ref();
    sum_groups(&values, group, matrix, kept, outputs)
}

/// Copies some columns of the rows of some tokens, one row after the other.
fn copy_columns(
    output: &mut [f32],
    rows: &[f32],
    width: usize,
    tokens: &[u32],
    columns: Range<usize>,
) {
    for (output, &token) in output.chunks_exact_mut(columns.len()).zip(tokens) {
        output.copy_from_slice(&rows[token as usize * width..][columns.clone()]);
    }
}

/// The gradients of a linear layer over kept groups.
pub struct Gradients {
    /// With respect to the input, `[tokens, inputs]`; 0 where it is not kept.
    pub x: Vec<f32>,
    /// With respect to the weight, `[outputs, inputs]`.
    pub weight: Vec<f32>,
}

/// The gradients of [`forward`].
///
/// - `gradient`: `[tokens, outputs]`
///
/// # Panics
/// If the lengths or the kept groups do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    weight: &[f32],
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
) -> Gradients {
    let layer = Layer::new(x, weight, kept, shape);
    assert_eq!(gradient.len(), kept.tokens() * shape.outputs, "gradient");
    Gradients {
        x: layer.input_gradient(gradient, precision),
        weight: layer.weight_gradient(gradient, precision),
    }
}

/// The operands of a layer.
struct Layer<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    kept: &'a KeptGroups,
    shape: Shape,
    /// Inputs of a group.
    group: usize,
}

impl<'a> Layer<'a> {
    fn new(x: &'a [f32], weight: &'a [f32], kept: &'a KeptGroups, shape: Shape) -> Self {
        shape.check(x, None, weight);
        assert_eq!(kept.tokens(), shape.tokens, "tokens of the kept groups");
        assert!(
            kept.groups() > 0 && shape.inputs.is_multiple_of(kept.groups()),
            "groups do not divide the inputs"
        );
        assert_eq!(kept.factors_of(0), None, "groups with factors");
        Self {
            x,
            weight,
            kept,
            shape,
            group: shape.inputs / kept.groups(),
        }
    }

    /// The weights of a group, `[outputs, group]`.
    fn weights(&self, index: usize) -> View<'a> {
        let Shape {
            inputs, outputs, ..
        } = self.shape;
        let weight = View::new(self.weight, outputs, inputs, inputs);
        weight.columns_from(index * self.group, self.group)
    }

    fn input_gradient(&self, gradient: &[f32], precision: Precision) -> Vec<f32> {
        let Shape {
            inputs, outputs, ..
        } = self.shape;
        let mut dx = vec![0.0; self.x.len()];
        let shared = Shared::new(&mut dx);
        (0..self.kept.groups()).into_par_iter().for_each(|index| {
            let tokens = self.kept.tokens_of(index);
            if tokens.is_empty() {
                return;
            }
            let weights = Packed::new(self.weights(index), precision);
            let parts: Vec<&[u32]> = chunks(tokens).collect();
            parts.into_par_iter().for_each(|tokens| {
                let mut buffer = None;
                let rows = gather(gradient, tokens, outputs, &mut buffer);
                let mut product = scratch(tokens.len() * self.group);
                multiply(&mut product, self.group, rows, &weights, false);
                for (values, &token) in product.chunks_exact(self.group).zip(tokens) {
                    let first = token as usize * inputs + index * self.group;
                    // SAFETY: each group has its own inputs, and each part its own tokens.
                    let dx = unsafe { shared.slice(first, self.group) };
                    dx.copy_from_slice(values);
                }
            });
        });
        dx
    }

    fn weight_gradient(&self, gradient: &[f32], precision: Precision) -> Vec<f32> {
        let Shape {
            inputs, outputs, ..
        } = self.shape;
        let mut dweight = uninitialized(self.weight.len());
        let shared = Shared::new(&mut dweight);
        let blocks = outputs.div_ceil(OUTPUTS);
        (0..self.kept.groups() * blocks)
            .into_par_iter()
            .for_each(|task| {
                let (index, first) = (task / blocks, task % blocks * OUTPUTS);
                let columns = first..outputs.min(first + OUTPUTS);
                let count = columns.len();
                let sums = self.block_gradient(gradient, index, columns, precision);
                let mut rows = scratch(count * self.group);
                let sums = View::new(&sums, self.group, count, count);
                copy_transposed(&mut rows, self.group, sums.transposed());
                for (output, values) in (first..).zip(rows.chunks_exact(self.group)) {
                    // SAFETY: each task has its own outputs of its own group.
                    let place =
                        unsafe { shared.slice(output * inputs + index * self.group, self.group) };
                    place.write_copy_of_slice(values);
                }
            });
        // SAFETY: the tasks have written the weights of all outputs and groups.
        unsafe { initialized(dweight) }
    }

    /// The gradient of the weights of a group and some outputs, transposed: `[group, outputs]`.
    fn block_gradient(
        &self,
        gradient: &[f32],
        index: usize,
        columns: Range<usize>,
        precision: Precision,
    ) -> Scratch {
        let Shape {
            inputs, outputs, ..
        } = self.shape;
        let (group, count) = (self.group, columns.len());
        let mut sums = scratch(group * count);
        if self.kept.tokens_of(index).is_empty() {
            sums.fill(0.0);
            return sums;
        }
        let mut accumulate = false;
        for tokens in chunks(self.kept.tokens_of(index)) {
            let mut values = scratch(tokens.len() * group);
            copy_columns(
                &mut values,
                self.x,
                inputs,
                tokens,
                index * group..(index + 1) * group,
            );
            let mut rows = scratch(tokens.len() * count);
            copy_columns(&mut rows, gradient, outputs, tokens, columns.clone());
            let left = View::new(&values, tokens.len(), group, group).transposed();
            let right = Packed::new(View::new(&rows, tokens.len(), count, count), precision);
            multiply(&mut sums, count, left, &right, accumulate);
            accumulate = true;
        }
        sums
    }
}
