//! Products of many tokens with weights that are stored for decoding.
//!
//! Each task widens and packs the weights of some columns of a product and multiplies all tokens by
//! them. So weights are read from memory once and need no second layout there.

use std::ops::Range;

use rayon::prelude::*;

use super::by_input::ByInput;
use super::feed_forward::FeedForward;
use super::matrix::Matrix;
use crate::grouped::{chunks, forward_packed, gather};
use crate::kept_groups::KeptGroups;
use crate::matrix::View;
use crate::product::{Engine, Packed, Precision, multiply};
use crate::scratch::scratch;
use crate::shared::Shared;

/// Tokens that are multiplied at once: a block of their terms stays in the second-level cache.
const TOKENS: usize = 192;

/// The most and the fewest columns of a task.
const COLUMNS: (usize, usize) = (192, 32);

/// Tasks for each thread.
const TASKS: usize = 4;

/// `y = x · right` in blocks of columns, on all threads of the current rayon pool.
///
/// - `y`: `[tokens, columns]`
/// - `pack` and `finish`: as for [`multiply_some_columns`]
fn multiply_columns(
    y: &mut [f32],
    columns: usize,
    x: View<'_>,
    pack: impl Fn(usize, usize) -> Packed + Sync,
    finish: impl Fn(&mut [f32], usize, usize) + Sync,
) {
    multiply_some_columns(Shared::new(y), (0..columns, columns), x, pack, finish);
}

/// Some columns of `y = x · right`, in blocks.
///
/// - `y`: rows of tokens, of which no other task uses these columns
/// - `(columns, width)`: the columns, and the values of a row
/// - `pack(first, count)`: the right operand of `count` columns from `first` on
/// - `finish(values, token, first)`: changes the values of some tokens from `token` on and the
///   columns from `first` on, before they are written to `y`
fn multiply_some_columns(
    y: Shared<'_>,
    (columns, width): (Range<usize>, usize),
    x: View<'_>,
    pack: impl Fn(usize, usize) -> Packed + Sync,
    finish: impl Fn(&mut [f32], usize, usize) + Sync,
) {
    let (most, fewest) = COLUMNS;
    let tasks = TASKS * rayon::current_num_threads();
    let of_task = columns.len().div_ceil(tasks).next_multiple_of(fewest);
    let of_task = of_task.clamp(fewest, most);
    (0..columns.len().div_ceil(of_task))
        .into_par_iter()
        .for_each(|task| {
            let first = columns.start + task * of_task;
            let count = of_task.min(columns.end - first);
            let right = pack(first, count);
            for block in (0..x.rows()).step_by(TOKENS) {
                let left = x.rows_from(block, TOKENS.min(x.rows() - block));
                let mut product = scratch(left.rows() * count);
                multiply(&mut product, count, left, &right, false);
                finish(&mut product, block, first);
                for (row, product) in product.chunks_exact(count).enumerate() {
                    // SAFETY: each task has columns of its own.
                    let y = unsafe { y.slice((block + row) * width + first, count) };
                    y.copy_from_slice(product);
                }
            }
        });
}

/// Whether it is faster to compute groups of outputs only for the tokens that keep them, for groups of
/// `group` outputs and the kept share.
///
/// The bounds are rounded down from measurements with AVX-512, for the queries, keys and values of 2048
/// tokens at widths of 256 and 768. Gathering rows does not keep up with products of pairs of bf16 values.
fn few_outputs(group: usize, share: f64, precision: Precision) -> bool {
    let bound = match group {
        32.. => 0.6,
        16.. => 0.35,
        8.. => 0.15,
        _ => 0.05,
    };
    let takes_pairs = Engine::for_precision(precision).takes_pairs();
    share <= if takes_pairs { 0.65 * bound } else { bound }
}

impl Matrix {
    /// [`multiply`](Self::multiply) for many tokens, on all threads of the current rayon pool.
    /// Rounds weights and inputs to a precision.
    ///
    /// # Panics
    /// If the lengths do not fit the matrix and one number of tokens.
    pub fn multiply_many(&self, y: &mut [f32], x: &[f32], precision: Precision) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let tokens = x.len() / inputs;
        assert_eq!(x.len(), tokens * inputs, "input");
        assert_eq!(y.len(), tokens * outputs, "output");
        let x = View::new(x, tokens, inputs, inputs);
        let pack = |first, count| {
            self.rows()
                .packed_across(count, inputs, |column| first + column, precision)
        };
        multiply_columns(y, outputs, x, pack, |_, _, _| {});
    }

    /// [`multiply_kept`](Self::multiply_kept) for many tokens, on all threads of the current rayon pool.
    /// Rounds weights and inputs to a precision. Computes all outputs where that is faster, so what is not
    /// kept may hold anything.
    ///
    /// # Panics
    /// If the lengths or the groups do not fit the matrix and one number of tokens.
    pub fn multiply_many_kept(
        &self,
        y: &mut [f32],
        x: &[f32],
        kept: &KeptGroups,
        group: usize,
        precision: Precision,
    ) {
        let grouped = self.check_kept(y, x, kept, group);
        if !few_outputs(group, kept.share(), precision) {
            return self.multiply_many(y, x, precision);
        }
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let y = Shared::new(y);
        let pack = |first, count| {
            self.rows()
                .packed_across(count, inputs, |column| first + column, precision)
        };
        let groups = || {
            (0..kept.groups()).into_par_iter().for_each(|index| {
                let tokens = kept.tokens_of(index);
                if tokens.is_empty() {
                    return;
                }
                let right = pack(index * group, group);
                let parts: Vec<&[u32]> = chunks(tokens).collect();
                parts.into_par_iter().for_each(|tokens| {
                    let mut buffer = None;
                    let rows = gather(x, tokens, inputs, &mut buffer);
                    let mut product = scratch(tokens.len() * group);
                    multiply(&mut product, group, rows, &right, false);
                    for (values, &token) in product.chunks_exact(group).zip(tokens) {
                        let first = token as usize * outputs + index * group;
                        // SAFETY: each group has its own outputs, and each part its own tokens.
                        unsafe { y.slice(first, group) }.copy_from_slice(values);
                    }
                });
            });
        };
        let all = View::new(x, kept.tokens(), inputs, inputs);
        let rest =
            || multiply_some_columns(y, (grouped..outputs, outputs), all, pack, |_, _, _| {});
        rayon::join(groups, rest);
    }
}

