//! The gradients of a grouped feed-forward. Only kept groups are computed.

use rayon::prelude::*;

use super::gather::{chunks, gather};
use super::group_weights::{GroupWeights, units_of_group};
use super::sum_groups::sum_groups;
use crate::activation::Activation;
use crate::feed_forward::{Gradients, OutputGradients, Shape, Weights};
use crate::group_product::{dot_groups, scale_groups};
use crate::kept_groups::KeptGroups;
use crate::layer_norm::{backward_rows, normalized_in_parallel};
use crate::linear::Norm;
use crate::matrix::View;
use crate::partial_sums::add_partial_sums;
use crate::product::{Output, Packed, Precision, copy_transposed, multiply};
use crate::scratch::scratch;
use crate::shared::Shared;
use crate::tiling::tile_rows;
use crate::uninitialized::{Uninit, as_uninit, from_chunks_with, initialized, uninitialized};
use crate::unit_sum::add_to_all;

/// The gradients of [`forward`](super::forward()) for the gradient of its output, `[tokens, width]`.
///
/// Hidden units are computed again. The gradient of the factor of a kept group is the sum over its units of the
/// unit times the gradient of the product; that of a dropped group is 0. Kept groups without factors have the
/// factor 1, whose gradient passes straight through the rounding of a mask.
///
/// # Panics
/// If the lengths or the kept groups do not fit the shape.
pub fn backward(
    gradient: &[f32],
    x: &[f32],
    weights: &Weights<'_>,
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
) -> Gradients {
    let gradients = OutputGradients {
        y: gradient,
        sum: 0.0,
    };
    backward_with_sum(gradients, x, weights, kept, shape, precision)
}

/// The gradients of [`forward_with_sum`](super::forward_with_sum) for those of its output and its
/// sum.
///
/// # Panics
/// If the lengths or the kept groups do not fit the shape.
pub fn backward_with_sum(
    gradients: OutputGradients<'_>,
    x: &[f32],
    weights: &Weights<'_>,
    kept: &KeptGroups,
    shape: Shape,
    precision: Precision,
) -> Gradients {
    let gradient = gradients.y;
    let group = units_of_group(x, weights, shape, kept);
    let Shape {
        tokens,
        width,
        hidden,
    } = shape;
    assert_eq!(gradient.len(), x.len(), "gradient");
    let mut buffer = None;
    let normal = normalized_in_parallel(x, weights.norm, &mut buffer);
    let [mut dup, mut ddown] = [(); 2].map(|()| uninitialized(hidden * width));
    let mut dfactors = vec![0.0; tokens * kept.groups()];
    let mut dunits = scratch(kept.pairs() * group);
    let (shared_down, shared_factors) = (Shared::new(&mut ddown), Shared::new(&mut dfactors));
    let shared_units = Shared::new(&mut dunits);
    let up: Vec<Option<Packed>> = dup
        .par_chunks_mut(group * width)
        .with_max_len(1)
        .enumerate()
        .map(|(index, dup)| {
            let tokens = kept.tokens_of(index);
            let first = kept.pairs_before(index) * group;
            let task = GroupTask {
                weights: GroupWeights::new(weights, shape, group, index),
                activation: weights.activation,
                tokens,
                factors: kept.factors_of(index),
                normal,
                gradient,
                dsum: gradients.sum,
                precision,
            };
            // SAFETY: each group has its own pairs.
            let dunits = unsafe { shared_units.slice(first, tokens.len() * group) };
            let mut products = scratch(tokens.len());
            let mut ddown = scratch(group * width);
            task.compute(dunits, &mut products, dup, &mut ddown);
            for (&token, &product) in tokens.iter().zip(products.iter()) {
                let place = token as usize * kept.groups() + index;
                // SAFETY: each group has its own values.
                let value = unsafe { shared_factors.slice(place, 1) };
                value[0] = product;
            }
            let mut columns = scratch(width * group);
            copy_transposed(
                &mut columns,
                group,
                View::new(&ddown, group, width, width).transposed(),
            );
            for (channel, values) in columns.chunks_exact(group).enumerate() {
                // SAFETY: each group has its own columns.
                let row = unsafe { shared_down.slice(channel * hidden + index * group, group) };
                row.write_copy_of_slice(values);
            }
            (!tokens.is_empty()).then(|| Packed::new(task.weights.up, precision))
        })
        .collect();
    // SAFETY: each group has written its rows of the up gradient and its columns of the down gradient.
    let [dup, ddown] = [dup, ddown].map(|values| unsafe { initialized(values) });
    let dnormal = sum_groups(&dunits, group, |index| up[index].as_ref(), kept, width);
    let (dx, dnorm) = match weights.norm {
        None => (dnormal, Vec::new()),
        Some(norm) => norm_backward(&dnormal, x, norm, tile_rows(tokens, precision)),
    };
    Gradients {
        x: dx,
        norm: dnorm,
        up: dup,
        down: ddown,
        factors: dfactors,
    }
}