impl ByInput {
    /// [`multiply`](Self::multiply) for many tokens, on all threads of the current rayon pool.
    /// Rounds weights and inputs to a precision. Inputs of 0 are computed too.
    ///
    /// # Panics
    /// If the lengths do not fit the matrix and one number of tokens.
    pub fn multiply_many(&self, y: &mut [f32], x: &[f32], precision: Precision) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let tokens = x.len() / inputs;
        assert_eq!(x.len(), tokens * inputs, "input");
        assert_eq!(y.len(), tokens * outputs, "output");
        let pack = |first, count| {
            self.rows()
                .packed_down(count, inputs, first, |input| input, precision)
        };
        let x = View::new(x, tokens, inputs, inputs);
        multiply_columns(y, outputs, x, pack, |_, _, _| {});
    }
}

impl FeedForward {
    /// The feed-forward for many tokens, computed in full and then masked, on all threads of the
    /// current rayon pool. Rounds weights, inputs and hidden units to a precision.
    ///
    /// - `x` and `y`: `[tokens, width]`; `y` is overwritten
    /// - `factors`: the factors of the hidden units of each group, `[tokens, groups]`
    ///
    /// # Panics
    /// If the lengths do not fit the layer and one number of tokens.
    pub fn forward_many(
        &self,
        y: &mut [f32],
        x: &[f32],
        factors: Option<&[f32]>,
        precision: Precision,
    ) {
        let (width, hidden, rows) = (self.width(), self.hidden(), self.rows());
        let tokens = x.len() / width;
        assert_eq!(x.len(), tokens * width, "input");
        assert_eq!(y.len(), x.len(), "output");
        let (group, groups) = (hidden / self.groups(), self.groups());
        assert!(
            factors.is_none_or(|factors| factors.len() == tokens * groups),
            "factors"
        );
        let activation = self.activation();
        let mask = |units: &mut [f32], token: usize, first: usize| {
            activation.in_place(units);
            if let Some(factors) = factors {
                let count = units.len() / TOKENS.min(tokens - token);
                for (row, units) in units.chunks_exact_mut(count).enumerate() {
                    let factors = &factors[(token + row) * groups..][..groups];
                    for (unit, value) in (first..).zip(units) {
                        *value *= factors[unit / group];
                    }
                }
            }
        };
        let mut units = scratch(tokens * hidden);
        let up = |first, count| {
            rows.packed_across(count, width, |unit| self.up_row(first + unit), precision)
        };
        let x = View::new(x, tokens, width, width);
        multiply_columns(&mut units, hidden, x, up, mask);
        let down = |first, count| {
            rows.packed_down(count, hidden, first, |unit| self.down_row(unit), precision)
        };
        let units = View::new(&units, tokens, hidden, hidden);
        multiply_columns(y, width, units, down, |_, _, _| {});
    }

    /// The feed-forward for many tokens with the groups that each keeps, times the factors of the
    /// tokens, on all threads of the current rayon pool. Rounds weights, inputs and hidden units to a
    /// precision. The weights of groups that no token keeps are not read.
    ///
    /// `x` and `y` are `[tokens, width]`; `y` is overwritten.
    ///
    /// # Panics
    /// If the lengths or the kept groups are those of another shape.
    pub fn forward_grouped(
        &self,
        y: &mut [f32],
        x: &[f32],
        kept: &KeptGroups,
        precision: Precision,
    ) {
        let (width, rows) = (self.width(), self.rows());
        assert_eq!(x.len(), kept.tokens() * width, "input");
        assert_eq!(y.len(), x.len(), "output");
        assert_eq!(kept.groups(), self.groups(), "groups");
        let group = self.hidden() / self.groups();
        let pack = |index: usize| {
            let first = index * group;
            let up = rows.packed_across(group, width, |unit| self.up_row(first + unit), precision);
            let mut values = scratch(group * width);
            for (unit, values) in values.chunks_exact_mut(width).enumerate() {
                rows.widen(self.down_row(first + unit), 0, values);
            }
            let down = Packed::new(View::new(&values, group, width, width), precision);
            (up, down)
        };
        let activation = self.activation();
        let (output, _) = forward_packed(x, kept, (width, group), activation, false, pack);
        y.copy_from_slice(&output);
    }
}