/// The gradients of the norm with respect to its input and its weight.
fn norm_backward(dnormal: &[f32], x: &[f32], norm: Norm<'_>, tile: usize) -> (Vec<f32>, Vec<f32>) {
    let width = norm.weight.len();
    let (dx, partial) = from_chunks_with(x.len(), tile * width, |index, dx| {
        let rows = index * tile * width..index * tile * width + dx.len();
        let mut dnorm = vec![0.0; width];
        let (dnormal, x) = (&dnormal[rows.clone()], &x[rows]);
        let dx = backward_rows(dx, &mut dnorm, dnormal, x, norm.weight, norm.epsilon);
        (dx, dnorm)
    });
    let mut dnorm = vec![0.0; width];
    add_partial_sums(&mut dnorm, &partial);
    (dx, dnorm)
}

/// The inputs of the gradients of one group.
struct GroupTask<'a> {
    weights: GroupWeights<'a>,
    activation: Activation,
    tokens: &'a [u32],
    /// The factors of the tokens; none if all are 1.
    factors: Option<&'a [f32]>,
    normal: &'a [f32],
    gradient: &'a [f32],
    /// The gradient of the sum of the hidden units.
    dsum: f32,
    precision: Precision,
}

impl GroupTask<'_> {
    /// Computes the gradients of the input of the activation function, `[tokens, group]`, and of the
    /// factors, `[tokens]`, for the tokens of the group. For the group it computes
    /// the gradients of the up rows and of the columns of the down weight, both `[group, width]`.
    fn compute(
        &self,
        dunits: &mut [f32],
        products: &mut [f32],
        dup: &mut [Uninit],
        ddown: &mut [f32],
    ) {
        let (group, width) = (self.weights.up.rows(), self.weights.up.columns());
        if self.tokens.is_empty() {
            dup.fill(Uninit::new(0.0));
            ddown.fill(0.0);
            return;
        }
        let [up, down] = [self.weights.up.transposed(), self.weights.down]
            .map(|weights| Packed::new(weights, self.precision));
        // SAFETY: all values that are written are initialized.
        let ddown = unsafe { as_uninit(ddown) };
        let mut outputs = [dup, ddown].map(Output::New);
        let mut done = 0;
        for tokens in chunks(self.tokens) {
            let count = tokens.len();
            let mut buffers = [None, None];
            let [normal_buffer, gradient_buffer] = &mut buffers;
            let normal = gather(self.normal, tokens, width, normal_buffer);
            let gradient = gather(self.gradient, tokens, width, gradient_buffer);
            let [mut before, mut units] = [(); 2].map(|()| scratch(count * group));
            let dunits = &mut dunits[done * group..][..count * group];
            multiply(&mut before, group, normal, &up, false);
            multiply(dunits, group, gradient, &down, false);
            let products = &mut products[done..][..count];
            let factors = self.factors.map(|factors| &factors[done..][..count]);
            self.hidden_units(&mut units, dunits, &before, products, factors);
            let operands = [(&*dunits, normal), (&*units, gradient)];
            for (output, (left, right)) in outputs.iter_mut().zip(operands) {
                let left = View::new(left, count, group, group).transposed();
                let right = Packed::new(right, self.precision);
                output.add(left, &right);
            }
            done += count;
        }
    }

    /// From the input of the activation function computes the units times their factors and the
    /// gradients of the factors, and replaces the gradients of the units by those of that input.
    fn hidden_units(
        &self,
        units: &mut [f32],
        dunits: &mut [f32],
        before: &[f32],
        dfactors: &mut [f32],
        factors: Option<&[f32]>,
    ) {
        let (activation, dsum) = (self.activation, self.dsum);
        if factors.is_none() && dsum == 0.0 {
            return activation.value_gradient_and_product(units, dunits, before, dfactors);
        }
        let group = self.weights.up.rows();
        activation.copy(units, before);
        // SAFETY: all values that are written are initialized.
        dot_groups(unsafe { as_uninit(dfactors) }, units, dunits, group);
        if let Some(factors) = factors {
            scale_groups(dunits, factors, group);
        }
        if dsum != 0.0 {
            add_to_all(dunits, dsum);
        }
        activation.value_and_gradient(units, dunits, before);
        if let Some(factors) = factors {
            scale_groups(units, factors, group);
        }
    }
}
